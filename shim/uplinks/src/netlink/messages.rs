//! Rules and routes as netlink messages, and back.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
    RouteVia,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::decode;
use crate::routes::{ManagedRoute, ManagedRule, OUR_PROTOCOL};

fn family(v6: bool) -> AddressFamily {
    if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

/// Encodes a rule.
pub(super) fn rule_message(rule: &ManagedRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(rule.from.is_ipv6());
    message.header.src_len = IpNet::from(rule.from).prefix_len();
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Source(rule.from),
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Table(rule.table),
        RuleAttribute::Protocol(RouteProtocol::from(OUR_PROTOCOL)),
    ];
    if rule.without_defaults() {
        message.attributes.push(RuleAttribute::SuppressPrefixLen(0));
    }
    message
}

/// Decodes a rule of ours.
pub(super) fn rule(message: &RuleMessage) -> Option<ManagedRule> {
    let (mut from, mut priority, mut table) = (None, 0, message.header.table.into());
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(ip) => from = Some(*ip),
            RuleAttribute::Priority(value) => priority = *value,
            RuleAttribute::Table(value) => table = *value,
            _ => {}
        }
    }
    Some(ManagedRule { priority, from: from?, table })
}

/// Encodes a route.
pub(super) fn route_message(route: &ManagedRoute) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family(route.v6);
    header.destination_prefix_length = route.to.map_or(0, |to| to.prefix_len());
    header.protocol = RouteProtocol::from(OUR_PROTOCOL);
    header.kind = if route.link.is_some() { RouteType::Unicast } else { RouteType::Unreachable };
    // IPv4 wants the scope of a destination that is on the link.
    if !route.v6 && route.link.is_some() && route.gateway.is_none() {
        header.scope = RouteScope::Link;
    }
    if route.onlink {
        header.flags |= RouteFlags::Onlink;
    }
    message.attributes =
        vec![RouteAttribute::Table(route.table), RouteAttribute::Priority(route.metric)];
    message.attributes.extend(route.to.map(|to| RouteAttribute::Destination(to.addr().into())));
    message.attributes.extend(route.link.map(RouteAttribute::Oif));
    message.attributes.extend(route.gateway.map(|gateway| match gateway {
        IpAddr::V6(gateway) if !route.v6 => RouteAttribute::Via(RouteVia::Inet6(gateway)),
        gateway => RouteAttribute::Gateway(gateway.into()),
    }));
    message
}

/// Decodes a route of ours.
pub(super) fn route(message: &RouteMessage) -> Option<ManagedRoute> {
    let header = &message.header;
    let (mut to, mut table, mut metric) = (None, header.table.into(), 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => to = Some(IpAddr::from(*ip)),
            RouteAttribute::Destination(RouteAddress::Inet6(ip)) => to = Some(IpAddr::from(*ip)),
            RouteAttribute::Table(value) => table = *value,
            RouteAttribute::Priority(value) => metric = *value,
            _ => {}
        }
    }
    let unicast = header.kind == RouteType::Unicast;
    Some(ManagedRoute {
        table,
        v6: header.address_family == AddressFamily::Inet6,
        to: match header.destination_prefix_length {
            0 => None,
            bits => Some(IpNet::new(to?, bits).ok()?),
        },
        metric,
        // IPv6 names `lo` as the interface of an unreachable route.
        link: decode::link_of(&message.attributes).filter(|_| unicast),
        gateway: decode::gateway(&message.attributes),
        onlink: header.flags.contains(RouteFlags::Onlink),
    })
}
