//! Which rules and routes make packets leave by the uplink that their source belongs to. Pure: the
//! kernel's side is `netlink::install`.
//!
//! For each address of an uplink that has a router:
//!
//! ```text
//! 7400: from ADDR lookup main suppress_prefixlength 0   what main knows better than "default"
//! 7401: from ADDR lookup TABLE                          else: the uplink's own way
//!
//! TABLE: PREFIX dev LINK                                its neighbours
//!        default via ROUTER dev LINK
//!        unreachable default, as the last resort        never by another provider
//! ```
//!
//! The first rule leaves local networks, tunnels and whatever else the operator has routes for as
//! they were. The last route says *no* at once where the router is gone, so that the lane moves
//! instead of being dropped elsewhere. All of it bears our protocol number, so that it can be told
//! and removed after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::grouping::Uplink;
use super::picture::{DefaultRoute, Picture};
use super::watcher::Snapshot;
use throughline_proto::types::Class;

/// The priorities of our rules: before `main` (32766), after `local` (0).
pub(super) const PRIORITIES: [u32; 2] = [7400, 7401];

/// The tables we take, 64 of them: more than any host has uplinks.
pub(super) const TABLES: std::ops::Range<u32> = 7400..7464;

/// `RT_TABLE_MAIN`.
pub(super) const MAIN: u32 = 254;

/// The metric of the last resort.
const LAST: u32 = u32::MAX;

/// The metric of the others; IPv6 calls that the default one.
const FIRST: u32 = 1024;

/// Which table packets from an address are looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    pub(super) priority: u32,
    pub(super) from: IpAddr,
    pub(super) table: u32,
}

impl Rule {
    /// Whether default routes of that table do not count.
    pub(super) fn without_defaults(&self) -> bool {
        self.table == MAIN
    }
}

/// A route of one of our tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub(super) table: u32,
    pub(super) v6: bool,
    /// `None`: the default.
    pub(super) to: Option<IpNet>,
    pub(super) metric: u32,
    /// Over this interface; `None` says *unreachable*.
    pub(super) link: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) onlink: bool,
}

/// All that is to be in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routing {
    pub(super) rules: BTreeSet<Rule>,
    pub(super) routes: BTreeSet<Route>,
}

/// The addresses of one uplink, interface and family share a table.
type Key = (String, u32, bool);

/// Remembers which table is whose.
#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<Key, u32>);

impl Tables {
    /// What `snapshot` asks for. An uplink gets a table when it first has a router, and keeps it
    /// while it has addresses, even where the router goes.
    pub(super) fn routing(&mut self, snapshot: &Snapshot) -> Routing {
        let mut routing = Routing::default();
        let mut live = BTreeSet::new();
        for uplink in &snapshot.uplinks {
            let links: BTreeSet<u32> = uplink.addresses.iter().map(|a| a.link).collect();
            for (link, v6) in links.into_iter().flat_map(|link| [(link, false), (link, true)]) {
                let addresses = of(uplink, link, v6);
                if addresses.is_empty() || !is_one_providers(uplink, &snapshot.picture, link) {
                    continue;
                }
                let router = router(&snapshot.picture, uplink, &addresses, link, v6);
                let key = (uplink.name.clone(), link, v6);
                let table = match self.0.get(&key) {
                    Some(table) => Some(*table),
                    None if router.is_some() => self.free(),
                    None => None,
                };
                let Some(table) = table else { continue };
                self.0.insert(key.clone(), table);
                live.insert(key);
                routing.add(table, link, v6, &addresses, router);
            }
        }
        self.0.retain(|key, _| live.contains(key));
        routing
    }

    /// The uplinks that have one, in order of their names.
    pub(super) fn uplinks(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().map(|(name, ..)| name.as_str()).collect();
        names.dedup();
        names
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn free(&self) -> Option<u32> {
        TABLES.into_iter().find(|table| !self.0.values().any(|taken| taken == table))
    }
}

impl Routing {
    fn add(
        &mut self,
        table: u32,
        link: u32,
        v6: bool,
        addresses: &[IpNet],
        router: Option<&DefaultRoute>,
    ) {
        for net in addresses {
            for (priority, table) in PRIORITIES.into_iter().zip([MAIN, table]) {
                self.rules.insert(Rule { priority, from: net.addr(), table });
            }
        }
        let over = |to, gateway, onlink| Route {
            table,
            v6,
            to,
            metric: FIRST,
            link: Some(link),
            gateway,
            onlink,
        };
        let prefixes = addresses.iter().filter(|net| net.prefix_len() < net.max_prefix_len());
        self.routes.extend(prefixes.map(|net| over(Some(net.trunc()), None, false)));
        self.routes.extend(router.map(|router| over(None, router.gateway, router.onlink)));
        let no = Route { metric: LAST, link: None, ..over(None, None, false) };
        self.routes.insert(no);
    }
}

fn of(uplink: &Uplink, link: u32, v6: bool) -> Vec<IpNet> {
    let ours = uplink.addresses.iter().filter(|a| a.link == link);
    ours.map(|a| a.net).filter(|net| net.addr().is_ipv6() == v6).collect()
}

/// The site's own prefix, and an address on no link, may leave by every provider.
fn is_one_providers(uplink: &Uplink, picture: &Picture, link: u32) -> bool {
    uplink.class == Class::ProviderAssigned && picture.link(link).is_some_and(|l| !l.loopback)
}

/// The router of an uplink on a link: one that takes its sources, then one in its own prefix, then
/// the preferred one; never one in a prefix that is another uplink's.
fn router<'a>(
    picture: &'a Picture,
    uplink: &Uplink,
    addresses: &[IpNet],
    link: u32,
    v6: bool,
) -> Option<&'a DefaultRoute> {
    let takes = |route: &&DefaultRoute| {
        route.source.is_none_or(|source| addresses.iter().all(|net| source.contains(&net.addr())))
    };
    let within = |net: &IpNet, gateway: &IpAddr| {
        net.prefix_len() < net.max_prefix_len() && net.contains(gateway)
    };
    let is_ours = |gateway: &IpAddr| uplink.addresses.iter().any(|a| within(&a.net, gateway));
    let is_theirs = |gateway: &IpAddr| {
        !is_ours(gateway)
            && picture.addresses.iter().any(|a| within(&a.net, gateway) && !link_local(gateway))
    };
    picture
        .defaults
        .iter()
        .filter(|route| route.link == link && route.v6 == v6)
        .filter(takes)
        .filter(|route| route.gateway.is_none_or(|gateway| !is_theirs(&gateway)))
        .min_by_key(|route| {
            let own = route.gateway.is_some_and(|gateway| is_ours(&gateway));
            (route.source.is_none(), !own, route.metric)
        })
}

/// Every interface has the prefix of link-local routers (RFC 4291 §2.5.6).
fn link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

#[cfg(test)]
mod tests;
