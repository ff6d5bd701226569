//! The state of a daemon as JSON: what `throughline status --json` prints.
//!
//! A stable mirror of [`NodeStatus`]: fields are added, never renamed or removed. Durations are in
//! milliseconds or seconds as the name says, bytes are counts since the start of the thing.

mod table;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use throughline::{
    EgressState, EgressStatus, FlowStatus, LaneStatus, NodeStatus, PeerStatus, SessionStatus, Side,
    UplinkStatus,
};

/// A daemon at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its public key, `tlk1…`.
    pub id: String,
    /// Its version.
    pub version: String,
    /// How long it has been running, in seconds.
    pub uptime_s: f64,
    /// The UDP addresses it accepts lanes on.
    pub listen: Vec<SocketAddr>,
    /// The uplinks, in order.
    pub uplinks: Vec<UplinkReport>,
    /// The peers, in the order of the configuration.
    pub peers: Vec<PeerReport>,
}

/// One way out of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UplinkReport {
    /// Its name.
    pub name: String,
    /// The addresses found under it.
    pub addresses: Vec<IpAddr>,
    /// `pa` (the provider's addresses) or `pi` (the site's own).
    pub class: String,
    /// Whether using it costs money.
    pub metered: bool,
    /// Whether it is drained: its lanes take nothing new.
    #[serde(default)]
    pub draining: bool,
    /// How many lanes are on it.
    #[serde(default)]
    pub lanes: usize,
    /// How packets from its addresses leave for each address of the peers.
    pub egress_checks: Vec<EgressReport>,
}

/// How packets from one of the host's addresses leave for an address of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EgressReport {
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// The interface they leave by; `null` where that is not known.
    pub interface: Option<String>,
    /// The router they are handed to; `null` where there is none.
    pub gateway: Option<IpAddr>,
    /// `own`, `bound`, `wrong-uplink`, `local`, `no-route` or `unknown`.
    pub state: String,
    /// Of `wrong-uplink`: the uplink they leave by.
    pub uplink: Option<String>,
    /// What is wrong and how to mend it, in words; `null` where nothing is.
    pub trouble: Option<String>,
}

/// A peer and its sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Its name in the configuration.
    pub name: String,
    /// Its public key, `tlk1…`.
    pub id: String,
    /// Its locators as configured.
    pub locators: Vec<String>,
    /// Every dial to it fails, where that is so; `null` otherwise.
    #[serde(default)]
    pub failing: Option<FailingReport>,
    /// The sessions with it that ever had a lane.
    pub sessions: Vec<SessionReport>,
}

/// Every dial to a peer fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailingReport {
    /// For how long none has succeeded, in seconds.
    pub since_s: f64,
    /// Why the last one failed.
    pub error: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionReport {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// `initiator` or `acceptor`: which end this daemon is.
    pub side: String,
    /// For how long it has had no lane, in seconds; `null` where it has one.
    pub detached_s: Option<f64>,
    /// Its lanes.
    pub lanes: Vec<LaneReport>,
    /// Its live flows.
    pub flows: Vec<FlowReport>,
}

/// A lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneReport {
    /// Its number in the session.
    pub id: u64,
    /// The uplink at this end; `null` where the address belongs to none.
    pub uplink: Option<String>,
    /// The interface at this end; `null` where the system does not say.
    pub interface: Option<String>,
    /// The address at this end.
    pub local: SocketAddr,
    /// The address at the peer's end.
    pub remote: SocketAddr,
    /// `connecting`, `up` or `suspect`.
    pub state: String,
    /// The smoothed round-trip time, in milliseconds.
    pub rtt_ms: f64,
    /// The congestion window, in bytes.
    pub cwnd_bytes: u64,
    /// The largest UDP payload that the path is known to pass, in bytes (RFC 8899).
    pub mtu_bytes: u16,
    /// Bytes sent, with QUIC's overhead.
    pub sent_bytes: u64,
    /// Bytes received, with QUIC's overhead.
    #[serde(default)]
    pub received_bytes: u64,
    /// Bytes declared lost.
    pub lost_bytes: u64,
    /// How often it was in doubt, however briefly.
    #[serde(default)]
    pub doubts: u64,
    /// How often it moved to another local address.
    pub migrations: u64,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowReport {
    /// Its number in the session.
    pub id: u64,
    /// Where it leads.
    pub target: String,
    /// `auto`, `single`, `bond` or `redundant`.
    pub mode: String,
    /// Bytes the application wrote.
    pub sent_bytes: u64,
    /// Bytes the application read.
    pub received_bytes: u64,
    /// Bytes sent again on another lane.
    pub resent_bytes: u64,
    /// Bytes that came more than once.
    pub duplicate_bytes: u64,
    /// Those of them that did because the flow goes on two lanes: that is how it is meant.
    #[serde(default)]
    pub copy_bytes: u64,
}

impl From<&NodeStatus> for Report {
    fn from(node: &NodeStatus) -> Self {
        let lanes = || node.peers.iter().flat_map(|p| &p.sessions).flat_map(|s| &s.lanes);
        let on = |name: &str| lanes().filter(|l| l.uplink.as_deref() == Some(name)).count();
        let uplink = |u: &UplinkStatus| UplinkReport { lanes: on(&u.name), ..u.into() };
        Self {
            id: node.id.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: node.uptime.as_secs_f64(),
            listen: node.listen.clone(),
            uplinks: node.uplinks.iter().map(uplink).collect(),
            peers: node.peers.iter().map(Into::into).collect(),
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
            draining: uplink.draining,
            lanes: 0,
            egress_checks: uplink.egress_checks.iter().map(Into::into).collect(),
        }
    }
}

impl From<&EgressStatus> for EgressReport {
    fn from(exit: &EgressStatus) -> Self {
        let (state, uplink) = match &exit.state {
            EgressState::Own => ("own", None),
            EgressState::Bound => ("bound", None),
            EgressState::WrongUplink { uplink } => ("wrong-uplink", uplink.clone()),
            EgressState::Local => ("local", None),
            EgressState::NoRoute => ("no-route", None),
            EgressState::Unknown => ("unknown", None),
        };
        Self {
            local: exit.local,
            remote: exit.remote,
            interface: exit.interface.clone(),
            gateway: exit.gateway,
            state: state.to_owned(),
            uplink,
            trouble: exit.hint().map(|_| exit.to_string()),
        }
    }
}

impl From<&PeerStatus> for PeerReport {
    fn from(peer: &PeerStatus) -> Self {
        Self {
            name: peer.name.clone(),
            id: peer.id.to_string(),
            locators: peer.locators.clone(),
            failing: peer.failing.as_ref().map(|failing| FailingReport {
                since_s: failing.since.as_secs_f64(),
                error: failing.error.clone(),
            }),
            sessions: peer.sessions.iter().map(Into::into).collect(),
        }
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
            lanes: session.lanes.iter().map(Into::into).collect(),
            flows: session.flows.iter().map(Into::into).collect(),
        }
    }
}

impl From<&LaneStatus> for LaneReport {
    fn from(lane: &LaneStatus) -> Self {
        Self {
            id: lane.id.0,
            uplink: lane.uplink.clone(),
            interface: lane.interface.clone(),
            local: lane.local,
            remote: lane.remote,
            state: lane.state.to_string(),
            rtt_ms: lane.rtt.as_secs_f64() * 1e3,
            cwnd_bytes: lane.cwnd,
            mtu_bytes: lane.mtu,
            sent_bytes: lane.sent,
            received_bytes: lane.received,
            lost_bytes: lane.lost,
            doubts: lane.suspicions,
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
            copy_bytes: flow.intended_duplicate,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
