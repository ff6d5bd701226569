//! From the status of a node to the report.

use super::{
    DescriptorsReport, DialFailureReport, EgressReport, FlowReport, HoldDownReport, LaneReport,
    MoveReport, PeerReport, RedundancyLossReport, Report, SessionReport, TotalsReport,
    UplinkReport,
};
use throughline::{
    CostRange, EgressState, EgressStatus, Failing, FlowMove, FlowStatus, HoldDown, LaneState,
    LaneStatus, MoveReason, NodeStatus, PeerStatus, RedundancyLoss, SessionStatus, Side,
    UplinkStatus, UplinkTotals,
};

impl From<&NodeStatus> for Report {
    fn from(node: &NodeStatus) -> Self {
        let lanes = || node.peers.iter().flat_map(|p| &p.sessions).flat_map(|s| &s.lanes);
        let on = |name: &str, counts: fn(&LaneStatus) -> bool| {
            lanes().filter(|l| l.uplink.as_deref() == Some(name) && counts(l)).count()
        };
        let uplink = |u: &UplinkStatus| UplinkReport {
            lanes: on(&u.name, |_| true),
            lanes_up: on(&u.name, |lane| lane.state == LaneState::Up),
            ..u.into()
        };
        Self {
            id: node.id.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: node.uptime.as_secs_f64(),
            listen: node.listen.clone(),
            // The node knows of none: the daemon's connections take them.
            descriptors: DescriptorsReport::default(),
            file: None,
            tasks: 0,
            interception: None,
            uplinks: node.uplinks.iter().map(uplink).collect(),
            totals: node.totals.iter().map(Into::into).collect(),
            peers: node.peers.iter().map(Into::into).collect(),
        }
    }
}

impl From<&UplinkTotals> for TotalsReport {
    fn from(totals: &UplinkTotals) -> Self {
        Self {
            uplink: totals.uplink.clone(),
            lanes: totals.lanes,
            failed_lanes: totals.failed_lanes,
            surviving_flows: totals.surviving_flows,
            suspicions: totals.suspicions,
            sent_bytes: totals.sent,
            received_bytes: totals.received,
            lost_bytes: totals.lost,
        }
    }
}

impl From<&UplinkStatus> for UplinkReport {
    fn from(uplink: &UplinkStatus) -> Self {
        Self {
            name: uplink.name.clone(),
            addresses: uplink.addresses.clone(),
            class: uplink.class.to_string(),
            metered: uplink.metered,
            overflow_after_s: uplink.overflow.map(|after| after.as_secs_f64()),
            // The daemon's business, not the node's.
            budget: None,
            discovered: uplink.discovered,
            draining: uplink.draining,
            lanes: 0,
            lanes_up: 0,
            egress_checks: uplink.egress_checks.iter().map(Into::into).collect(),
        }
    }
}

impl From<&EgressStatus> for EgressReport {
    fn from(check: &EgressStatus) -> Self {
        let (state, uplink) = match &check.state {
            EgressState::Own => ("own", None),
            EgressState::Bound => ("bound", None),
            EgressState::WrongUplink { uplink } => ("wrong-uplink", uplink.clone()),
            EgressState::Local => ("local", None),
            EgressState::NoRoute => ("no-route", None),
            _ => ("unknown", None),
        };
        Self {
            local: check.local,
            remote: check.remote,
            interface: check.interface.clone(),
            gateway: check.gateway,
            state: state.to_owned(),
            uplink,
            problem: check.hint().map(|_| check.to_string()),
        }
    }
}

impl From<&PeerStatus> for PeerReport {
    fn from(peer: &PeerStatus) -> Self {
        Self {
            name: peer.name.clone(),
            id: peer.id.to_string(),
            other_keys: peer.other_keys.iter().map(ToString::to_string).collect(),
            locators: peer.locators.clone(),
            dial_failure: peer.failing.as_ref().map(Into::into),
            key_refusal: peer.key_refused.as_ref().map(Into::into),
            sessions: peer.sessions.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Failing> for DialFailureReport {
    fn from(failing: &Failing) -> Self {
        Self { duration_s: failing.since.as_secs_f64(), reason: failing.error.clone() }
    }
}

impl From<&SessionStatus> for SessionReport {
    fn from(session: &SessionStatus) -> Self {
        let side = match session.side {
            Side::Initiator => "initiator",
            Side::Acceptor => "acceptor",
        };
        Self {
            id: format!("{:032x}", session.id.0),
            side: side.to_owned(),
            detached_s: session.detached.map(|detached| detached.as_secs_f64()),
            redundancy_losses: session.redundancy_losses.iter().map(Into::into).collect(),
            hold_downs: session.hold_downs.iter().map(Into::into).collect(),
            lanes: session.lanes.iter().map(Into::into).collect(),
            live_flows: session.live_flows,
            flows: session.flows.iter().map(Into::into).collect(),
        }
    }
}

impl From<&RedundancyLoss> for RedundancyLossReport {
    fn from(loss: &RedundancyLoss) -> Self {
        Self {
            domain: loss.domain.clone(),
            duration_s: loss.duration.as_secs_f64(),
            reason: loss.reason.clone(),
        }
    }
}

impl From<&HoldDown> for HoldDownReport {
    fn from(held: &HoldDown) -> Self {
        Self { domain: held.domain.clone(), duration_s: held.duration.as_secs_f64() }
    }
}

impl From<&FlowMove> for MoveReport {
    fn from(last: &FlowMove) -> Self {
        let reason = match last.reason {
            MoveReason::Gone => "gone",
            MoveReason::Suspect => "suspect",
            MoveReason::Unready => "unready",
            MoveReason::Draining => "draining",
            MoveReason::Metered => "metered",
            MoveReason::Lossy => "lossy",
            MoveReason::MoreElsewhere => "more-elsewhere",
            MoveReason::Restored => "restored",
            MoveReason::Spurious => "spurious",
            _ => "unknown",
        };
        Self { from: last.from.0, ago_s: last.ago.as_secs_f64(), reason: reason.to_owned() }
    }
}

/// Returns the name of a range of costs.
fn cost(range: CostRange) -> String {
    let name = match range {
        CostRange::Preferred => "preferred",
        CostRange::WaitToRestore => "wait-to-restore",
        CostRange::HeldDown => "held-down",
        CostRange::Overflow => "overflow",
        CostRange::Metered => "metered",
        CostRange::ThinFlows => "thin-flows",
    };
    name.to_owned()
}

impl From<&LaneStatus> for LaneReport {
    fn from(lane: &LaneStatus) -> Self {
        Self {
            id: lane.id.0,
            uplink: lane.uplink.clone(),
            interface: lane.interface.clone(),
            local: lane.local,
            remote: lane.remote,
            our_key: lane.our_key.to_string(),
            peer_key: lane.peer_key.to_string(),
            state: lane.state.to_string(),
            rtt_ms: lane.rtt.as_secs_f64() * 1e3,
            cwnd_bytes: lane.cwnd,
            mtu_bytes: lane.mtu,
            sent_bytes: lane.sent,
            received_bytes: lane.received,
            lost_bytes: lane.lost,
            suspicions: lane.suspicions,
            usual_pause_ms: lane.usual_pause.as_secs_f64() * 1e3,
            cost: cost(lane.cost),
            draining: lane.draining,
            lossy: lane.lossy,
            migrations: lane.migrations,
        }
    }
}

impl From<&FlowStatus> for FlowReport {
    fn from(flow: &FlowStatus) -> Self {
        Self {
            id: flow.id,
            target: flow.target.clone(),
            mode: flow.mode.to_string(),
            sent_bytes: flow.sent,
            received_bytes: flow.received,
            resent_bytes: flow.resent,
            duplicate_bytes: flow.duplicate,
            intended_duplicate_bytes: flow.intended_duplicate,
            dropped_datagrams: flow.dropped_datagrams,
            thin: flow.thin,
            primary_lane: flow.primary.map(|lane| lane.0),
            secondary_lane: flow.secondary.map(|lane| lane.0),
            displaced_from: flow.displaced_from.map(|lane| lane.0),
            last_move: flow.last_move.as_ref().map(Into::into),
        }
    }
}
