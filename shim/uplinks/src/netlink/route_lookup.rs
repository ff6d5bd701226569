//! Looks up the route that a packet would take in the kernel (`RTM_GETROUTE`, as `ip route get` does).

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::decode;
use super::socket::RequestSocket;
use crate::egress_check::{Route, RouteLookup};

/// `IPPROTO_UDP`: rules may look at it.
const UDP: u8 = 17;

/// Looks routes up in the kernel, rules included.
pub(crate) struct KernelRouteLookup(RequestSocket);

impl KernelRouteLookup {
    pub(crate) fn new() -> io::Result<Self> {
        RequestSocket::new().map(Self)
    }
}

impl RouteLookup for KernelRouteLookup {
    fn route(
        &mut self,
        from: IpAddr,
        to: SocketAddr,
        over: Option<u32>,
    ) -> io::Result<Option<Route>> {
        if let Some(link) = over {
            // The kernel takes an IPv4 address for a neighbour where a device is named and no
            // route leads there over it; asked for the route that matches, it answers correctly.
            if self.query(from, to, Some(link), RouteFlags::FibMatch)?.is_none() {
                return Ok(None);
            }
        }
        self.query(from, to, over, RouteFlags::empty())
    }
}

impl KernelRouteLookup {
    /// Returns whether the kernel delivers a packet to `to` to this host.
    pub(crate) fn is_local(&mut self, to: IpAddr) -> io::Result<bool> {
        let unspecified = match to {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        let route = self.query(unspecified, (to, 0).into(), None, RouteFlags::empty())?;
        Ok(route.is_some_and(|route| route.is_local))
    }

    fn query(
        &mut self,
        from: IpAddr,
        to: SocketAddr,
        over: Option<u32>,
        flags: RouteFlags,
    ) -> io::Result<Option<Route>> {
        let mut question = RouteMessage::default();
        let bits = if to.is_ipv4() { 32 } else { 128 };
        question.header.address_family =
            if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        question.header.destination_prefix_length = bits;
        question.header.source_prefix_length = if from.is_unspecified() { 0 } else { bits };
        question.header.flags = flags;
        question.attributes =
            vec![RouteAttribute::Destination(to.ip().into()), RouteAttribute::IpProto(UDP)];
        if !from.is_unspecified() {
            question.attributes.push(RouteAttribute::Source(from.into()));
        }
        if to.port() != 0 {
            question.attributes.push(RouteAttribute::Dport(to.port()));
        }
        question.attributes.extend(over.map(RouteAttribute::Oif));
        let answer = match self.0.query(RouteNetlinkMessage::GetRoute(question)) {
            Ok(answer) => answer,
            // There is no route, or one that refuses (unreachable, prohibit).
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NetworkUnreachable
                        | io::ErrorKind::HostUnreachable
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::InvalidInput
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        route_in(answer)
    }
}

/// Returns the route that an answer holds, if it leads anywhere. An answer without one is an error: where there is
/// no route the kernel says so, and what it says otherwise must not count as "not this host".
fn route_in(answer: Option<RouteNetlinkMessage>) -> io::Result<Option<Route>> {
    let Some(RouteNetlinkMessage::NewRoute(route)) = answer else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the kernel's answer about a route cannot be read",
        ));
    };
    let refuses = matches!(
        route.header.kind,
        RouteType::Unreachable | RouteType::BlackHole | RouteType::Prohibit
    );
    if refuses {
        return Ok(None);
    }
    Ok(Some(Route {
        link: decode::link_of(&route.attributes),
        gateway: decode::gateway(&route.attributes),
        is_local: route.header.kind == RouteType::Local,
        mtu: decode::mtu(&route.attributes),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_not_taken_for_no_route() {
        let answer = |kind| {
            let mut route = RouteMessage::default();
            route.header.kind = kind;
            route_in(Some(RouteNetlinkMessage::NewRoute(route)))
        };
        assert!(answer(RouteType::Local).unwrap().unwrap().is_local);
        assert!(answer(RouteType::BlackHole).unwrap().is_none());
        assert_eq!(route_in(None).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
