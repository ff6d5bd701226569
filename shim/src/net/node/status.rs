//! Puts a node's status together.

use std::net::SocketAddr;

use super::shared::NodeShared;
use crate::net::clock::BootTime;
use crate::net::lane::LaneEntry;
use crate::net::session::{Core, SessionHandle};
use crate::net::status::{
    Failing, FlowStatus, LaneState, LaneStatus, NodeStatus, PeerStatus, SessionStatus,
};
use crate::net::uplinks::{self, Uplink};
use crate::state::flow::Flow;
use crate::vocab::ids::LaneId;

pub(super) fn of(node: &NodeShared, listen: Vec<SocketAddr>) -> NodeStatus {
    let peers = node.peers().iter().filter_map(|id| {
        let config = node.peer_config(*id)?;
        Some(PeerStatus {
            name: config.name,
            id: *id,
            locators: config.locators.iter().map(ToString::to_string).collect(),
            failing: node
                .failing(*id)
                .map(|(since, error)| Failing { since: since.elapsed(), error }),
            sessions: node.sessions(*id).iter().map(session).collect(),
        })
    });
    let uplink = |u: &Uplink| u.status(node.drains().contains(&u.name));
    NodeStatus {
        id: node.identity().peer_id(),
        uptime: node.started.elapsed(),
        listen,
        uplinks: uplinks::enumerate(node.uplinks()).iter().map(uplink).collect(),
        peers: peers.collect(),
    }
}

fn session(session: &SessionHandle) -> SessionStatus {
    session.with(|core, _| {
        let mut lanes: Vec<LaneStatus> =
            core.lanes.iter().map(|(id, entry)| lane(core, *id, entry)).collect();
        lanes.sort_unstable_by_key(|l| l.id);
        let mut flows: Vec<FlowStatus> = core.session.flows().map(flow).collect();
        flows.sort_unstable_by_key(|f| f.id);
        SessionStatus {
            id: session.id(),
            side: core.session.side(),
            lanes,
            flows,
            detached: core.detached_since.map(BootTime::elapsed),
        }
    })
}

fn lane(core: &Core, id: LaneId, entry: &LaneEntry) -> LaneStatus {
    let seen = entry.sensor.snapshot();
    let stats = entry.connection.stats();
    let state = match (entry.suspect_since, core.session.lane_is_up(id)) {
        (Some(_), _) => LaneState::Suspect,
        (None, true) => LaneState::Up,
        (None, false) => LaneState::Connecting,
    };
    LaneStatus {
        id,
        uplink: entry.uplink().map(str::to_owned),
        local: entry.local(),
        remote: entry.connection.remote_address(),
        state,
        rtt: seen.srtt,
        cwnd: seen.cwnd,
        sent: seen.sent_bytes,
        lost: seen.lost_bytes,
        migrations: entry.dialled.as_ref().map_or(0, |d| d.migrations),
        path_challenges: stats.frame_tx.path_challenge + stats.frame_rx.path_challenge,
        path_responses: stats.frame_tx.path_response + stats.frame_rx.path_response,
        connection_ids_retired: stats.frame_tx.retire_connection_id
            + stats.frame_rx.retire_connection_id,
    }
}

fn flow(flow: &Flow) -> FlowStatus {
    FlowStatus {
        id: flow.id.0,
        target: flow.target().to_string(),
        mode: flow.mode(),
        sent: flow.tx.buffer.end(),
        received: flow.rx.assembler.read_offset(),
        resent: flow.tx.resent,
        duplicate: flow.rx.assembler.duplicate(),
        copies: flow.rx.copies,
    }
}
