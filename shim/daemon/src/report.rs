//! The state of a daemon as JSON, as `throughline status --json` prints it.
//!
//! A stable mirror of [`NodeStatus`]: fields are added, never
//! renamed or removed. Durations are in milliseconds or seconds, as the name says. Counts of bytes
//! begin with the thing they belong to.

mod convert;
mod health;
mod table;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use self::health::NO_ADDRESS;
pub(crate) use self::table::amount;
use throughline::{Node, NodeStatus};

/// Returns the report at the moment of the call.
pub type ReportSource = Arc<dyn Fn(Detail) -> Report + Send + Sync>;

/// How much is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The lanes, and how many flows there are: as cheap with thousands of them as with none.
    Lanes,
    /// Each flow, too.
    Flows,
}

impl Detail {
    /// Returns the status of a node that is reported.
    pub fn of(self, node: &Node) -> NodeStatus {
        match self {
            Self::Lanes => node.status_without_flows(),
            Self::Flows => node.status(),
        }
    }
}

/// A daemon at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The daemon's public key, `tlk1…`.
    pub id: String,
    /// The program's version.
    pub version: String,
    /// How long the daemon has been running, in seconds.
    pub uptime_s: f64,
    /// The UDP addresses that it accepts lanes on.
    pub listen: Vec<SocketAddr>,
    /// How many descriptors there are, and for what.
    #[serde(default)]
    pub descriptors: DescriptorsReport,
    /// The configuration file that it reads at a reload; `null` if there is none.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// How many asynchronous tasks there are: some for each lane, and for each connection.
    #[serde(default)]
    pub tasks: usize,
    /// What the kernel brings here of programs and hosts that know of no proxy; `null` where no ingress intercepts.
    #[serde(default)]
    pub interception: Option<InterceptionReport>,
    /// The uplinks, in order.
    pub uplinks: Vec<UplinkReport>,
    /// What went over the uplinks since the start; one of no name counts lanes whose uplink is not known.
    #[serde(default)]
    pub totals: Vec<TotalsReport>,
    /// The peers, in the order of the configuration.
    pub peers: Vec<PeerReport>,
}

/// How many descriptors there are, and for what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorsReport {
    /// The limit of the process.
    pub limit: usize,
    /// How many of them connections of applications and destinations may take; the others are for
    /// lanes.
    pub for_connections: usize,
    /// How many of those they have taken.
    pub connections: usize,
}

/// What the kernel brings here of programs and hosts that know of no proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterceptionReport {
    /// The table of nftables.
    pub table: String,
    /// Why the rules in it cannot be looked after; `null` if nothing is wrong.
    pub problem: Option<String>,
    /// The ingresses of kind `intercept`, in order.
    pub ingresses: Vec<InterceptingReport>,
}

/// An ingress that intercepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterceptingReport {
    /// Its name.
    pub name: String,
    /// What it takes: `tcp` or `udp`.
    pub protocol: String,
    /// Whose, and to where, as text.
    pub of: String,
    /// The port that the kernel leads to.
    pub port: u16,
}

/// An uplink: one way out of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UplinkReport {
    /// Its name.
    pub name: String,
    /// The host's addresses on it.
    pub addresses: Vec<IpAddr>,
    /// `pa` (provider-assigned addresses) or `pi` (provider-independent ones).
    pub class: String,
    /// Whether its use is metered, so that it is a standby.
    pub metered: bool,
    /// For how long the others have to be full before bulk uses it as well, in seconds; `null` where it never does.
    #[serde(default)]
    pub overflow_after_s: Option<f64>,
    /// What it may carry in a month, and has carried; `null` where that is not bounded.
    #[serde(default)]
    pub budget: Option<BudgetReport>,
    /// Whether it was discovered, not configured.
    #[serde(default)]
    pub discovered: bool,
    /// Whether it is drained: nothing new goes over its lanes.
    #[serde(default)]
    pub draining: bool,
    /// The number of lanes on it.
    #[serde(default)]
    pub lanes: usize,
    /// The number of those that answer.
    #[serde(default)]
    pub lanes_up: usize,
    /// By which way packets leave from its addresses to each address of the peers.
    pub egress_checks: Vec<EgressReport>,
}

/// What an uplink may carry in a month, and has carried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetReport {
    /// All bytes of a month, both ways, with the headers of UDP and IP.
    pub budget_bytes: u64,
    /// Those of this month.
    pub used_bytes: u64,
    /// What is left.
    pub remaining_bytes: u64,
    /// `within`, `low` (four fifths are used) or `spent`.
    pub state: String,
    /// What may be used when it is spent: `stop` or `thin`.
    pub at_budget: String,
    /// The date at which it begins anew, at midnight UTC; `null` until the clock is set.
    pub resets_on: Option<String>,
}

/// By which way packets leave from one of the host's addresses to an address of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EgressReport {
    /// The host's address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The interface they leave by; `null` if unknown.
    pub interface: Option<String>,
    /// The router they are sent to; `null` if there is none.
    pub gateway: Option<IpAddr>,
    /// `own`, `bound`, `wrong-uplink`, `local`, `no-route` or `unknown`.
    pub state: String,
    /// With `wrong-uplink`, the uplink they leave by.
    pub uplink: Option<String>,
    /// What is wrong and how to correct it; `null` if nothing is wrong.
    pub problem: Option<String>,
}

/// What went over an uplink since the daemon's start, and what failed on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TotalsReport {
    /// The uplink; `null` where it is not known.
    pub uplink: Option<String>,
    /// Lanes that were set up, dialed by either end.
    pub lanes: u64,
    /// Lanes that did not answer when they ended or were migrated away, or that neither end ended on purpose.
    pub failed_lanes: u64,
    /// The live flows of a lane's session when it failed, added up: they went on.
    pub surviving_flows: u64,
    /// How often lanes were suspected, however briefly.
    pub suspicions: u64,
    /// Bytes sent, with QUIC's overhead.
    pub sent_bytes: u64,
    /// Bytes received, with QUIC's overhead.
    pub received_bytes: u64,
    /// Bytes declared lost.
    pub lost_bytes: u64,
}

/// A peer and its sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Its name in the configuration.
    pub name: String,
    /// Its public key, `tlk1…`.
    pub id: String,
    /// Other keys that it may show, while it changes its key.
    #[serde(default)]
    pub other_keys: Vec<String>,
    /// Its locators as configured.
    pub locators: Vec<String>,
    /// Why and since when every dial to it fails; `null` if that is not so.
    #[serde(default)]
    pub dial_failure: Option<DialFailureReport>,
    /// Why and since when dials fail for the sake of a key, although other lanes answer; `null` if that is not so.
    #[serde(default)]
    pub key_refusal: Option<DialFailureReport>,
    /// The sessions with it that have had a lane.
    pub sessions: Vec<SessionReport>,
}

/// Why and since when every dial to a peer fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DialFailureReport {
    /// For how long none has succeeded, in seconds.
    pub duration_s: f64,
    /// Why the last one failed.
    pub reason: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionReport {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// `initiator` or `acceptor`: which end this daemon is.
    pub side: String,
    /// For how long it has had no lane, in seconds; `null` if it has one.
    pub detached_s: Option<f64>,
    /// The uplinks, and prefixes of the peer, over which no lane answers although others do; known at the
    /// initiator.
    #[serde(default)]
    pub redundancy_losses: Vec<RedundancyLossReport>,
    /// The uplinks, and prefixes of the peer, that are held down; known at the initiator.
    #[serde(default)]
    pub hold_downs: Vec<HoldDownReport>,
    /// Its lanes.
    pub lanes: Vec<LaneReport>,
    /// How many flows are live.
    #[serde(default)]
    pub live_flows: usize,
    /// The live flows; empty where they were not asked for.
    pub flows: Vec<FlowReport>,
}

/// Something without a lane that answers, while others have one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RedundancyLossReport {
    /// The uplink, or `the peer's PREFIX`.
    pub domain: String,
    /// For how long no lane over it has answered, in seconds.
    pub duration_s: f64,
    /// Why.
    pub reason: String,
}

/// Something that has failed, and is not preferred again until it has answered for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HoldDownReport {
    /// The uplink, or the prefix of the peer.
    pub domain: String,
    /// For how long it has to answer, in seconds.
    pub duration_s: f64,
}

/// A lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneReport {
    /// Its number in the session.
    pub id: u64,
    /// The uplink at this end; `null` if the address belongs to none.
    pub uplink: Option<String>,
    /// The interface at this end; `null` if unknown.
    pub interface: Option<String>,
    /// The address at this end.
    pub local: SocketAddr,
    /// The address at the peer's end.
    pub remote: SocketAddr,
    /// The key that this end has shown.
    #[serde(default)]
    pub our_key: String,
    /// The key that the peer has shown.
    #[serde(default)]
    pub peer_key: String,
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
    /// How often it was suspected, however briefly.
    #[serde(default)]
    pub suspicions: u64,
    /// How long its path pauses as a rule, in milliseconds: zero where it does not.
    #[serde(default)]
    pub usual_pause_ms: f64,
    /// How willingly flows use it: `preferred`, `wait-to-restore`, `held-down`, `overflow`, `metered` or
    /// `thin-flows`.
    #[serde(default)]
    pub cost: String,
    /// Whether either end is about to close it.
    #[serde(default)]
    pub draining: bool,
    /// Whether it loses much of what is sent.
    #[serde(default)]
    pub lossy: bool,
    /// How often this end migrated it to another local address.
    pub migrations: u64,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowReport {
    /// Its number in the session.
    pub id: u64,
    /// Its destination.
    pub target: String,
    /// `auto`, `single`, `bond` or `redundant`.
    pub mode: String,
    /// Bytes the application wrote.
    pub sent_bytes: u64,
    /// Bytes the application read.
    pub received_bytes: u64,
    /// Bytes sent again on another lane, because theirs was suspected or gone.
    pub resent_bytes: u64,
    /// Bytes that arrived more than once.
    pub duplicate_bytes: u64,
    /// The part of `duplicate_bytes` that is intended: the flow is sent on two lanes.
    #[serde(default)]
    pub intended_duplicate_bytes: u64,
    /// Datagrams of a flow of such that were dropped at this end: too many, too old, or too long.
    #[serde(default)]
    pub dropped_datagrams: u64,
    /// Whether it writes so little that a second copy costs nothing.
    #[serde(default)]
    pub thin: bool,
    /// The lane that takes its new bytes; `null` while there is none.
    #[serde(default)]
    pub primary_lane: Option<u64>,
    /// The lane that carries them a second time; `null` if none does.
    #[serde(default)]
    pub secondary_lane: Option<u64>,
    /// The lane that it left because that was suspect, while it still is.
    #[serde(default)]
    pub displaced_from: Option<u64>,
    /// When and why it last moved to another lane; `null` if it never did.
    #[serde(default)]
    pub last_move: Option<MoveReport>,
}

/// A move of a flow to another lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveReport {
    /// The lane that it left.
    pub from: u64,
    /// How long ago, in seconds.
    pub ago_s: f64,
    /// Why: `gone`, `suspect`, `unready`, `draining`, `metered` or `lossy`, of the lane that it left;
    /// `more-elsewhere`, `restored` or `spurious`, of the one that it went to.
    pub reason: String,
}

#[cfg(test)]
pub(crate) mod tests;
