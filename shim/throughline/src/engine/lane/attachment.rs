//! Attaches a lane to its session, and detaches it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::sync::Notify;

use super::end::LaneEnd;
use crate::clock::BootTime;
use crate::engine::session::{LaneEntry, Origin, SessionHandle};
use crate::events::EventKind;
use throughline_congestion::LaneSensor;
use throughline_proto::session::LaneInfo;
use throughline_proto::types::LaneId;
use throughline_proto::wire::hello::SessionParams;

/// Returns what the session keeps of the lane.
pub(super) fn entry(
    connection: &Connection,
    sensor: &Arc<LaneSensor>,
    work: &Arc<Notify>,
    origin: Origin,
) -> LaneEntry {
    LaneEntry {
        connection: connection.clone(),
        sensor: sensor.clone(),
        work: work.clone(),
        origin,
        attached_at: Instant::now(),
        ending: None,
    }
}

/// Attaches a lane: the session may use it from now on.
pub(super) fn attach(
    session: &SessionHandle,
    id: LaneId,
    info: LaneInfo,
    entry: LaneEntry,
    setup: Duration,
    params: SessionParams,
) {
    let log = session.log();
    session.with(|core, now| {
        let (uplink, local) = (entry.uplink().map(str::to_owned), entry.local());
        let (remote, cost) = (entry.connection.remote_address(), entry.cost());
        let dialed = matches!(entry.origin, Origin::Dialed(_));
        core.lanes.insert(id, entry);
        let detached = core.detached_since.take().map(BootTime::elapsed);
        core.session.set_peer_params(params);
        core.session.handle_lane_attached(now, id, info);
        // The peer cannot see what the lane costs here, nor what is planned.
        let draining = uplink.as_deref().is_some_and(|uplink| session.is_drained(uplink));
        core.session.advertise_use(now, id, cost, draining);
        let up = EventKind::LaneUp { local, remote, setup, dialed };
        log.emit_lane(id, uplink.as_deref(), up);
        match detached {
            Some(_) if !session.is_established() => log.emit(EventKind::SessionUp),
            Some(duration) => log.emit(EventKind::SessionResumed { duration }),
            None => {}
        }
    });
    session.established();
}

/// Detaches a lane that has ended: the session sends what it had not delivered on others.
pub(super) fn detach(session: &SessionHandle, id: LaneId, end: &LaneEnd) {
    let log = session.log();
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
}
