//! Keeps the kernel's rules and routes as [`Routing`] wants them, and takes all of ours away at
//! the end. What is ours is told by the protocol number, never by memory: the kernel itself drops
//! routes (with their link, with their address), and a crash leaves them.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
    RouteVia,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use tracing::{debug, info, warn};

use super::decode;
use super::socket::Asker;
use crate::routes::{PRIORITIES, Route, Routing, Rule, TABLES, Tables};
use crate::watcher::Snapshot;
use crate::{ManageError, OUR_PROTOCOL};
use throughline_proto::throttle::Said;

/// Only one may manage the routes of a network namespace, as abstract names are: a second one
/// would take the first one's for a crash's.
const LOCK: &[u8] = b"throughline-routes";

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

/// Manages the routes until it is dropped.
pub(crate) struct Manager {
    tables: Tables,
    asker: Asker,
    said: Said<String>,
    /// What is set, as it was told.
    told: String,
    _lock: UnixListener,
}

impl Manager {
    /// Takes over: what a crash left is removed.
    ///
    /// # Errors
    /// We may not, cannot, or another one does already.
    pub(crate) fn start() -> Result<Self, ManageError> {
        let lock = lock()?;
        let mut asker = Asker::new().map_err(ManageError::Kernel)?;
        may(&mut asker)?;
        let stale = remove_all(&mut asker).map_err(ManageError::Kernel)?;
        if stale > 0 {
            info!(stale, "rules and routes that an earlier run left were removed");
        }
        Ok(Self {
            tables: Tables::default(),
            asker,
            said: Said::default(),
            told: String::new(),
            _lock: lock,
        })
    }

    /// Makes the kernel's rules and routes what `snapshot` asks for.
    pub(crate) fn apply(&mut self, snapshot: &Snapshot) {
        let wanted = self.tables.routing(snapshot);
        match self.make(&wanted) {
            Ok(true) => self.tell(&wanted),
            // What failed was told.
            Ok(false) => {}
            Err(error) => self.fail("the rules and routes cannot be read", &error),
        }
    }

    /// Says what is set, where that is new: it changes how the host sends.
    fn tell(&mut self, set: &Routing) {
        let text = match self.tables.count() {
            0 => "no rule is set, as no uplink has a router of its own".to_owned(),
            tables => format!(
                "{} rules and {tables} tables are set for the uplinks {}",
                set.rules.len(),
                self.tables.uplinks().join(", ")
            ),
        };
        if self.told != text {
            info!("manage-routes: {text}");
            self.told = text;
        }
    }

    /// Whether all of it could be set.
    fn make(&mut self, wanted: &Routing) -> io::Result<bool> {
        let there = read(&mut self.asker)?;
        let mut done = true;
        // Routes before the rules that lead to them; the other way round at the end.
        for route in wanted.routes.difference(&there.routes) {
            self.say("route added", &format!("{route:?}"));
            let order = RouteNetlinkMessage::NewRoute(route_message(route));
            done &= self.order(order, NLM_F_CREATE | NLM_F_REPLACE);
        }
        for rule in wanted.rules.difference(&there.rules) {
            self.say("rule added", &format!("{rule:?}"));
            let order = RouteNetlinkMessage::NewRule(rule_message(rule));
            done &= self.order(order, NLM_F_CREATE | NLM_F_EXCL);
        }
        for rule in there.rules.difference(&wanted.rules) {
            self.say("rule removed", &format!("{rule:?}"));
            done &= self.order(RouteNetlinkMessage::DelRule(rule_message(rule)), 0);
        }
        for route in there.routes.difference(&wanted.routes) {
            // What replaced it under the same metric has taken it away already.
            let replaced = |other: &Route| {
                (other.table, other.v6, other.to, other.metric)
                    == (route.table, route.v6, route.to, route.metric)
            };
            if !wanted.routes.iter().any(replaced) {
                self.say("route removed", &format!("{route:?}"));
                done &= self.order(RouteNetlinkMessage::DelRoute(route_message(route)), 0);
            }
        }
        Ok(done)
    }

    fn say(&self, what: &str, which: &str) {
        debug!(which, "{what}");
    }

    /// An order that fails is given again with the next snapshot. Returns whether it was obeyed.
    fn order(&mut self, order: RouteNetlinkMessage, flags: u16) -> bool {
        match self.asker.order(order, flags) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            // ESRCH, ENOENT, ENODEV: it went by itself, or its link did.
            Err(error) if matches!(error.raw_os_error(), Some(2 | 3 | 19)) => true,
            Err(error) => {
                self.fail("a rule or route cannot be set", &error);
                false
            }
        }
    }

    fn fail(&mut self, what: &str, error: &io::Error) {
        let text = format!("{what}: {error}");
        if self.said.is_news(std::time::Instant::now(), text.clone()) {
            warn!("{text}; packets may leave by the wrong uplink (`status` tells)");
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        match remove_all(&mut self.asker) {
            Ok(removed) => info!("manage-routes: {removed} rules and routes of ours are removed"),
            Err(error) => warn!("our rules and routes cannot be removed: {error}"),
        }
    }
}

/// Removes what a crash left, for a node that does not manage routes (any more).
pub(crate) fn sweep() {
    let left = || -> io::Result<usize> {
        let mut asker = Asker::new()?;
        // The rules are few; where there is none there are no routes that matter.
        if read_rules(&mut asker)?.is_empty() {
            return Ok(0);
        }
        let Ok(_lock) = lock() else { return Ok(0) };
        remove_all(&mut asker)
    };
    match left() {
        Ok(0) => {}
        Ok(stale) => info!(stale, "rules and routes that an earlier run left were removed"),
        Err(error) => warn!(
            "rules that an earlier run left cannot be removed ({error}); remove them with \
             `ip rule del priority {}` and `{}`, for `ip -6` too",
            PRIORITIES[0], PRIORITIES[1]
        ),
    }
}

fn lock() -> Result<UnixListener, ManageError> {
    let name = SocketAddr::from_abstract_name(LOCK).map_err(ManageError::Kernel)?;
    UnixListener::bind_addr(&name).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ManageError::Taken,
        _ => ManageError::Kernel(error),
    })
}

/// Whether we may change rules: asks for one to be removed that is not there.
fn may(asker: &mut Asker) -> Result<(), ManageError> {
    let rule =
        Rule { priority: PRIORITIES[1], from: IpAddr::from([192, 0, 2, 255]), table: TABLES.end };
    match asker.order(RouteNetlinkMessage::DelRule(rule_message(&rule)), 0) {
        Ok(()) => Ok(()),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            io::ErrorKind::PermissionDenied => Err(ManageError::Denied),
            _ => Err(ManageError::Kernel(error)),
        },
    }
}

/// Our rules and routes, as the kernel has them.
fn read(asker: &mut Asker) -> io::Result<Routing> {
    let rules = read_rules(asker)?;
    let mut routes = BTreeSet::new();
    for message in route_messages(asker)? {
        routes.extend(route(&message));
    }
    Ok(Routing { rules: rules.iter().filter_map(rule).collect(), routes })
}

/// Removes all that bears our number; returns how many there were.
fn remove_all(asker: &mut Asker) -> io::Result<usize> {
    let rules = read_rules(asker)?.into_iter().map(RouteNetlinkMessage::DelRule);
    let routes = route_messages(asker)?.into_iter().map(RouteNetlinkMessage::DelRoute);
    let orders: Vec<_> = rules.chain(routes).collect();
    let mut removed = 0;
    for order in orders {
        match asker.order(order, 0) {
            Ok(()) => removed += 1,
            Err(error) if matches!(error.raw_os_error(), Some(2 | 3 | 19)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

fn read_rules(asker: &mut Asker) -> io::Result<Vec<RuleMessage>> {
    let ours = RuleAttribute::Protocol(RouteProtocol::from(OUR_PROTOCOL));
    let mut rules = Vec::new();
    for family in FAMILIES {
        let mut question = RuleMessage::default();
        question.header.family = family;
        let dumped = asker.dump(&RouteNetlinkMessage::GetRule(question), |message| {
            if let RouteNetlinkMessage::NewRule(rule) = message
                && rule.attributes.contains(&ours)
                && !rules.contains(&rule)
            {
                rules.push(rule);
            }
        });
        has_family(dumped)?;
    }
    Ok(rules)
}

/// The kernel picks them out, of a million if need be.
fn route_messages(asker: &mut Asker) -> io::Result<Vec<RouteMessage>> {
    asker.strict(true)?;
    let mut routes = Vec::new();
    let mut result = Ok(());
    for family in FAMILIES {
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        question.header.protocol = RouteProtocol::from(OUR_PROTOCOL);
        let dumped = asker.dump(&RouteNetlinkMessage::GetRoute(question), |message| {
            if let RouteNetlinkMessage::NewRoute(route) = message
                && route.header.protocol == RouteProtocol::from(OUR_PROTOCOL)
                && !routes.contains(&route)
            {
                routes.push(route);
            }
        });
        result = result.and(has_family(dumped));
    }
    asker.strict(false)?;
    result.map(|()| routes)
}

/// A system without a family, or without rules for it, has none of ours (EOPNOTSUPP,
/// EAFNOSUPPORT; ENOENT: it has no table yet).
fn has_family(dumped: io::Result<()>) -> io::Result<()> {
    match dumped {
        Err(error) if matches!(error.raw_os_error(), Some(2 | 95 | 97)) => Ok(()),
        other => other,
    }
}

fn family(v6: bool) -> AddressFamily {
    if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

fn rule_message(rule: &Rule) -> RuleMessage {
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

fn rule(message: &RuleMessage) -> Option<Rule> {
    let (mut from, mut priority, mut table) = (None, 0, message.header.table.into());
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(ip) => from = Some(*ip),
            RuleAttribute::Priority(value) => priority = *value,
            RuleAttribute::Table(value) => table = *value,
            _ => {}
        }
    }
    Some(Rule { priority, from: from?, table })
}

fn route_message(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family(route.v6);
    header.destination_prefix_length = route.to.map_or(0, |to| to.prefix_len());
    header.protocol = RouteProtocol::from(OUR_PROTOCOL);
    header.kind = if route.link.is_some() { RouteType::Unicast } else { RouteType::Unreachable };
    // IPv4 wants to know how far away it is.
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

fn route(message: &RouteMessage) -> Option<Route> {
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
    Some(Route {
        table,
        v6: header.address_family == AddressFamily::Inet6,
        to: match header.destination_prefix_length {
            0 => None,
            bits => Some(IpNet::new(to?, bits).ok()?),
        },
        metric,
        // IPv6 says `lo` of what is unreachable.
        link: decode::link_of(&message.attributes).filter(|_| unicast),
        gateway: decode::gateway(&message.attributes),
        onlink: header.flags.contains(RouteFlags::Onlink),
    })
}
