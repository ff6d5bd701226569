//! Groups addresses into uplinks: the configured ones or, where none is configured, discovered ones.
//! Pure.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::UplinkConfig;
use crate::network_state::{NetworkState, UsableAddress};
use crate::status::UplinkStatus;
use throughline_proto::types::AddressClass;

/// An uplink and its addresses at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The configured name, or one made of interface and prefix.
    pub name: String,
    /// Whether the addresses are a provider's or the site's own.
    pub class: AddressClass,
    /// Whether using it costs money.
    pub metered: bool,
    /// For how long the other uplinks have to be full before bulk uses it as well, where it costs money and bulk may.
    pub overflow: Option<Duration>,
    /// Whether it was discovered, not configured; it may be a network without a router.
    pub discovered: bool,
    /// The addresses that new lanes may start from.
    pub addresses: Vec<UsableAddress>,
}

impl Uplink {
    /// Returns the addresses without their prefixes.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().map(|a| a.net.addr())
    }

    /// Returns what status shows of the uplink, egress checks left out.
    pub fn status(&self) -> UplinkStatus {
        UplinkStatus {
            name: self.name.clone(),
            addresses: self.ips().collect(),
            class: self.class,
            metered: self.metered,
            overflow: self.overflow,
            discovered: self.discovered,
            draining: false,
            egress_checks: Vec::new(),
        }
    }
}

/// Returns the uplinks that the addresses of `network` make.
pub(crate) fn group(configured: &[UplinkConfig], network: &NetworkState) -> Vec<Uplink> {
    let found = network.usable();
    match configured {
        [] => discover(&found),
        _ => {
            let one = |(index, uplink)| {
                let own = |f: &&UsableAddress| owner(configured, f) == Some(index);
                configured_uplink(uplink, found.iter().filter(own).cloned().collect(), network)
            };
            configured.iter().enumerate().map(one).collect()
        }
    }
}

/// Returns the configured uplink that an address belongs to: the one with the longest prefix that
/// holds the address, else the one of its interface.
fn owner(configured: &[UplinkConfig], found: &UsableAddress) -> Option<usize> {
    let length = |uplink: &UplinkConfig| {
        let holding = uplink.prefixes.iter().filter(|p| p.contains(&found.net.addr()));
        holding.map(IpNet::prefix_len).max()
    };
    let by_prefix = configured.iter().enumerate().filter_map(|(i, u)| Some((length(u)?, i)));
    let by_interface =
        || configured.iter().position(|u| u.interface.as_ref() == Some(&found.interface));
    by_prefix
        .max_by_key(|(length, index)| (*length, usize::MAX - index))
        .map(|(_, index)| index)
        .or_else(by_interface)
}

fn configured_uplink(
    uplink: &UplinkConfig,
    mut addresses: Vec<UsableAddress>,
    network: &NetworkState,
) -> Uplink {
    // All of 127.0.0.0/8 belongs to this host although only 127.0.0.1 is listed.
    let host = |p: &&IpNet| p.prefix_len() == p.max_prefix_len() && p.addr().is_loopback();
    let loopback = network.links.iter().find(|link| link.loopback);
    for prefix in uplink.prefixes.iter().filter(host) {
        if !addresses.iter().any(|f| f.net.addr() == prefix.addr()) {
            addresses.push(UsableAddress {
                link: loopback.map_or(0, |link| link.index),
                interface: loopback.map_or_else(|| "lo".to_owned(), |link| link.name.clone()),
                net: *prefix,
            });
        }
    }
    Uplink {
        name: uplink.name.clone(),
        class: uplink.class,
        metered: uplink.metered,
        overflow: uplink.overflow,
        discovered: false,
        addresses,
    }
}

/// Makes one uplink of each interface and prefix. An address without its prefix (DHCPv6 gives a /128)
/// belongs to the prefix of its interface that holds it.
fn discover(found: &[UsableAddress]) -> Vec<Uplink> {
    let prefix = |f: &UsableAddress| -> IpNet {
        let holding = found.iter().filter(|other| other.link == f.link);
        let holding =
            holding.map(|other| other.net.trunc()).filter(|net| net.contains(&f.net.addr()));
        holding.min_by_key(IpNet::prefix_len).unwrap_or_else(|| f.net.trunc())
    };
    let mut uplinks: Vec<((u32, IpNet), Uplink)> = Vec::new();
    for f in found {
        let key = (f.link, prefix(f));
        match uplinks.iter_mut().find(|(known, _)| *known == key) {
            Some((_, uplink)) => uplink.addresses.push(f.clone()),
            None => {
                let uplink = Uplink {
                    name: format!("{}-{}", f.interface, key.1),
                    class: AddressClass::default(),
                    metered: false,
                    overflow: None,
                    discovered: true,
                    addresses: vec![f.clone()],
                };
                uplinks.push((key, uplink));
            }
        }
    }
    uplinks.into_iter().map(|(_, uplink)| uplink).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::network_state::tests::network;

    pub(crate) fn uplink(name: &str, prefixes: &[&str], interface: Option<&str>) -> UplinkConfig {
        UplinkConfig {
            name: name.into(),
            prefixes: prefixes.iter().map(|p| p.parse().unwrap()).collect(),
            interface: interface.map(str::to_owned),
            ..UplinkConfig::default()
        }
    }

    fn shown(uplinks: &[Uplink]) -> Vec<(&str, Vec<String>)> {
        uplinks
            .iter()
            .map(|u| (u.name.as_str(), u.ips().map(|i| i.to_string()).collect()))
            .collect()
    }

    #[test]
    fn each_interface_and_prefix_is_an_uplink_and_link_local_addresses_are_none() {
        let network = network(&[
            ("lo", "127.0.0.1/8"),
            ("eth0", "192.0.2.5/24"),
            ("eth0", "2001:db8:a::5/64"),
            ("eth0", "2001:db8:a::6/64"),
            ("eth1", "192.0.2.9/24"),
            ("eth0", "fe80::1/64"),
        ]);
        let uplinks = group(&[], &network);
        let want = [
            ("lo-127.0.0.0/8", vec!["127.0.0.1".to_owned()]),
            ("eth0-192.0.2.0/24", vec!["192.0.2.5".to_owned()]),
            ("eth0-2001:db8:a::/64", vec!["2001:db8:a::5".to_owned(), "2001:db8:a::6".to_owned()]),
            ("eth1-192.0.2.0/24", vec!["192.0.2.9".to_owned()]),
        ];
        assert_eq!(shown(&uplinks), want);
    }

    #[test]
    fn interfaces_whose_names_begin_alike_are_distinguished() {
        let network = network(&[("eth10", "192.0.2.9/24"), ("eth1", "192.0.2.5/24")]);
        let uplinks = group(&[], &network);
        let names: Vec<&str> = uplinks.iter().map(|u| u.name.as_str()).collect();
        assert_eq!(names, ["eth10-192.0.2.0/24", "eth1-192.0.2.0/24"]);
    }

    #[test]
    fn an_address_without_its_prefix_joins_the_prefix_that_holds_it() {
        let network = network(&[
            ("eth0", "2001:db8:a::99/128"),
            ("eth0", "2001:db8:a::5/64"),
            ("eth1", "2001:db8:a::77/128"),
        ]);
        let uplinks = group(&[], &network);
        let names: Vec<(&str, usize)> =
            uplinks.iter().map(|u| (u.name.as_str(), u.addresses.len())).collect();
        assert_eq!(names, [("eth0-2001:db8:a::/64", 2), ("eth1-2001:db8:a::77/128", 1)]);
    }

    #[test]
    fn configured_uplinks_take_addresses_by_prefix_by_interface_and_on_loopback_by_name() {
        let network = network(&[("eth0", "192.0.2.5/24"), ("wwan0", "10.0.0.7/8")]);
        let configured = [
            uplink("a", &["192.0.2.0/28"], None),
            uplink("lte", &[], Some("wwan0")),
            uplink("lo", &["127.0.9.1/32"], None),
            uplink("gone", &["203.0.113.0/24"], None),
        ];
        let uplinks = group(&configured, &network);
        let want = [
            ("a", vec!["192.0.2.5".to_owned()]),
            ("lte", vec!["10.0.0.7".to_owned()]),
            ("lo", vec!["127.0.9.1".to_owned()]),
            ("gone", vec![]),
        ];
        assert_eq!(shown(&uplinks), want);
    }

    #[test]
    fn an_address_that_several_uplinks_claim_belongs_to_the_longest_prefix_else_to_its_interface() {
        let network = network(&[
            ("eth0", "10.0.1.5/24"),
            ("eth0", "10.0.2.5/24"),
            ("eth0", "192.0.2.5/24"),
            ("eth1", "10.0.2.6/24"),
        ]);
        let configured = [
            uplink("wire", &[], Some("eth0")),
            uplink("wide", &["10.0.0.0/8"], None),
            uplink("narrow", &["10.0.2.0/24"], None),
        ];
        let uplinks = group(&configured, &network);
        let want = [
            ("wire", vec!["192.0.2.5".to_owned()]),
            ("wide", vec!["10.0.1.5".to_owned()]),
            ("narrow", vec!["10.0.2.5".to_owned(), "10.0.2.6".to_owned()]),
        ];
        assert_eq!(shown(&uplinks), want);
    }

    #[test]
    fn a_configured_uplink_keeps_its_order_class_and_price() {
        let network = network(&[("eth0", "192.0.2.5/24"), ("wwan0", "10.0.0.7/8")]);
        let lte = UplinkConfig {
            metered: true,
            class: AddressClass::ProviderIndependent,
            ..uplink("lte", &[], Some("wwan0"))
        };
        let uplinks = group(&[lte, uplink("a", &["192.0.2.0/24"], None)], &network);
        let kept: Vec<_> = uplinks.iter().map(|u| (u.name.as_str(), u.class, u.metered)).collect();
        let want = [
            ("lte", AddressClass::ProviderIndependent, true),
            ("a", AddressClass::ProviderAssigned, false),
        ];
        assert_eq!(kept, want);
    }
}
