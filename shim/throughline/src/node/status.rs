//! Puts a node's status together.

use std::net::SocketAddr;
use std::time::Instant;

use crate::clock::BootTime;
use crate::engine::context::NodeContext;
use crate::engine::peers;
use crate::engine::session::{Core, LaneEntry, SessionHandle};
use crate::engine::sessions::Sessions;
use crate::status::{
    Failing, FlowMove, FlowStatus, HoldDown, LaneState, LaneStatus, NodeStatus, PeerStatus,
    RedundancyLoss, SessionStatus,
};
use throughline_proto::flow::Flow;
use throughline_proto::selection::CostRange;
use throughline_proto::types::{Host, LaneId, Locator};
use throughline_uplinks::Snapshot;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// The lanes, and how many flows there are.
    Lanes,
    /// Each flow, too.
    Flows,
}

pub(super) fn of(sessions: &Sessions, listen: Vec<SocketAddr>, detail: Detail) -> NodeStatus {
    let context = &sessions.context;
    let snapshot = context.uplinks.now();
    sessions.all().for_each(|session| session.with(|core, _| core.account(&context.totals)));
    let peers = context.peers.ids().into_iter().filter_map(|id| {
        let config = context.peers.config(id)?;
        Some(PeerStatus {
            name: config.name,
            id: config.id,
            other_keys: config.other_keys,
            locators: config.locators.iter().map(ToString::to_string).collect(),
            // A lane may answer that the peer dialed.
            failing: sessions.down_for(id).and_then(|_| context.peers.failing(id)).map(of_now),
            key_refused: context.peers.refused(id).map(of_now),
            // One that never had a lane is no session yet: the peer knows nothing of it.
            sessions: sessions
                .with_peer(id)
                .iter()
                .filter(|s| s.is_established())
                .map(|s| session(s, &snapshot, detail))
                .collect(),
        })
    });
    let peers = peers.collect::<Vec<_>>();
    let mut uplinks = context.uplinks.status(&remotes(context, &peers));
    for uplink in &mut uplinks {
        uplink.draining = context.drains.contains(&uplink.name);
    }
    NodeStatus {
        id: context.identity().peer_id(),
        uptime: context.started.elapsed(),
        listen,
        uplinks,
        totals: context.totals.get(),
        peers,
    }
}

fn of_now(failing: peers::Failing) -> Failing {
    Failing { since: failing.since.elapsed(), error: failing.error }
}

/// Where packets go: the locators as far as they are addresses, and the far ends of the lanes.
fn remotes(context: &NodeContext, peers: &[PeerStatus]) -> Vec<SocketAddr> {
    let locators =
        peers.iter().flat_map(|peer| context.peers.locators(context.peers.resolve(peer.id)));
    let address = |locator: Locator| match locator.host {
        Host::Ip(ip) => Some(SocketAddr::new(ip, locator.port)),
        Host::Name(_) => None,
    };
    let mut remotes: Vec<SocketAddr> = locators.filter_map(address).collect();
    let lanes = peers.iter().flat_map(|peer| &peer.sessions).flat_map(|session| &session.lanes);
    remotes.extend(lanes.map(|lane| lane.remote));
    let mut seen = std::collections::HashSet::new();
    remotes.retain(|remote| seen.insert(remote.ip()));
    remotes
}

fn session(session: &SessionHandle, snapshot: &Snapshot, detail: Detail) -> SessionStatus {
    session.with(|core, now| {
        let redundancy_losses = core.redundancy_losses.iter().map(|loss| RedundancyLoss {
            domain: loss.domain.clone(),
            duration: now.saturating_duration_since(loss.since),
            reason: loss.reason.clone(),
        });
        let redundancy_losses = redundancy_losses.collect();
        let hold_downs = core
            .hold_downs
            .iter()
            .map(|(domain, duration)| HoldDown { domain: domain.to_string(), duration: *duration });
        let hold_downs = hold_downs.collect();
        let mut lanes: Vec<LaneStatus> =
            core.lanes.iter().map(|(id, entry)| lane(core, *id, entry, snapshot)).collect();
        lanes.sort_unstable_by_key(|l| l.id);
        let mut flows: Vec<FlowStatus> = match detail {
            Detail::Lanes => Vec::new(),
            Detail::Flows => core.session.flows().map(|f| flow(f, now)).collect(),
        };
        flows.sort_unstable_by_key(|f| f.id);
        SessionStatus {
            id: session.id(),
            side: core.session.side(),
            lanes,
            live_flows: core.session.flow_count(),
            flows,
            detached: core.detached_since.map(BootTime::elapsed),
            redundancy_losses,
            hold_downs,
        }
    })
}

/// Returns the state of a lane.
pub(super) fn lane_state(core: &Core, id: LaneId) -> LaneState {
    let condition = core.session.lane_condition(id).unwrap_or_default();
    match (condition.suspected_since, core.session.lane_is_up(id)) {
        (Some(_), _) => LaneState::Suspect,
        (None, true) => LaneState::Up,
        (None, false) => LaneState::Connecting,
    }
}

fn lane(core: &Core, id: LaneId, entry: &LaneEntry, snapshot: &Snapshot) -> LaneStatus {
    let seen = entry.sensor.snapshot();
    let stats = entry.connection.stats();
    let candidate = core.session.lane_candidate(id);
    LaneStatus {
        id,
        uplink: entry.uplink().map(str::to_owned),
        interface: match entry.dialed() {
            Some(dialed) => dialed.interface.clone(),
            None => snapshot.network.interface_of(entry.local().ip()).map(str::to_owned),
        },
        local: entry.local(),
        our_key: entry.keys.ours,
        peer_key: entry.keys.peers,
        remote: entry.connection.remote_address(),
        state: lane_state(core, id),
        rtt: seen.srtt,
        mtu: stats.path.current_mtu,
        cwnd: seen.cwnd,
        sent: seen.sent_bytes,
        received: stats.udp_rx.bytes,
        lost: seen.lost_bytes,
        suspicions: core.session.lane_suspicions(id),
        usual_pause: seen.pauses.usual,
        cost: candidate.map_or(CostRange::Preferred, |lane| lane.cost.range()),
        draining: candidate.is_some_and(|lane| lane.draining),
        lossy: candidate.is_some_and(|lane| lane.lossy),
        migrations: entry.dialed().map_or(0, |d| d.migrations),
        path_challenges: stats.frame_tx.path_challenge + stats.frame_rx.path_challenge,
        path_responses: stats.frame_tx.path_response + stats.frame_rx.path_response,
        connection_ids_retired: stats.frame_tx.retire_connection_id
            + stats.frame_rx.retire_connection_id,
    }
}

fn flow(flow: &Flow, now: Instant) -> FlowStatus {
    let placement = &flow.tx.placement;
    let last_move = placement.last_move.map(|last| FlowMove {
        from: last.from,
        ago: now.saturating_duration_since(last.at),
        reason: last.reason,
    });
    let status = FlowStatus {
        id: flow.id.0,
        target: flow.target().to_string(),
        mode: flow.mode(),
        sent: flow.tx.buffer.end(),
        received: flow.rx.assembler.read_offset(),
        resent: flow.tx.resent,
        duplicate: flow.rx.assembler.duplicate(),
        intended_duplicate: flow.rx.duplicated_bytes(),
        dropped_datagrams: 0,
        thin: flow.tx.was_thin(),
        primary: placement.primary,
        secondary: placement.secondary,
        displaced_from: placement.displaced_from,
        last_move,
    };
    let Some(datagrams) = &flow.datagrams else { return status };
    let (dropped, received) = (datagrams.tx.dropped(), datagrams.rx.received());
    FlowStatus {
        sent: datagrams.tx.sent_bytes(),
        received: received.read_bytes,
        resent: 0,
        duplicate: received.duplicate_bytes,
        intended_duplicate: received.duplicate_bytes,
        dropped_datagrams: dropped.overflow
            + dropped.expired
            + dropped.too_long
            + dropped.late
            + received.overflow
            + received.unfinished
            + received.too_late,
        ..status
    }
}
