//! The status of uplinks, for people and programs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use throughline_proto::types::AddressClass;

/// One way out of this host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UplinkStatus {
    /// Its name.
    pub name: String,
    /// The addresses found under it.
    pub addresses: Vec<IpAddr>,
    /// Whose addresses these are.
    pub class: AddressClass,
    /// Whether using it costs money, so that it stays cold until needed.
    pub metered: bool,
    /// For how long the other uplinks have to be full before bulk uses it as well, where it costs money and bulk may.
    pub overflow: Option<Duration>,
    /// Whether it was discovered, not configured; it may be a network without a router.
    pub discovered: bool,
    /// Whether it is drained: its lanes take nothing new.
    pub draining: bool,
    /// How packets from its addresses leave for each address of the peers.
    pub egress_checks: Vec<EgressStatus>,
}

/// How packets from one of our addresses leave for an address of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EgressStatus {
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// The interface they leave by.
    pub interface: Option<String>,
    /// The router they are handed to, where there is one.
    pub gateway: Option<IpAddr>,
    /// Whether that is as it should be.
    pub state: EgressState,
    /// The interface that has our address, where that is not as it should be because no default route of the address's
    /// family leads over it.
    pub routeless: Option<String>,
}

/// Whether packets leave by the uplink that their source address belongs to. Another provider drops
/// them (BCP 38).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EgressState {
    /// They leave by their own uplink.
    Own,
    /// They leave by their own uplink because the lane's socket is bound to its interface.
    Bound,
    /// They leave by another uplink, or by an interface that belongs to none.
    WrongUplink {
        /// The uplink that they leave by.
        uplink: Option<String>,
    },
    /// They do not leave: the network was discovered and has no router.
    Local,
    /// There is no route at all.
    NoRoute,
    /// The system does not say.
    Unknown,
}

impl EgressStatus {
    /// Returns what to do about it, where something is wrong.
    pub fn hint(&self) -> Option<String> {
        let is_wrong = match self.state {
            EgressState::WrongUplink { .. } => true,
            EgressState::NoRoute => false,
            _ => return None,
        };
        Some(match (&self.routeless, is_wrong) {
            (Some(interface), _) => {
                let family = if self.local.is_ipv4() { "" } else { "-6 " };
                // `manage-routes` does not know the router either.
                format!(
                    "{interface} has no default route: add it, with its ISP's router, by `ip {family}route add default \
                     via GATEWAY dev {interface} metric 200`"
                )
            }
            (None, true) => "write `manage-routes = true`, or add a rule and a table for this source (`ip rule add from`)"
                .to_owned(),
            (None, false) => "add a route, or see why the router is gone".to_owned(),
        })
    }
}

impl fmt::Display for EgressStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { local, remote, .. } = self;
        write!(f, "packets from {local} to {} ", remote.ip())?;
        match self.state {
            EgressState::NoRoute => write!(f, "have no route")?,
            EgressState::Local => write!(f, "are not sent: that network has no router")?,
            _ => {
                let interface = self.interface.as_deref().unwrap_or("no known interface");
                write!(f, "leave by {interface}")?;
            }
        }
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        match &self.state {
            EgressState::WrongUplink { uplink: Some(uplink) } => {
                write!(f, ", the uplink {uplink}, which drops them where it filters sources")?;
            }
            EgressState::WrongUplink { uplink: None } => write!(f, ", which is no uplink")?,
            EgressState::Bound => write!(f, ", as their socket is bound to it")?,
            _ => {}
        }
        self.hint().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}
