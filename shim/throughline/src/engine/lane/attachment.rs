//! Attaches a lane to its session, and detaches it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::sync::Notify;

use super::end::LaneEnd;
use crate::clock::BootTime;
use crate::engine::allowances::USED_UP;
use crate::engine::qlog::Trace;
use crate::engine::quic::close;
use crate::engine::session::{LaneEntry, LaneKeys, Origin, SessionHandle};
use crate::engine::totals::Accounted;
use crate::events::EventKind;
use throughline_congestion::LaneSensor;
use throughline_proto::path::PathKey;
use throughline_proto::session::LaneInfo;
use throughline_proto::types::LaneId;
use throughline_proto::wire::hello::SessionParams;

/// Why a lane ends whose key is none of the peer's any more.
pub(crate) const KEY_REMOVED: &str = "the key that the peer showed was removed";

/// Returns what the session keeps of the lane.
pub(super) fn entry(
    connection: &Connection,
    sensor: &Arc<LaneSensor>,
    work: &Arc<Notify>,
    origin: Origin,
    (keys, trace): (LaneKeys, Trace),
) -> LaneEntry {
    LaneEntry {
        connection: connection.clone(),
        sensor: sensor.clone(),
        work: work.clone(),
        origin,
        keys,
        trace,
        attached_at: Instant::now(),
        accounted: Accounted::default(),
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
        let (remote, cost) = (entry.connection.remote_address(), session.cost_of(&entry));
        let dialed = matches!(entry.origin, Origin::Dialed(_));
        core.grant_streams(&entry);
        session.qlogs().attached(
            &entry.trace,
            session.peer(),
            (session.id(), id),
            uplink.as_deref(),
            (local, remote),
        );
        core.lanes.insert(id, entry);
        let detached = core.detached_since.take().map(BootTime::elapsed);
        core.session.set_peer_params(params);
        core.session.handle_lane_attached(now, id, info);
        // The peer cannot see what the lane costs here, nor what is planned.
        let draining = uplink.as_deref().is_some_and(|uplink| session.is_drained(uplink));
        core.session.advertise_use(now, id, cost, draining);
        let up = EventKind::LaneUp { local, remote, setup, dialed };
        log.emit_lane(id, uplink.as_deref(), up);
        session.totals().lane_up(uplink.as_deref());
        if let Some(failed) = core.outage_of.take() {
            session.totals().flows_survived(failed.as_deref(), core.session.flow_count());
        }
        // While it was set up, its key may have been removed: whoever removes one ends the lanes there are
        // afterwards, so none slips through.
        if let Some(lane) = core.lanes.get_mut(&id)
            && !log.label().accepts(lane.keys.peers)
        {
            lane.end(close::REJECTED, KEY_REMOVED);
        }
        // In the same way its uplink may have been used up.
        if uplink.as_deref().is_some_and(|uplink| session.is_forbidden(uplink))
            && let Some(lane) = core.lanes.get_mut(&id)
        {
            lane.end(close::REPLACED, USED_UP);
        }
        // In the same way its session may have been handed over.
        if core.has_left
            && let Some(lane) = core.lanes.get_mut(&id)
        {
            lane.end_as_handed_over();
        }
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
        core.account(session.totals());
        let was_suspect = core.is_suspect(id);
        core.session.handle_lane_detached(now, id);
        let entry = core.lanes.remove(&id);
        if let Some(dialed) = entry.as_ref().and_then(|e| e.dialed()).filter(|_| end.is_reset()) {
            let path = PathKey { local: dialed.local.ip(), remote: dialed.remote };
            core.reset_paths.push(path);
        }
        if let Some(entry) = &entry {
            reports.into_iter().for_each(|report| entry.emit(log, id, report));
        }
        let uplink = entry.as_ref().and_then(|e| e.uplink()).map(str::to_owned);
        let reason = match entry.as_ref().and_then(|e| e.ending) {
            Some(ending) => ending.to_owned(),
            None => end.to_string(),
        };
        let ended_by_us = entry.as_ref().is_some_and(|e| e.is_ending());
        if was_suspect || !(ended_by_us || end.is_orderly()) {
            session.totals().lane_failed(uplink.as_deref());
            // After a reset nothing is certain before a lane resumes the session.
            if core.answers() && !end.is_reset() {
                session.totals().flows_survived(uplink.as_deref(), core.session.flow_count());
            } else {
                core.outage_of = Some(uplink.clone());
            }
        }
        let duration = entry.map(|e| e.age(now)).unwrap_or_default();
        log.emit_lane(id, uplink.as_deref(), EventKind::LaneDown { reason, duration });
        if core.lanes.is_empty() {
            core.detached_since = Some(BootTime::now());
            // Of one that another process has that one says what becomes of it.
            if core.session.closed().is_none() && !core.has_left {
                let linger = core.session.params().linger;
                log.emit(EventKind::SessionDetached { linger });
            }
        }
    });
    session.lanes_changed();
}
