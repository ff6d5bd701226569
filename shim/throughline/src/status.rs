//! A node at one moment, for people and programs.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use throughline_proto::types::{LaneId, Mode, PeerId, SessionId, Side};
use throughline_uplinks::UplinkStatus;

/// A node at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Our public key.
    pub id: PeerId,
    /// How long the node has been running.
    pub uptime: Duration,
    /// The UDP addresses that we accept lanes on.
    pub listen: Vec<SocketAddr>,
    /// The uplinks, in order.
    pub uplinks: Vec<UplinkStatus>,
    /// The peers, in the order of [`NodeBuilder::peer`](crate::NodeBuilder::peer).
    pub peers: Vec<PeerStatus>,
}

/// A peer and its sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its public key.
    pub id: PeerId,
    /// Its locators as configured.
    pub locators: Vec<String>,
    /// Why it cannot be reached, while every dial to it fails.
    pub failing: Option<Failing>,
    /// The sessions with it that ever had a lane.
    pub sessions: Vec<SessionStatus>,
}

/// For how long, and why, every dial to a peer fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failing {
    /// How long ago the first of them failed.
    pub since: Duration,
    /// Why the last one failed.
    pub error: String,
}

/// A session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionStatus {
    /// Its id.
    pub id: SessionId,
    /// Whether we initiated it.
    pub side: Side,
    /// Its lanes.
    pub lanes: Vec<LaneStatus>,
    /// Its live flows.
    pub flows: Vec<FlowStatus>,
    /// How long it has had no lane, if it has none.
    pub detached: Option<Duration>,
}

/// The state of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneState {
    /// Being set up.
    Connecting,
    /// Carries flows.
    Up,
    /// Suspected: its acknowledgements are overdue.
    Suspect,
}

impl fmt::Display for LaneState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Suspect => "suspect",
        })
    }
}

/// A lane.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LaneStatus {
    /// Its number in the session.
    pub id: LaneId,
    /// The uplink at our end, where our address belongs to one.
    pub uplink: Option<String>,
    /// The interface at our end, where the system reveals it.
    pub interface: Option<String>,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Its state.
    pub state: LaneState,
    /// The smoothed round-trip time (RFC 9002 §5.3).
    pub rtt: Duration,
    /// The largest UDP payload that the path is known to pass, in bytes (RFC 8899).
    pub mtu: u16,
    /// The congestion window, in bytes (RFC 9002 §7).
    pub cwnd: u64,
    /// Bytes sent, with QUIC's overhead.
    pub sent: u64,
    /// Bytes received, with QUIC's overhead.
    pub received: u64,
    /// Bytes declared lost.
    pub lost: u64,
    /// How often it was suspected, however briefly.
    pub suspicions: u64,
    /// How often we migrated it to another local address (RFC 9000 §9).
    pub migrations: u64,
    /// PATH_CHALLENGE frames, both ways (RFC 9000 §8.2): the paths being validated.
    pub path_challenges: u64,
    /// PATH_RESPONSE frames, both ways.
    pub path_responses: u64,
    /// RETIRE_CONNECTION_ID frames, both ways: a migration takes a new connection ID (§9.5).
    pub connection_ids_retired: u64,
}

/// A flow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlowStatus {
    /// Its number in the session.
    pub id: u64,
    /// Its destination.
    pub target: String,
    /// How it uses lanes.
    pub mode: Mode,
    /// Bytes the application wrote.
    pub sent: u64,
    /// Bytes the application read.
    pub received: u64,
    /// Bytes that we sent again on another lane, as theirs was suspected or gone.
    pub resent: u64,
    /// Bytes that arrived more than once.
    pub duplicate: u64,
    /// The part of `duplicate` that is intended: the flow is sent on two lanes.
    pub intended_duplicate: u64,
}
