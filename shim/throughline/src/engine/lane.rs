//! A lane: one QUIC connection to the peer, from the `Hello` exchange to its end.
//!
//! What the parts do:
//!
//! - the [`pump`] writes what the session has for this lane, and owns every sending stream;
//! - the [`reader`] takes control messages, accepts segments and answers probes;
//! - a [`segment`] is read by a small task of its own, and so is a datagram that is longer than a packet
//!   ([`long_datagrams`]).
//!
//! A reader never waits for a flow: what it reads goes into memory that was granted before. When
//! any part fails the connection is closed with a code that says why, and the lane is detached.
//!
//! **Tasks and their owner.** A lane is one task, spawned by whoever set it up (the dialer or the
//! acceptor) and owned by nobody: it ends when one of its parts does, at the latest with its
//! connection or its session, and detaches the lane last. The segments' tasks belong to it and end
//! with it. Nothing aborts it while its session lives: what it did not deliver is still in the flows'
//! send buffers, but the session would go on to count on the lane.

mod attachment;
mod burst;
mod datagrams;
mod end;
pub(crate) mod handshake;
mod long_datagrams;
mod pump;
mod reader;
mod receive_window;
mod segment;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use tokio::sync::Notify;
use tracing::{Instrument, debug, debug_span, error, warn};

pub(crate) use self::attachment::KEY_REMOVED;
use self::attachment::{attach, detach};
use self::end::LaneEnd;
use self::handshake::ControlStream;
use self::pump::Pump;
use self::receive_window::ReceiveWindow;
use super::qlog::Trace;
use super::quic::close::{self, CLOSE_FLUSH};
use super::session::{LaneKeys, LaneReservation, Origin, Phase, SessionHandle};
use throughline_congestion::LaneSensor;
use throughline_proto::panics::{catch, catch_call};
use throughline_proto::session::LaneInfo;
use throughline_proto::types::LaneId;
use throughline_proto::wire::hello::SessionParams;

/// A lane that is ready to be attached.
pub(crate) struct NewLane {
    pub(crate) id: LaneId,
    pub(crate) info: LaneInfo,
    pub(crate) connection: Connection,
    pub(crate) sensor: Arc<LaneSensor>,
    pub(crate) control: ControlStream,
    pub(crate) origin: Origin,
    pub(crate) keys: LaneKeys,
    pub(crate) trace: Trace,
    /// How long the set-up took.
    pub(crate) setup: Duration,
    /// What the peer promised in this lane's exchange.
    pub(crate) params: SessionParams,
    /// Its place in the session, where the peer dialed it.
    pub(crate) reservation: Option<LaneReservation>,
}

/// Attaches a lane to its session and runs it to its end.
pub(crate) async fn run(session: SessionHandle, lane: NewLane) {
    let span =
        debug_span!("lane", peer = %session.name(), session = %session.id(), lane = %lane.id);
    let (id, connection) = (lane.id, lane.connection.clone());
    // Boxed: each of the futures around it that is given it would have room for it twice.
    let running = Box::pin(run_in_span(session.clone(), lane));
    contain(&session, id, &connection, running).instrument(span).await;
}

/// Runs what a lane does, and ends the lane where that panics, so that its connection does not go on
/// acknowledging what nobody reads. Its session goes on, unless the panic left that half changed.
pub(crate) async fn contain(
    session: &SessionHandle,
    id: LaneId,
    connection: &Connection,
    running: impl Future<Output = ()>,
) {
    let Err(panicked) = catch(running).await else { return };
    error!(peer = %session.name(), session = %session.id(), lane = %id,
           "lane's task panicked: {panicked}. Please report this");
    let end = LaneEnd::Panicked(panicked);
    close_with(connection, &end);
    // In a session that is half changed this may panic too; the driver ends that one.
    let _ = catch_call(|| detach(session, id, &end));
    session.wake_driver();
}

async fn run_in_span(session: SessionHandle, lane: NewLane) {
    let NewLane { id, info, connection, sensor, control, origin, .. } = lane;
    let NewLane { keys, trace, setup, params, reservation, .. } = lane;
    let work = Arc::new(Notify::new());
    let entry = attachment::entry(&connection, &sensor, &work, origin, (keys, trace));
    attach(&session, id, info, entry, setup, params);
    drop(reservation);
    let ControlStream { send, recv, decoder } = control;
    let restarts = restarts_of(&session, id);
    let alarm = session.driver_alarm();
    let memory = session.with(|core, _| core.session.memory().clone());
    let window = ReceiveWindow::new(connection.clone(), memory);
    let pump = Pump::new(session.clone(), id, connection.clone(), sensor.clone(), send, work);
    let end = tokio::select! {
        end = pump.run() => end,
        end = reader::control(&session, id, recv, decoder) => end,
        end = reader::segments(&session, &connection, &window) => end,
        end = reader::datagrams(&session, id, &connection, &sensor) => end,
        end = wake_driver_when_busy(&sensor, &alarm) => end,
        end = probe_after_restarts(&session, restarts) => end,
        end = session_over(&session) => end,
    };
    if let LaneEnd::Panicked(panicked) = &end {
        error!(peer = %session.name(), session = %session.id(), lane = %id,
               "lane closed: a segment's task panicked: {panicked}. Please report this");
    }
    if end.is_violation() && session.log().admits_line() {
        warn!(peer = %session.name(), session = %session.id(), lane = %id,
              remote = %connection.remote_address(), "lane closed: {end}");
    }
    close_with(&connection, &end);
    detach(&session, id, &end);
    session.wake_driver();
}

fn close_with(connection: &Connection, end: &LaneEnd) {
    match end {
        LaneEnd::SessionOver => close::close(connection, close::DONE, "session over"),
        LaneEnd::Connection(_) => debug!("connection lost: {end}"),
        LaneEnd::Panicked(_) => close::close(connection, close::INTERNAL, "internal error"),
        violation => close::close(connection, close::PROTOCOL, &violation.to_string()),
    }
}

/// Wakes the driver when the lane becomes busy: from then on it has to be watched.
async fn wake_driver_when_busy(sensor: &LaneSensor, alarm: &Notify) -> LaneEnd {
    loop {
        sensor.busy().notified().await;
        alarm.notify_one();
    }
}

/// Returns what is woken when the peer says that it was started anew; a lane that the peer dialed has none.
fn restarts_of(session: &SessionHandle, id: LaneId) -> Option<Arc<Notify>> {
    session.with(|core, _| Some(core.lanes.get(&id)?.dialed()?.restarts.clone()))
}

/// Has the session's lanes probed when the peer says that it was started anew. Anybody can say so who knows
/// our address and the peer's: it costs a probe a second on each lane at most, however many of them hear it.
async fn probe_after_restarts(session: &SessionHandle, restarts: Option<Arc<Notify>>) -> LaneEnd {
    let Some(restarts) = restarts else { return std::future::pending().await };
    loop {
        restarts.notified().await;
        debug!("the peer says that it was started anew");
        session.probe_lanes().await;
    }
}

/// Waits for the end of the session. Where the peer is to be sent a close message the pump sends it
/// and ends the lane itself; this is for a lane on which that takes too long.
async fn session_over(session: &SessionHandle) -> LaneEnd {
    let mut phase = session.phase();
    let _ = phase.wait_for(|phase| matches!(phase, Phase::Over(_))).await;
    if session.with(|core, _| core.session.has_close_message()) {
        tokio::time::sleep(CLOSE_FLUSH).await;
    }
    LaneEnd::SessionOver
}

/// Returns the risk that a lane shares with others (as a shared risk link group, RFC 4202): those to
/// or from one address are likely to fail together.
pub(crate) fn risk_of(address: IpAddr) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    address.to_canonical().hash(&mut hasher);
    hasher.finish()
}
