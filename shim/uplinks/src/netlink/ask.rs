//! Asks the kernel which way a packet would take (`RTM_GETROUTE`, as `ip route get` does).

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::decode;
use super::socket::Asker;
use crate::exit::{Way, Ways};

/// `IPPROTO_UDP`: rules may look at it.
const UDP: u8 = 17;

/// The kernel's routing, rules included.
pub(crate) struct KernelWays(Asker);

impl KernelWays {
    pub(crate) fn new() -> io::Result<Self> {
        Asker::new().map(Self)
    }
}

impl Ways for KernelWays {
    fn way(&mut self, from: IpAddr, to: SocketAddr, over: Option<u32>) -> io::Result<Option<Way>> {
        if let Some(link) = over {
            // The kernel takes an IPv4 address for a neighbour where a device is named and no
            // route leads there over it; asked for the matching route, it tells the truth.
            if self.ask(from, to, Some(link), RouteFlags::FibMatch)?.is_none() {
                return Ok(None);
            }
        }
        self.ask(from, to, over, RouteFlags::empty())
    }
}

impl KernelWays {
    fn ask(
        &mut self,
        from: IpAddr,
        to: SocketAddr,
        over: Option<u32>,
        flags: RouteFlags,
    ) -> io::Result<Option<Way>> {
        let mut question = RouteMessage::default();
        let bits = if to.is_ipv4() { 32 } else { 128 };
        question.header.address_family =
            if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        question.header.destination_prefix_length = bits;
        question.header.source_prefix_length = bits;
        question.header.flags = flags;
        question.attributes = vec![
            RouteAttribute::Destination(to.ip().into()),
            RouteAttribute::Source(from.into()),
            RouteAttribute::IpProto(UDP),
            RouteAttribute::Dport(to.port()),
        ];
        question.attributes.extend(over.map(RouteAttribute::Oif));
        let answer = match self.0.ask(RouteNetlinkMessage::GetRoute(question)) {
            Ok(answer) => answer,
            // No route, or one that says no.
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
        let Some(RouteNetlinkMessage::NewRoute(route)) = answer else { return Ok(None) };
        let says_no = matches!(
            route.header.kind,
            RouteType::Unreachable | RouteType::BlackHole | RouteType::Prohibit
        );
        if says_no {
            return Ok(None);
        }
        Ok(Some(Way {
            link: decode::link_of(&route.attributes),
            gateway: decode::gateway(&route.attributes),
            to_us: route.header.kind == RouteType::Local,
        }))
    }
}
