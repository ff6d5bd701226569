//! What is said of uplinks: a snapshot for people and programs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use throughline_proto::types::Class;

/// One way out of this host.
#[derive(Clone, Debug)]
pub struct UplinkStatus {
    /// Its name.
    pub name: String,
    /// The addresses found under it.
    pub addresses: Vec<IpAddr>,
    /// Whose addresses these are.
    pub class: Class,
    /// Whether using it costs money, so that it stays cold until needed.
    pub metered: bool,
    /// Whether it is drained: its lanes take nothing new.
    pub draining: bool,
    /// How packets from its addresses leave for each address of the peers.
    pub exits: Vec<ExitStatus>,
}

/// How packets from one of our addresses leave for an address of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// The interface they leave by.
    pub interface: Option<String>,
    /// The router they are handed to, where there is one.
    pub gateway: Option<IpAddr>,
    /// Whether that is as it should be.
    pub state: ExitState,
}

/// Whether packets leave by the uplink that their source address belongs to. Another provider
/// drops them (BCP 38).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitState {
    /// They do.
    Own,
    /// They would not, but do as the lane's socket is bound to the uplink's interface.
    Bound,
    /// They leave by another uplink, or by an interface that belongs to none.
    Foreign {
        /// The uplink that they leave by.
        uplink: Option<String>,
    },
    /// The network was discovered and has no router: only its neighbours are reached from it.
    Local,
    /// There is no route at all.
    NoRoute,
    /// The system does not say.
    Unknown,
}

impl ExitStatus {
    /// What to do about it, where something is wrong.
    pub fn cure(&self) -> Option<&'static str> {
        match self.state {
            ExitState::Foreign { .. } => Some(
                "write `manage-routes = true`, or add a rule and a table for this source (`ip rule add from`)",
            ),
            ExitState::NoRoute => Some("add a route, or see why the router is gone"),
            _ => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { local, remote, .. } = self;
        write!(f, "packets from {local} to {} ", remote.ip())?;
        match self.state {
            ExitState::NoRoute => write!(f, "have no route")?,
            ExitState::Local => write!(f, "are not sent: that network has no router")?,
            _ => {
                let interface = self.interface.as_deref().unwrap_or("no known interface");
                write!(f, "leave by {interface}")?;
            }
        }
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        match &self.state {
            ExitState::Foreign { uplink: Some(uplink) } => {
                write!(f, ", the uplink {uplink}, which drops them where it filters sources")?;
            }
            ExitState::Foreign { uplink: None } => write!(f, ", which is no uplink")?,
            ExitState::Bound => write!(f, ", as their socket is bound to it")?,
            _ => {}
        }
        self.cure().map_or(Ok(()), |cure| write!(f, "; {cure}"))
    }
}
