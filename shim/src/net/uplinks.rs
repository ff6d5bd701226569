//! This host's uplinks: which local addresses there are, and which paths they make to a peer.
//!
//! Addresses are enumerated when a lane is to be dialled or moved; what the configuration names is
//! matched by prefix or interface, and what it does not name is discovered: one uplink for each
//! interface and prefix.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::net::status::UplinkStatus;
use crate::state::plan::Path;
use crate::vocab::class::Class;

/// An uplink as given to [`crate::NodeBuilder::uplink`].
#[derive(Clone, Debug, Default)]
pub struct UplinkConfig {
    /// Its name.
    pub name: String,
    /// Local addresses with one of these prefixes belong to it. On loopback, where one prefix
    /// holds every address, a host prefix (`127.0.1.1/32`) stands for that address itself.
    pub prefixes: Vec<IpNet>,
    /// Or: the addresses of this interface.
    pub interface: Option<String>,
    /// Whose addresses these are.
    pub class: Class,
    /// Cold: no lane over it until another one is lost.
    pub metered: bool,
}

/// An uplink and its addresses at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uplink {
    pub(crate) name: String,
    pub(crate) class: Class,
    pub(crate) metered: bool,
    pub(crate) addresses: Vec<IpAddr>,
}

/// An address of an interface.
#[derive(Clone, Debug)]
struct Found {
    interface: String,
    net: IpNet,
}

/// The uplinks now: the configured ones, or, where none is, what is discovered.
pub(crate) fn enumerate(configured: &[UplinkConfig]) -> Vec<Uplink> {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let found: Vec<Found> = found
        .into_iter()
        .filter_map(|i| {
            let prefix = match &i.addr {
                if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                if_addrs::IfAddr::V6(v6) => v6.prefixlen,
            };
            let net = IpNet::new(i.ip(), prefix).ok()?;
            Some(Found { interface: i.name, net })
        })
        .collect();
    if configured.is_empty() { discover(&found) } else { configured_uplinks(configured, &found) }
}

fn configured_uplinks(configured: &[UplinkConfig], found: &[Found]) -> Vec<Uplink> {
    let of = |uplink: &UplinkConfig| {
        let mut addresses: Vec<IpAddr> = found
            .iter()
            .filter(|f| {
                uplink.interface.as_ref() == Some(&f.interface)
                    || uplink.prefixes.iter().any(|p| p.contains(&f.net.addr()))
            })
            .map(|f| f.net.addr())
            .filter(usable)
            .collect();
        // All of 127.0.0.0/8 is ours although only 127.0.0.1 is listed.
        let host = |p: &&IpNet| p.prefix_len() == p.max_prefix_len() && p.addr().is_loopback();
        for prefix in uplink.prefixes.iter().filter(host) {
            if !addresses.contains(&prefix.addr()) {
                addresses.push(prefix.addr());
            }
        }
        Uplink {
            name: uplink.name.clone(),
            class: uplink.class,
            metered: uplink.metered,
            addresses,
        }
    };
    configured.iter().map(of).collect()
}

fn discover(found: &[Found]) -> Vec<Uplink> {
    let mut uplinks: Vec<(IpNet, Uplink)> = Vec::new();
    for f in found.iter().filter(|f| usable(&f.net.addr())) {
        let net = f.net.trunc();
        match uplinks
            .iter_mut()
            .find(|(known, u)| *known == net && u.name.starts_with(&f.interface))
        {
            Some((_, uplink)) => uplink.addresses.push(f.net.addr()),
            None => uplinks.push((
                net,
                Uplink {
                    name: format!("{}-{net}", f.interface),
                    class: Class::default(),
                    metered: false,
                    addresses: vec![f.net.addr()],
                },
            )),
        }
    }
    uplinks.into_iter().map(|(_, uplink)| uplink).collect()
}

/// Link-local and unspecified addresses never carry a lane.
fn usable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !is_link_local(ip) && !ip.is_unspecified(),
    }
}

fn is_link_local(ip: &Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

fn is_unique_local(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[0] & 0xfe00 == 0xfc00)
}

/// Every path from our addresses to the peer's: of one family, loopback only to loopback, unique
/// local addresses only to such (RFC 6724 §3.1, §5 rule 2).
pub(crate) fn paths(uplinks: &[Uplink], remotes: &[SocketAddr]) -> Vec<Path> {
    let mut paths = Vec::new();
    for (order, uplink) in uplinks.iter().enumerate() {
        for local in &uplink.addresses {
            for remote in remotes {
                let there = remote.ip();
                let fits = local.is_ipv4() == there.is_ipv4()
                    && local.is_loopback() == there.is_loopback()
                    && is_unique_local(local) == is_unique_local(&there);
                if fits {
                    paths.push(Path {
                        uplink: uplink.name.clone(),
                        order: order as u32,
                        class: uplink.class,
                        metered: uplink.metered,
                        draining: false,
                        local: *local,
                        remote: *remote,
                    });
                }
            }
        }
    }
    paths
}

impl Uplink {
    pub(crate) fn status(&self, draining: bool) -> UplinkStatus {
        UplinkStatus {
            name: self.name.clone(),
            addresses: self.addresses.clone(),
            class: self.class,
            metered: self.metered,
            draining,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(interface: &str, net: &str) -> Found {
        Found { interface: interface.into(), net: net.parse().unwrap() }
    }

    fn uplink(name: &str, prefixes: &[&str], interface: Option<&str>) -> UplinkConfig {
        UplinkConfig {
            name: name.into(),
            prefixes: prefixes.iter().map(|p| p.parse().unwrap()).collect(),
            interface: interface.map(str::to_owned),
            class: Class::default(),
            metered: false,
        }
    }

    #[test]
    fn each_interface_and_prefix_is_an_uplink_and_link_local_addresses_are_none() {
        let uplinks = discover(&[
            found("lo", "127.0.0.1/8"),
            found("eth0", "192.0.2.5/24"),
            found("eth0", "2001:db8:a::5/64"),
            found("eth0", "2001:db8:a::6/64"),
            found("eth1", "192.0.2.9/24"),
            found("eth0", "fe80::1/64"),
        ]);
        let names: Vec<_> = uplinks.iter().map(|u| (u.name.as_str(), u.addresses.len())).collect();
        assert_eq!(
            names,
            [
                ("lo-127.0.0.0/8", 1),
                ("eth0-192.0.2.0/24", 1),
                ("eth0-2001:db8:a::/64", 2),
                ("eth1-192.0.2.0/24", 1),
            ]
        );
    }

    #[test]
    fn configured_uplinks_take_addresses_by_prefix_by_interface_and_on_loopback_by_name() {
        let found = [found("eth0", "192.0.2.5/24"), found("wwan0", "10.0.0.7/8")];
        let configured = [
            uplink("a", &["192.0.2.0/28"], None),
            uplink("lte", &[], Some("wwan0")),
            uplink("lo", &["127.0.9.1/32"], None),
            uplink("gone", &["203.0.113.0/24"], None),
        ];
        let addresses: Vec<Vec<String>> = configured_uplinks(&configured, &found)
            .iter()
            .map(|u| u.addresses.iter().map(ToString::to_string).collect())
            .collect();
        assert_eq!(addresses, [vec!["192.0.2.5"], vec!["10.0.0.7"], vec!["127.0.9.1"], vec![]]);
    }

    #[test]
    fn paths_keep_to_family_and_scope() {
        let uplinks = [Uplink {
            name: "all".into(),
            class: Class::default(),
            metered: false,
            addresses: ["127.0.0.1", "192.0.2.5", "2001:db8::5", "fd00::5"]
                .map(|a| a.parse().unwrap())
                .to_vec(),
        }];
        let remotes: Vec<SocketAddr> =
            ["127.0.0.9:1", "198.51.100.1:1", "[2001:db8:9::1]:1", "[fd00:9::1]:1"]
                .map(|a| a.parse().unwrap())
                .to_vec();
        let pairs: Vec<(String, String)> = paths(&uplinks, &remotes)
            .iter()
            .map(|p| (p.local.to_string(), p.remote.ip().to_string()))
            .collect();
        let want = [
            ("127.0.0.1", "127.0.0.9"),
            ("192.0.2.5", "198.51.100.1"),
            ("2001:db8::5", "2001:db8:9::1"),
            ("fd00::5", "fd00:9::1"),
        ];
        assert_eq!(pairs, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
