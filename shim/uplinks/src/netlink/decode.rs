//! Decodes the kernel's messages into the network state. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteProtocol, RouteType, RouteVia,
};

use crate::network_state::{Address, AddressState, DefaultRoute, Link};
use crate::routes::OUR_PROTOCOL;
use crate::source::ChangeKind;

/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// Splits a datagram into messages. Each begins with its length; the next one starts at a multiple of
/// four.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = datagram.first_chunk::<4>().map(|b| u32::from_ne_bytes(*b) as usize)?;
        if length < HEADER {
            return None;
        }
        let message = datagram.get(..length)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Returns what the notifications in a datagram are about.
pub(super) fn subject(datagram: &[u8]) -> Option<ChangeKind> {
    let kind = |message: &[u8]| u16::from_ne_bytes([message[4], message[5]]);
    let about = |message: &[u8]| match kind(message) {
        // RTM_NEWLINK, DELLINK, NEWADDR, DELADDR. Routes vanish with their link, some without a
        // notification.
        16 | 17 | 20 | 21 => Some(ChangeKind::Everything),
        // RTM_NEWROUTE, DELROUTE, NEWRULE, DELRULE.
        24 | 25 | 32 | 33 => Some(ChangeKind::Routes),
        _ => None,
    };
    messages(datagram).filter_map(about).reduce(ChangeKind::merge)
}

pub(super) fn link(message: &LinkMessage) -> Option<Link> {
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })?;
    let flags = message.header.flags;
    Some(Link {
        index: message.header.index,
        name,
        // LOWER_UP is the carrier; RUNNING is missing while the link is dormant (802.1X), and
        // is there where the interface cannot tell.
        up: flags.contains(LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running),
        loopback: flags.contains(LinkFlags::Loopback),
    })
}

pub(super) fn address(message: &AddressMessage) -> Option<Address> {
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    let (mut local, mut address, mut expired) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            // On a link with one far end `Address` is that end's.
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::CacheInfo(info) => expired = info.ifa_preferred == 0,
            _ => {}
        }
    }
    let optimistic = flags.contains(AddressFlags::Optimistic);
    let state = if flags.contains(AddressFlags::Dadfailed)
        || (flags.contains(AddressFlags::Tentative) && !optimistic)
    {
        AddressState::Unready
    } else if expired || flags.contains(AddressFlags::Deprecated) || optimistic {
        // An optimistic address counts as deprecated until it is known to be unique (RFC 4429 §2.1).
        AddressState::Deprecated
    } else {
        AddressState::Preferred
    };
    let net = IpNet::new(local.or(address)?, message.header.prefix_len).ok()?;
    Some(Address { link: message.header.index, net, state })
}

/// Collects the default routes in a message: one for each next hop. Those that this program installed
/// are left out.
pub(super) fn defaults(message: &RouteMessage, defaults: &mut Vec<DefaultRoute>) {
    let header = &message.header;
    let v6 = header.address_family == AddressFamily::Inet6;
    if header.destination_prefix_length != 0
        || header.kind != RouteType::Unicast
        || header.protocol == RouteProtocol::from(OUR_PROTOCOL)
        || !(v6 || header.address_family == AddressFamily::Inet)
        || header.flags.contains(RouteFlags::Cloned)
    {
        return;
    }
    let mut metric = 0;
    let mut source = None;
    let mut hops: Vec<&RouteNextHop> = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::MultiPath(several) => hops.extend(several),
            RouteAttribute::Source(from) => {
                source = ip(from).and_then(|ip| IpNet::new(ip, header.source_prefix_length).ok());
            }
            _ => {}
        }
    }
    let route = |link, attributes: &[RouteAttribute], onlink| DefaultRoute {
        link,
        v6,
        metric,
        gateway: gateway(attributes),
        onlink,
        source,
    };
    if let Some(link) = link_of(&message.attributes) {
        let onlink = header.flags.contains(RouteFlags::Onlink);
        defaults.push(route(link, &message.attributes, onlink));
    }
    for hop in hops {
        let onlink = hop.flags.contains(RouteNextHopFlags::Onlink);
        defaults.push(route(hop.interface_index, &hop.attributes, onlink));
    }
}

/// Returns the interface that a route leads to.
pub(super) fn link_of(attributes: &[RouteAttribute]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(link) => Some(*link),
        _ => None,
    })
}

/// Returns the MTU of a route, which includes what routers said of it (RFC 1191, RFC 8201).
pub(super) fn mtu(attributes: &[RouteAttribute]) -> Option<u32> {
    let metrics = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Metrics(metrics) => Some(metrics),
        _ => None,
    })?;
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}

/// Returns the router that a route leads to; an IPv4 route may lead to an IPv6 router (RFC 5549).
pub(super) fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(gateway) => ip(gateway),
        RouteAttribute::Via(RouteVia::Inet6(gateway)) => Some((*gateway).into()),
        RouteAttribute::Via(RouteVia::Inet(gateway)) => Some((*gateway).into()),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
