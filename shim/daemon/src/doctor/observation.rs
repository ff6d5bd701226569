//! What is known of a host before it is judged: plain data, so that every judgement is a table's row in a test.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::burst::RateSeen;
use crate::report::{EgressReport, Report};
use crate::run::StartError;
use throughline::PeerId;
use throughline::probe::MappingAnswer;
use throughline_uplinks::Snapshot;

/// All that is known of a host.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// Our key, or why there is none; `None` where it was not looked for.
    pub(crate) own_key: Option<Result<PeerId, StartError>>,
    pub(crate) daemon: DaemonSeen,
    /// The addresses, links and default routes of this host, and the uplinks that they make.
    pub(crate) network: Snapshot,
    /// What cannot be listened on, while no daemon runs.
    pub(crate) ports: Vec<PortFault>,
    pub(crate) host: HostFacts,
    pub(crate) locators: Vec<LocatorSeen>,
    pub(crate) paths: Vec<PathSeen>,
}

/// Whether a daemon runs with the configuration.
#[derive(Debug, Default)]
pub(crate) enum DaemonSeen {
    /// None answers.
    #[default]
    Absent,
    /// One answers, and not to this user.
    Denied(String),
    /// Something answers that is no daemon of this version.
    Confused(String),
    /// It runs.
    Running {
        report: Box<Report>,
        /// What a reload would change, or why it would be refused.
        unloaded: Result<Vec<String>, String>,
    },
}

/// An address that cannot be listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortFault {
    /// What it is for: `lanes`, `the ingress socks`, `metrics`.
    pub(crate) purpose: String,
    /// `udp` or `tcp`.
    pub(crate) protocol: &'static str,
    pub(crate) addr: SocketAddr,
    pub(crate) fault: Listening,
}

/// Why an address cannot be listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listening {
    Taken,
    NotOurs,
    Privileged,
    Other(String),
}

/// What the system offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostFacts {
    /// The limit of descriptors that a process may raise its own to.
    pub(crate) descriptor_limit: usize,
    /// Datagrams that one call sends and receives; `None` where that is not known.
    pub(crate) offloads: Option<(usize, usize)>,
    /// The largest receive buffer of a socket, in bytes.
    pub(crate) receive_buffer: Option<usize>,
    /// Seconds since 1970 by this host's clock.
    pub(crate) clock_s: u64,
    /// Whether this process may change routes and packet filters.
    pub(crate) is_network_admin: bool,
    /// Whether the program nft can be started.
    pub(crate) has_nft: bool,
}

impl Default for HostFacts {
    /// A host that has everything.
    fn default() -> Self {
        Self {
            descriptor_limit: 1 << 20,
            offloads: Some((64, 64)),
            receive_buffer: Some(8 << 20),
            clock_s: u64::MAX,
            is_network_admin: true,
            has_nft: true,
        }
    }
}

/// A locator of a peer, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocatorSeen {
    pub(crate) peer: String,
    pub(crate) locator: String,
    /// Its addresses, or why its name has none.
    pub(crate) addresses: Result<Vec<SocketAddr>, String>,
    /// Those of them that are this host's own.
    pub(crate) own: Vec<SocketAddr>,
}

/// A path from an address of an uplink to one of a peer, and what came of probing it.
#[derive(Debug, Clone)]
pub(crate) struct PathSeen {
    pub(crate) peer: String,
    pub(crate) uplink: String,
    /// The interface that has the address.
    pub(crate) interface: String,
    /// By which way packets leave.
    pub(crate) route: EgressReport,
    /// The largest packet that the interface and the routers that have complained let pass.
    pub(crate) mtu: Option<u32>,
    /// Whether the router on the link, or the peer where it is on the link, does not answer (ARP).
    pub(crate) next_hop_is_silent: bool,
    /// What came of a single datagram.
    pub(crate) udp: UdpAnswer,
    /// What came of a lane.
    pub(crate) lane: LaneSeen,
    /// After which silence the peer's packets still came in, or why that is not known; shortest first. Empty where it
    /// was not asked.
    pub(crate) silences: Vec<(Duration, MappingAnswer)>,
    /// What limits the rate, where that was asked.
    pub(crate) rate: Option<RateSeen>,
}

impl PathSeen {
    pub(crate) fn local(&self) -> IpAddr {
        self.route.local
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.route.remote
    }

    pub(crate) fn is_reached(&self) -> bool {
        matches!(self.lane, LaneSeen::Reached { .. })
    }
}

/// What came of a single datagram, which every acceptor answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UdpAnswer {
    /// It was not sent.
    NotSent,
    Answered,
    Silent,
    /// Somebody says that it does not reach the port.
    Refused(Refusal),
    /// The kernel of this host did not let it out: a packet filter.
    NotPermitted,
    /// The kernel of this host did not send it.
    Failed(String),
}

/// An ICMP error, as somebody on the way has sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Who sent it, where that is known.
    pub(crate) by: Option<IpAddr>,
    pub(crate) what: Refused,
}

/// What an ICMP error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Nobody listens at the port (RFC 792: code 3).
    Port,
    /// A filter forbids it (RFC 1812 §5.2.7.1: codes 9, 10 and 13).
    Prohibited,
    /// There is no way to the host or its network.
    Unreachable,
}

/// What came of a lane that was never attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LaneSeen {
    /// There was no time, or no way.
    NotTried,
    /// The peer answered as itself, and knows our key.
    Reached {
        rtt: Duration,
        /// The largest packet that passed, and the one that was tried.
        mtu: u32,
        mtu_sought: u32,
        /// From where the peer sees us.
        seen_from: Option<SocketAddr>,
    },
    Silent,
    CannotBind(String),
    /// This key was shown where the peer's was expected.
    OtherKey(PeerId),
    /// The peer does not know our key.
    KeyUnknownThere,
    NoCommonVersion(String),
    Rejected(String),
    Failed(String),
}
