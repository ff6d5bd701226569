//! A lane: one QUIC connection to the peer, from the `Hello` exchange to its end.
//!
//! Four parts run side by side as one task and end together:
//!
//! - the [`pump`] writes what the session has for this lane, and owns every sending stream;
//! - the [`reader`] takes control messages;
//! - it also accepts segments, each read by a small task of its own ([`segment`]);
//! - and it answers probes.
//!
//! A reader never waits for a flow: what it reads goes into memory that was granted before. When
//! any part fails the connection is closed with a code that says why, and the lane is detached;
//! its undelivered bytes are still in the flows' send buffers.

pub(crate) mod handshake;
mod pump;
mod reader;
mod segment;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use thiserror::Error;
use tokio::sync::Notify;
use tracing::{debug, warn};

use self::handshake::ControlStream;
use super::quic::close;
use crate::clock::BootTime;
use crate::engine::session::{LaneEntry, Origin, Phase, SessionHandle};
use crate::events::EventKind;
use throughline_congestion::LaneSensor;
use throughline_proto::session::{LaneInfo, Violation};
use throughline_proto::types::LaneId;
use throughline_proto::wire::codec::DecodeError;
use throughline_proto::wire::hello::SessionParams;

/// How long a lane gets to bring its last word to the peer: a lost packet on a usual path.
pub(crate) const LAST_WORD: Duration = Duration::from_millis(300);

/// A lane that is ready to be attached.
pub(crate) struct NewLane {
    pub(crate) id: LaneId,
    pub(crate) info: LaneInfo,
    pub(crate) connection: Connection,
    pub(crate) sensor: Arc<LaneSensor>,
    pub(crate) control: ControlStream,
    pub(crate) origin: Origin,
    /// How long the set-up took.
    pub(crate) setup: Duration,
    /// What the peer promised in this lane's exchange.
    pub(crate) params: SessionParams,
}

/// Why a lane ended.
#[derive(Debug, Error)]
pub(crate) enum LaneEnd {
    /// Its connection is gone.
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The peer broke the protocol.
    #[error("protocol violation: {0}")]
    Violation(#[from] Violation),
    /// A datagram cannot be read.
    #[error("protocol violation: bad datagram: {0}")]
    Datagram(#[source] DecodeError),
    /// The control stream ended before the lane.
    #[error("protocol violation: control stream {0}")]
    ControlStream(String),
    /// The session is over.
    #[error("session over")]
    SessionOver,
}

impl LaneEnd {
    /// Returns whether the peer broke the protocol.
    fn is_violation(&self) -> bool {
        matches!(self, Self::Violation(_) | Self::Datagram(_) | Self::ControlStream(_))
    }
}

/// Attaches a lane to its session and runs it to its end.
pub(crate) async fn run(session: SessionHandle, lane: NewLane) {
    let NewLane { id, info, connection, sensor, control, origin, setup, params } = lane;
    let work = Arc::new(Notify::new());
    let remote = connection.remote_address();
    let log = session.log();
    session.with(|core, now| {
        let by_us = matches!(origin, Origin::Dialled(_));
        let entry = LaneEntry {
            connection: connection.clone(),
            sensor: sensor.clone(),
            work: work.clone(),
            origin,
            attached_at: now,
            ending: None,
        };
        let (uplink, local) = (entry.uplink().map(str::to_owned), entry.local());
        let cost = entry.cost();
        core.lanes.insert(id, entry);
        let detached = core.detached_since.take().map(BootTime::elapsed);
        core.session.set_peer_params(params);
        core.session.handle_lane_attached(now, id, info);
        // The peer cannot see what the lane costs here, nor what is planned.
        let draining = uplink.as_deref().is_some_and(|uplink| session.is_drained(uplink));
        core.session.advertise_use(now, id, cost, draining);
        let up = EventKind::LaneUp { local, remote, setup, dialed: by_us };
        log.emit_lane(id, uplink.as_deref(), up);
        match detached {
            Some(_) if !session.is_established() => log.emit(EventKind::SessionUp),
            Some(duration) => log.emit(EventKind::SessionResumed { duration }),
            None => {}
        }
    });
    session.established();

    let ControlStream { send, recv, decoder } = control;
    let alarm = session.driver_alarm();
    let pump = pump::Pump::new(session.clone(), id, connection.clone(), sensor.clone(), send, work);
    let end = tokio::select! {
        end = pump.run() => end,
        end = reader::control(&session, id, recv, decoder) => end,
        end = reader::segments(&session, &connection) => end,
        end = reader::datagrams(&connection, &sensor) => end,
        end = busy(&sensor, &alarm) => end,
        end = session_over(&session) => end,
    };
    if end.is_violation() {
        warn!(peer = %session.name(), lane = %id, %remote, "lane closed: {end}");
    }
    close(&connection, &end);
    session.with(|core, now| {
        let reports = core.session.final_reports(id);
        core.session.handle_lane_detached(now, id);
        let entry = core.lanes.remove(&id);
        if let Some(entry) = &entry {
            reports.into_iter().for_each(|report| entry.emit(log, id, report));
        }
        let uplink = entry.as_ref().and_then(|e| e.uplink()).map(str::to_owned);
        let reason = match entry.as_ref().and_then(|e| e.ending) {
            Some(ending) => ending.to_owned(),
            None => end.to_string(),
        };
        let duration = entry.map(|e| e.age(now)).unwrap_or_default();
        log.emit_lane(id, uplink.as_deref(), EventKind::LaneDown { reason, duration });
        if core.lanes.is_empty() {
            core.detached_since = Some(BootTime::now());
            if core.session.closed().is_none() {
                let linger = core.session.params().linger;
                log.emit(EventKind::SessionDetached { linger });
            }
        }
    });
    session.driver_alarm().notify_one();
}

fn close(connection: &Connection, end: &LaneEnd) {
    match end {
        LaneEnd::Violation(_) | LaneEnd::Datagram(_) | LaneEnd::ControlStream(_) => {
            close::close(connection, close::PROTOCOL, &end.to_string());
        }
        LaneEnd::SessionOver => close::close(connection, close::DONE, "session over"),
        LaneEnd::Connection(error) => debug!("connection lost: {error}"),
    }
}

/// Tells the driver when the lane becomes busy: from then on its health is to be judged.
async fn busy(sensor: &LaneSensor, alarm: &Notify) -> LaneEnd {
    loop {
        sensor.busy().notified().await;
        alarm.notify_one();
    }
}

/// Waits for the end of the session. Where the peer is to be told, the pump tells it and ends the
/// lane itself; this is for a lane on which that takes too long.
async fn session_over(session: &SessionHandle) -> LaneEnd {
    let mut phase = session.phase();
    let _ = phase.wait_for(|phase| matches!(phase, Phase::Over(_))).await;
    if session.with(|core, _| core.session.has_close_message()) {
        tokio::time::sleep(LAST_WORD).await;
    }
    LaneEnd::SessionOver
}

/// What a lane shares with others: those to or from one address are likely to fail together.
pub(crate) fn risk_of(address: IpAddr) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    address.to_canonical().hash(&mut hasher);
    hasher.finish()
}
