//! Decides which rules and routes make packets leave by the uplink that their source belongs to. Pure:
//! `netlink::route_manager` sets them in the kernel.
//!
//! For each address of an uplink that has a router:
//!
//! ```text
//! 7400: from ADDR lookup main suppress_prefixlength 0   main's routes other than default
//! 7401: from ADDR lookup TABLE                          else: the uplink's own routes
//!
//! TABLE: PREFIX dev LINK                                its neighbours
//!        default via ROUTER dev LINK
//!        unreachable default, as the last resort        never by another provider
//! ```
//!
//! The first rule leaves local networks, tunnels and whatever else the operator has routes for as
//! they were. The last route refuses at once where the router is gone, so that the lane moves instead
//! of having its packets dropped elsewhere. All of it bears our protocol number, so that it can be
//! recognised and removed after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::grouping::Uplink;
use crate::network_state::{DefaultRoute, NetworkState};
use crate::snapshot::Snapshot;
use throughline_proto::types::AddressClass;

/// `rtm_protocol` of what we install in the kernel. No other program uses it
/// (`linux/rtnetlink.h`, `iproute2/rt_protos`).
pub(crate) const OUR_PROTOCOL: u8 = 116;

/// The priorities of our rules: before `main` (32766), after `local` (0).
pub(super) const PRIORITIES: [u32; 2] = [7400, 7401];

/// The tables we take, 64 of them: more than any host has uplinks.
pub(super) const TABLES: std::ops::Range<u32> = 7400..7464;

/// `RT_TABLE_MAIN`.
pub(super) const MAIN: u32 = 254;

/// The metric of the unreachable route, the last resort.
const UNREACHABLE_METRIC: u32 = u32::MAX;

/// The metric of all other routes: the default of IPv6.
const ROUTE_METRIC: u32 = 1024;

/// A rule: packets from an address are looked up in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagedRule {
    pub(super) priority: u32,
    pub(super) from: IpAddr,
    pub(super) table: u32,
}

impl ManagedRule {
    /// Returns whether default routes of that table do not count.
    pub(super) fn without_defaults(&self) -> bool {
        self.table == MAIN
    }
}

/// A route of one of our tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagedRoute {
    pub(super) table: u32,
    pub(super) v6: bool,
    /// `None`: the default.
    pub(super) to: Option<IpNet>,
    pub(super) metric: u32,
    /// The interface; `None` for an unreachable route.
    pub(super) link: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) onlink: bool,
}

/// All rules and routes that are to be in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ManagedRouting {
    pub(super) rules: BTreeSet<ManagedRule>,
    pub(super) routes: BTreeSet<ManagedRoute>,
}

/// What shares a table: the addresses of one uplink, interface and family.
type TableKey = (String, u32, bool);

/// The tables in use, by what they are for.
#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<TableKey, u32>);

impl Tables {
    /// Returns the rules and routes that `snapshot` asks for. An uplink gets a table when it first has a router, and keeps it
    /// while it has addresses, even where the router goes.
    pub(super) fn routing(&mut self, snapshot: &Snapshot) -> ManagedRouting {
        let mut routing = ManagedRouting::default();
        let mut live = BTreeSet::new();
        for uplink in &snapshot.uplinks {
            let links: BTreeSet<u32> = uplink.addresses.iter().map(|a| a.link).collect();
            for (link, v6) in links.into_iter().flat_map(|link| [(link, false), (link, true)]) {
                let addresses = of(uplink, link, v6);
                if addresses.is_empty() || !is_one_providers(uplink, &snapshot.network, link) {
                    continue;
                }
                let router = router(&snapshot.network, uplink, &addresses, link, v6);
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

    /// Returns the uplinks that have a table, in order of their names.
    pub(super) fn uplinks(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().map(|(name, ..)| name.as_str()).collect();
        names.dedup();
        names
    }

    /// Returns how many tables are in use.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn free(&self) -> Option<u32> {
        TABLES.into_iter().find(|table| !self.0.values().any(|taken| taken == table))
    }
}

impl ManagedRouting {
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
                self.rules.insert(ManagedRule { priority, from: net.addr(), table });
            }
        }
        let over = |to, gateway, onlink| ManagedRoute {
            table,
            v6,
            to,
            metric: ROUTE_METRIC,
            link: Some(link),
            gateway,
            onlink,
        };
        let prefixes = addresses.iter().filter(|net| net.prefix_len() < net.max_prefix_len());
        self.routes.extend(prefixes.map(|net| over(Some(net.trunc()), None, false)));
        self.routes.extend(router.map(|router| over(None, router.gateway, router.onlink)));
        let no = ManagedRoute { metric: UNREACHABLE_METRIC, link: None, ..over(None, None, false) };
        self.routes.insert(no);
    }
}

fn of(uplink: &Uplink, link: u32, v6: bool) -> Vec<IpNet> {
    let ours = uplink.addresses.iter().filter(|a| a.link == link);
    ours.map(|a| a.net).filter(|net| net.addr().is_ipv6() == v6).collect()
}

/// Returns whether the addresses are one provider's: a provider-independent prefix, and an address of the
/// loopback interface, may leave by every provider.
fn is_one_providers(uplink: &Uplink, network: &NetworkState, link: u32) -> bool {
    uplink.class == AddressClass::ProviderAssigned
        && network.link(link).is_some_and(|l| !l.loopback)
}

/// Returns the router of an uplink on a link: one for its sources, then one in its own prefix, then the
/// preferred one; never one in a prefix of another uplink.
fn router<'a>(
    network: &'a NetworkState,
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
            && network.addresses.iter().any(|a| within(&a.net, gateway) && !link_local(gateway))
    };
    network
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

/// Returns whether a router is link-local: every interface has that prefix (RFC 4291 §2.5.6).
fn link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

#[cfg(test)]
mod tests;
