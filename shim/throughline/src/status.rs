//! What a node says of itself: a snapshot for people and programs.

use std::net::SocketAddr;
use std::time::Duration;

use throughline_proto::types::{LaneId, Mode, PeerId, SessionId, Side};
pub use throughline_uplinks::{EgressState, EgressStatus, UplinkStatus};

/// A node at one moment.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Our public key.
    pub id: PeerId,
    /// How long the node has been running.
    pub uptime: Duration,
    /// The UDP addresses we accept lanes on.
    pub listen: Vec<SocketAddr>,
    /// The uplinks, in order.
    pub uplinks: Vec<UplinkStatus>,
    /// The peers we know, in the order they were given.
    pub peers: Vec<PeerStatus>,
}

/// A peer and its sessions.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The name the configuration gives it.
    pub name: String,
    /// Its public key.
    pub id: PeerId,
    /// Its locators as given.
    pub locators: Vec<String>,
    /// Every dial to it fails, where that is so.
    pub failing: Option<Failing>,
    /// The sessions with it that ever had a lane.
    pub sessions: Vec<SessionStatus>,
}

/// Every dial to a peer fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// For how long none has succeeded.
    pub since: Duration,
    /// Why the last one failed.
    pub error: String,
}

/// A session.
#[derive(Clone, Debug)]
pub struct SessionStatus {
    /// Its id.
    pub id: SessionId,
    /// Which end we are.
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
pub enum LaneState {
    /// Being set up.
    Connecting,
    /// Carries flows.
    Up,
    /// Its acknowledgements are overdue.
    Suspect,
}

/// A lane.
#[derive(Clone, Debug)]
pub struct LaneStatus {
    /// Its number in the session.
    pub id: LaneId,
    /// The uplink at our end, where our address belongs to one.
    pub uplink: Option<String>,
    /// The interface at our end, where the system says.
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
    /// How often it was in doubt, however briefly.
    pub doubts: u64,
    /// How often the lane moved to another local address (RFC 9000 §9).
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
pub struct FlowStatus {
    /// Its number in the session.
    pub id: u64,
    /// Where it leads.
    pub target: String,
    /// How it uses lanes.
    pub mode: Mode,
    /// Bytes the application wrote.
    pub sent: u64,
    /// Bytes the application read.
    pub received: u64,
    /// Bytes that we sent again on another lane.
    pub resent: u64,
    /// Bytes that came more than once.
    pub duplicate: u64,
    /// Those of them that did because the flow goes on two lanes: that is how it is meant.
    pub copies: u64,
}
