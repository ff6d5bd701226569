//! A node at one moment, for people and programs.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use throughline_proto::selection::{CostRange, MoveReason};
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
    /// What went over the uplinks since the start; one of no name counts lanes whose uplink is not known.
    pub totals: Vec<UplinkTotals>,
    /// The peers, in the order of [`NodeBuilder::peer`](crate::NodeBuilder::peer).
    pub peers: Vec<PeerStatus>,
}

/// What went over an uplink since the node's start, and what failed on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UplinkTotals {
    /// The uplink, where it is known.
    pub uplink: Option<String>,
    /// Lanes that were set up, dialed by either end.
    pub lanes: u64,
    /// Lanes that failed: they did not answer when they ended or were migrated to another uplink, or ended without
    /// either end's wish.
    pub failed_lanes: u64,
    /// The live flows of sessions of which a lane failed, added up: counted once they went on, over another lane or
    /// after the outage.
    pub surviving_flows: u64,
    /// How often lanes were suspected, however briefly.
    pub suspicions: u64,
    /// Bytes sent, with QUIC's overhead.
    pub sent: u64,
    /// Bytes received, with QUIC's overhead.
    pub received: u64,
    /// Bytes declared lost.
    pub lost: u64,
}

/// A peer and its sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its public key.
    pub id: PeerId,
    /// Other keys that it may show, while it changes its key.
    pub other_keys: Vec<PeerId>,
    /// Its locators as configured.
    pub locators: Vec<String>,
    /// Why it cannot be reached, while every dial to it fails and no lane answers.
    pub failing: Option<Failing>,
    /// For how long, and why, dials to it have failed because one end does not know the other's key, although other
    /// lanes answer; `None` since one got through.
    pub key_refused: Option<Failing>,
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
    /// How many flows are live.
    pub live_flows: usize,
    /// The live flows; none of them in [`Node::status_without_flows`](crate::Node::status_without_flows).
    pub flows: Vec<FlowStatus>,
    /// How long it has had no lane, if it has none.
    pub detached: Option<Duration>,
    /// The uplinks, and prefixes of the peer, over which no lane answers although others do. Known where we
    /// initiated it.
    pub redundancy_losses: Vec<RedundancyLoss>,
    /// The uplinks, and prefixes of the peer, that are held down. Known where we initiated it.
    pub hold_downs: Vec<HoldDown>,
}

/// Something that has failed, and is not preferred again until it has answered for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldDown {
    /// The uplink, or the prefix of the peer.
    pub domain: String,
    /// For how long it has to answer.
    pub duration: Duration,
}

/// Something without a lane that answers, while others have one: the next failure may leave none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedundancyLoss {
    /// The uplink, or the prefix of the peer.
    pub domain: String,
    /// For how long no lane over it has answered.
    pub duration: Duration,
    /// Why.
    pub reason: String,
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
    /// The key that we have shown.
    pub our_key: PeerId,
    /// The key that the peer has shown.
    pub peer_key: PeerId,
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
    /// How long its path pauses as a rule: silences of this length come about once a minute. Zero where
    /// it does not pause, or not that often.
    pub usual_pause: Duration,
    /// How willingly flows use it, by what it costs and how it has failed.
    pub cost: CostRange,
    /// Whether either end is about to close it.
    pub draining: bool,
    /// Whether it loses much of what is sent.
    pub lossy: bool,
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
    /// Datagrams of a datagram flow that were dropped at this end, either way: too many, too old, or too long.
    pub dropped_datagrams: u64,
    /// Whether it writes so little that a second copy costs nothing.
    pub thin: bool,
    /// The lane that takes its new bytes.
    pub primary: Option<LaneId>,
    /// The lane that carries them a second time.
    pub secondary: Option<LaneId>,
    /// The lane that it left because that was suspect, while it still is.
    pub displaced_from: Option<LaneId>,
    /// When and why it last moved to another lane.
    pub last_move: Option<FlowMove>,
}

/// A move of a flow to another lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowMove {
    /// The lane that it left.
    pub from: LaneId,
    /// How long ago.
    pub ago: Duration,
    /// Why.
    pub reason: MoveReason,
}
