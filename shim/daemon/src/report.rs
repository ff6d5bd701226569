//! The state of a daemon as JSON, as `throughline status --json` prints it.
//!
//! A stable mirror of [`NodeStatus`](throughline::NodeStatus): fields are added, never
//! renamed or removed. Durations are in milliseconds or seconds, as the name says. Counts of bytes
//! begin with the thing they belong to.

mod convert;
mod table;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

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
    /// The uplinks, in order.
    pub uplinks: Vec<UplinkReport>,
    /// The peers, in the order of the configuration.
    pub peers: Vec<PeerReport>,
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
    /// Whether it is drained: nothing new goes over its lanes.
    #[serde(default)]
    pub draining: bool,
    /// The number of lanes on it.
    #[serde(default)]
    pub lanes: usize,
    /// By which way packets leave from its addresses to each address of the peers.
    pub egress_checks: Vec<EgressReport>,
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

/// A peer and its sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Its name in the configuration.
    pub name: String,
    /// Its public key, `tlk1…`.
    pub id: String,
    /// Its locators as configured.
    pub locators: Vec<String>,
    /// Why and since when every dial to it fails; `null` if that is not so.
    #[serde(default)]
    pub dial_failure: Option<DialFailureReport>,
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
    /// The uplink at this end; `null` if the address belongs to none.
    pub uplink: Option<String>,
    /// The interface at this end; `null` if unknown.
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
    /// How often it was suspected, however briefly.
    #[serde(default)]
    pub suspicions: u64,
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
}

#[cfg(test)]
mod tests;
