//! Reads and removes the rules and routes in the kernel that bear our protocol number.

use std::collections::BTreeSet;
use std::io;

use netlink_packet_route::route::{RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::messages;
use super::socket::RequestSocket;
use crate::routes::{ManagedRouting, OUR_PROTOCOL};

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

/// Reads our rules and routes as the kernel has them.
pub(super) fn read(socket: &mut RequestSocket) -> io::Result<ManagedRouting> {
    let rules = read_rules(socket)?;
    let mut routes = BTreeSet::new();
    for message in route_messages(socket)? {
        routes.extend(messages::route(&message));
    }
    Ok(ManagedRouting { rules: rules.iter().filter_map(messages::rule).collect(), routes })
}

/// Removes all rules and routes with our protocol number; returns how many there were.
pub(super) fn remove_all(socket: &mut RequestSocket) -> io::Result<usize> {
    let rules = read_rules(socket)?.into_iter().map(RouteNetlinkMessage::DelRule);
    let routes = route_messages(socket)?.into_iter().map(RouteNetlinkMessage::DelRoute);
    let requests: Vec<_> = rules.chain(routes).collect();
    let mut removed = 0;
    for request in requests {
        match socket.execute(request, 0) {
            Ok(()) => removed += 1,
            Err(error) if matches!(error.raw_os_error(), Some(2 | 3 | 19)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// Reads our rules.
pub(super) fn read_rules(socket: &mut RequestSocket) -> io::Result<Vec<RuleMessage>> {
    let ours = RuleAttribute::Protocol(RouteProtocol::from(OUR_PROTOCOL));
    let mut rules = Vec::new();
    for family in FAMILIES {
        let mut question = RuleMessage::default();
        question.header.family = family;
        let dumped = socket.dump(&RouteNetlinkMessage::GetRule(question), |message| {
            if let RouteNetlinkMessage::NewRule(rule) = message
                && rule.attributes.contains(&ours)
                && !rules.contains(&rule)
            {
                rules.push(rule);
            }
        });
        ignore_missing_family(dumped)?;
    }
    Ok(rules)
}

/// Reads our routes. The kernel filters them, out of a million if need be.
fn route_messages(socket: &mut RequestSocket) -> io::Result<Vec<RouteMessage>> {
    socket.strict(true)?;
    let mut routes = Vec::new();
    let mut result = Ok(());
    for family in FAMILIES {
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        question.header.protocol = RouteProtocol::from(OUR_PROTOCOL);
        let dumped = socket.dump(&RouteNetlinkMessage::GetRoute(question), |message| {
            if let RouteNetlinkMessage::NewRoute(route) = message
                && route.header.protocol == RouteProtocol::from(OUR_PROTOCOL)
                && !routes.contains(&route)
            {
                routes.push(route);
            }
        });
        result = result.and(ignore_missing_family(dumped));
    }
    socket.strict(false)?;
    result.map(|()| routes)
}

/// Takes the lack of a family, or of rules for it, as having none of ours (EOPNOTSUPP, EAFNOSUPPORT;
/// ENOENT: there is no table yet).
fn ignore_missing_family(dumped: io::Result<()>) -> io::Result<()> {
    match dumped {
        Err(error) if matches!(error.raw_os_error(), Some(2 | 95 | 97)) => Ok(()),
        other => other,
    }
}
