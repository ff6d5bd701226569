//! Shows the monitors of a session's lanes what can be observed, and does what they want done.

use std::time::{Duration, Instant};

use quinn::VarInt;

use crate::engine::lane;
use crate::engine::quic::close;
use crate::engine::session::{Core, LaneEntry, Origin};
use crate::events::SessionLog;
use throughline_proto::lane::{AddressListing, CloseReason, LaneAction, Observation};
use throughline_proto::types::LaneId;
use throughline_proto::wire::datagram::Datagram;
use throughline_uplinks::Snapshot;

/// What woke the driver, as far as it matters for the lanes.
pub(super) struct Wake<'a> {
    /// How late the driver's timer fired; zero where it did not.
    pub(super) late_by: Duration,
    /// Every lane is to be probed: the machine was suspended, or the peer may have been started anew.
    pub(super) probes: bool,
    /// The addresses that the system lists.
    pub(super) uplinks: &'a Snapshot,
}

/// What changed of the lanes while they were observed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LaneChanges {
    /// The peer has moved one.
    pub(super) moved: bool,
    /// The monitor reported on one: it is suspected, or no longer.
    pub(super) judged: bool,
}

/// Observes every lane, in order, and does what follows.
pub(super) fn observe_lanes(
    core: &mut Core,
    log: &SessionLog,
    now: Instant,
    wake: &Wake<'_>,
) -> LaneChanges {
    let mut changes = LaneChanges::default();
    let Core { session, lanes, .. } = core;
    let mut ids: Vec<LaneId> = lanes.keys().copied().collect();
    ids.sort_unstable();
    for id in ids {
        let Some(entry) = lanes.get_mut(&id) else { continue };
        let connection = entry.connection.clone();
        let received = move || connection.stats().udp_rx.datagrams;
        let seen = Observation {
            sensor: entry.sensor.snapshot(),
            received: &received,
            remote: entry.remote(),
            address: listing(entry, wake.uplinks),
            late_by: wake.late_by,
            resumed: wake.probes,
        };
        for action in session.observe_lane(now, id, &seen) {
            changes.judged |= matches!(action, LaneAction::Report(_));
            perform(entry, log, id, action);
        }
        session.set_max_datagram(id, entry.connection.max_datagram_size().unwrap_or(0));
        if let Origin::Accepted(accepted) = &mut entry.origin {
            changes.moved |= std::mem::replace(&mut accepted.remote, seen.remote) != seen.remote;
            session.handle_lane_migrated(now, id, lane::risk_of(seen.remote.ip()), 0);
        }
    }
    for (id, report) in session.report_hedged(now) {
        if let Some(entry) = lanes.get(&id) {
            entry.emit(log, id, report);
        }
    }
    changes
}

/// Whether the system lists the lane's address.
fn listing(entry: &LaneEntry, uplinks: &Snapshot) -> AddressListing {
    match entry.listed_ip() {
        None => AddressListing::Unknown,
        Some(ip) if uplinks.network.carries(ip) => AddressListing::Listed,
        Some(_) => AddressListing::Unlisted,
    }
}

fn perform(entry: &mut LaneEntry, log: &SessionLog, id: LaneId, action: LaneAction) {
    match action {
        LaneAction::Probe => probe(entry),
        LaneAction::Notice { narrow } => {
            let _ = entry.connection.send_datagram(Datagram::Notice { narrow }.to_bytes(0));
        }
        LaneAction::Close(reason) => {
            let (code, reason) = close_reason(reason);
            entry.end(code, reason);
        }
        LaneAction::Report(report) => entry.emit(log, id, report),
    }
}

/// Asks a lane whether it is alive, past a full window.
fn probe(entry: &LaneEntry) {
    entry.sensor.allow_probe();
    let ping = Datagram::Ping { seq: entry.sensor.on_ping() };
    // As large as a packet of bulk.
    let len = Datagram::probe_len(entry.connection.max_datagram_size().unwrap_or(0));
    let _ = entry.connection.send_datagram(ping.to_bytes(len));
}

fn close_reason(reason: CloseReason) -> (VarInt, &'static str) {
    match reason {
        CloseReason::Unresponsive => (close::UNRESPONSIVE, "nothing heard for 10 s"),
        CloseReason::OneWay => {
            (close::ONE_WAY, "what is sent is not acknowledged, although packets come")
        }
    }
}
