//! Checks whether a packet from an uplink's address leaves by that uplink (source-address-dependent
//! routing, RFC 8678).
//!
//! Where it leaves by another uplink, that provider drops it (BCP 38). The kernel answers by which
//! route the packet leaves; this module judges what the answer means. Pure but for the lookup itself.

use std::io;
use std::net::{IpAddr, SocketAddr};

use throughline_proto::types::AddressClass;

use crate::grouping::Uplink;
use crate::network_state::{NetworkState, UsableAddress};
use crate::snapshot::Snapshot;
use crate::status::{EgressState, EgressStatus};

/// The route that the kernel would send a packet by.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only netlink tells"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The interface that the packet leaves by.
    pub link: Option<u32>,
    /// The router that the packet is handed to; `None` where the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The packet does not leave: the destination is this host.
    pub is_local: bool,
    /// The largest packet that passes, where the route says or routers have said.
    pub mtu: Option<u32>,
}

/// Looks up the routes of packets.
pub(crate) trait RouteLookup: Send {
    /// Returns the route from one address to another, over an interface if one is named; `None` where
    /// no route leads there.
    ///
    /// # Errors
    /// The system does not answer.
    fn route(
        &mut self,
        from: IpAddr,
        to: SocketAddr,
        over: Option<u32>,
    ) -> io::Result<Option<Route>>;
}

/// How packets from one address leave for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EgressCheck {
    /// Whether that is as it should be.
    pub state: EgressState,
    /// The interface by which packets leave.
    pub interface: Option<String>,
    /// The router that packets are handed to.
    pub gateway: Option<IpAddr>,
    /// The interface that has our address, where packets leave wrongly, or not at all, for want of a default route over
    /// it.
    pub routeless: Option<String>,
    /// The interface to bind the socket to, where that makes packets leave by their own uplink.
    pub device: Option<String>,
}

impl EgressCheck {
    /// The system does not say: the lane is tried.
    pub(crate) const UNKNOWN: Self = Self {
        state: EgressState::Unknown,
        interface: None,
        gateway: None,
        routeless: None,
        device: None,
    };

    /// Returns whether packets can reach the peer at all.
    pub(crate) fn is_usable(&self) -> bool {
        !matches!(self.state, EgressState::NoRoute | EgressState::Local)
    }

    /// Returns what status shows of the check.
    pub(crate) fn status(self, local: IpAddr, remote: SocketAddr) -> EgressStatus {
        let Self { state, interface, gateway, routeless, .. } = self;
        EgressStatus { local, remote, interface, gateway, state, routeless }
    }
}

/// Judges how packets from `local`, an address of `uplink`, leave for `remote`.
pub(crate) fn judge(
    snapshot: &Snapshot,
    uplink: &Uplink,
    local: &UsableAddress,
    remote: SocketAddr,
    lookup: &mut dyn RouteLookup,
) -> EgressCheck {
    let from = local.net.addr();
    let Ok(answer) = lookup.route(from, remote, None) else { return EgressCheck::UNKNOWN };
    let own_route = |lookup: &mut dyn RouteLookup| {
        let route = lookup.route(from, remote, Some(local.link)).ok().flatten()?;
        is_own(&snapshot.network, uplink, local, &route).then_some(route)
    };
    let network = &snapshot.network;
    let Some(route) = answer else {
        // A route that other rules hide may still exist.
        return match own_route(lookup) {
            Some(route) => bound(network, local, &route),
            None => {
                let routeless = routeless(network, local);
                EgressCheck { state: EgressState::NoRoute, routeless, ..EgressCheck::UNKNOWN }
            }
        };
    };
    if is_own(network, uplink, local, &route) {
        return check(network, &route, EgressState::Own);
    }
    match own_route(lookup) {
        Some(own) => bound(network, local, &own),
        None if has_no_router(network, uplink, local) => {
            EgressCheck { state: EgressState::Local, ..EgressCheck::UNKNOWN }
        }
        None => {
            let uplink = owner(snapshot, &route, uplink).map(|other| other.name.clone());
            let routeless = routeless(network, local);
            let wrong = check(network, &route, EgressState::WrongUplink { uplink });
            EgressCheck { routeless, ..wrong }
        }
    }
}

fn check(network: &NetworkState, route: &Route, state: EgressState) -> EgressCheck {
    let interface = route.link.and_then(|link| network.link(link)).map(|link| link.name.clone());
    EgressCheck { state, interface, gateway: route.gateway, routeless: None, device: None }
}

/// Returns the interface that has our address, where no default route of its family leads over it.
fn routeless(network: &NetworkState, local: &UsableAddress) -> Option<String> {
    let v6 = local.net.addr().is_ipv6();
    let leads_out = network.defaults.iter().any(|route| route.link == local.link && route.v6 == v6);
    (!leads_out).then(|| local.interface.clone())
}

fn bound(network: &NetworkState, local: &UsableAddress, route: &Route) -> EgressCheck {
    EgressCheck {
        device: Some(local.interface.clone()),
        ..check(network, route, EgressState::Bound)
    }
}

/// Returns whether a route is one of the uplink's own.
fn is_own(network: &NetworkState, uplink: &Uplink, local: &UsableAddress, route: &Route) -> bool {
    // A provider-independent prefix may leave by every provider. An address of the loopback interface
    // (as routers have it) belongs to none.
    let anywhere = uplink.class == AddressClass::ProviderIndependent
        || network.link(local.link).is_none_or(|link| link.loopback);
    if route.is_local || anywhere {
        return true;
    }
    if route.link.is_some_and(|link| !uplink.addresses.iter().any(|a| a.link == link)) {
        return false;
    }
    // Two providers on one wire differ by the prefix that the router is in. A link-local router
    // (RFC 4861) may be anyone's.
    let Some(gateway) = route.gateway else { return true };
    let holds =
        |f: &UsableAddress| f.net.prefix_len() < f.net.max_prefix_len() && f.net.contains(&gateway);
    let own = uplink.addresses.iter().any(holds);
    let other = network.usable().iter().any(holds);
    own || !other
}

/// Returns whether a discovered network has no router (a container bridge, a wire between two hosts).
/// From its addresses only its neighbours are reachable; where packets leave by another network and
/// are translated there, that network is the uplink, and this one would be the same uplink again.
fn has_no_router(network: &NetworkState, uplink: &Uplink, local: &UsableAddress) -> bool {
    let routers = &network.defaults;
    uplink.discovered && !routers.is_empty() && !routers.iter().any(|r| r.link == local.link)
}

/// Returns the uplink that a route belongs to, other than `not`.
fn owner<'a>(snapshot: &'a Snapshot, route: &Route, not: &Uplink) -> Option<&'a Uplink> {
    let others = || snapshot.uplinks.iter().filter(|u| u.name != not.name);
    let by_router = |u: &&Uplink| {
        let gateway = route.gateway;
        u.addresses.iter().any(|a| gateway.is_some_and(|gateway| a.net.contains(&gateway)))
    };
    let by_link = |u: &&Uplink| u.addresses.iter().any(|a| Some(a.link) == route.link);
    others().find(by_router).or_else(|| others().find(by_link))
}

#[cfg(test)]
mod tests;
