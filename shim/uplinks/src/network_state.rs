//! The state of this host's network: links, addresses and default routes, and which addresses a lane
//! may start from.
//!
//! Plain data. It is read anew whenever something changed and never patched, so that a change that
//! was missed cannot leave it wrong.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in the kernel (`if_nametoindex(3)`).
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Administratively up, and with a carrier. An interface that does not report its carrier (`tun`,
    /// `lo`) counts as having one.
    pub up: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
}

/// Whether an address may be used as a source (RFC 4862 §5.5.4, RFC 6724 §5 rule 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// For existing and for new lanes.
    Preferred,
    /// Existing lanes may go on using it; no new lane starts from it.
    Deprecated,
    /// Unusable: duplicate address detection is under way, or failed.
    Unready,
}

/// An address of an interface, with the prefix that is on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface's number.
    pub link: u32,
    /// The address and the prefix length.
    pub net: IpNet,
    /// Whether it may be used.
    pub state: AddressState,
}

/// A default route.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only netlink tells"))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultRoute {
    /// The number of the interface that it leads over.
    pub link: u32,
    /// Whether it is for IPv6.
    pub v6: bool,
    /// The metric; lower is preferred.
    pub metric: u32,
    /// The router; `None` on a point-to-point link.
    pub gateway: Option<IpAddr>,
    /// The gateway is on the link whatever the addresses say (`onlink`).
    pub onlink: bool,
    /// Only for packets from this prefix (`IPV6_SUBTREES`; RFC 8043).
    pub source: Option<IpNet>,
}

/// The network state at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkState {
    /// The interfaces.
    pub links: Vec<Link>,
    /// The addresses of all interfaces.
    pub addresses: Vec<Address>,
    /// The default routes of all interfaces.
    pub defaults: Vec<DefaultRoute>,
}

/// An address that a lane may start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableAddress {
    /// The interface's number.
    pub link: u32,
    /// The interface's name.
    pub interface: String,
    /// The address and the prefix length.
    pub net: IpNet,
}

impl NetworkState {
    /// Returns the interface with a number.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// Returns the addresses that a new lane may start from: preferred, not link-local, on an
    /// interface that is up.
    pub fn usable(&self) -> Vec<UsableAddress> {
        let found = |address: &Address| {
            let link = self.link(address.link).filter(|link| link.up)?;
            let good =
                address.state == AddressState::Preferred && carries_lanes(address.net.addr());
            good.then(|| UsableAddress {
                link: link.index,
                interface: link.name.clone(),
                net: address.net,
            })
        };
        self.addresses.iter().filter_map(found).collect()
    }

    /// Returns whether packets from `ip` can still leave: the address exists, deprecated or not, and
    /// its interface is up. All of 127.0.0.0/8 exists, although only 127.0.0.1 is listed.
    pub fn carries(&self, ip: IpAddr) -> bool {
        if matches!(ip, IpAddr::V4(v4) if v4.is_loopback()) {
            return true;
        }
        self.addresses.iter().any(|a| {
            a.net.addr() == ip
                && a.state != AddressState::Unready
                && self.link(a.link).is_some_and(|link| link.up)
        })
    }

    /// Returns whether packets between these addresses pass no router. Of loopback, where every address is
    /// on the link, only listed addresses count: behind another may be an emulated internet.
    pub fn are_on_link(&self, local: IpAddr, remote: IpAddr) -> bool {
        let listed = |ip| self.addresses.iter().any(|address| address.net.addr() == ip);
        self.addresses.iter().filter(|address| address.net.contains(&local)).any(|address| {
            let loopback = self.link(address.link).is_some_and(|link| link.loopback);
            if loopback { listed(local) && listed(remote) } else { address.net.contains(&remote) }
        })
    }

    /// Returns the name of the interface that has an address.
    pub fn interface_of(&self, ip: IpAddr) -> Option<&str> {
        let address = self.addresses.iter().find(|a| a.net.addr() == ip);
        let link = match address {
            Some(address) => self.link(address.link),
            None if ip.is_loopback() => self.links.iter().find(|link| link.loopback),
            None => None,
        };
        link.map(|link| link.name.as_str())
    }
}

/// Returns whether an address can carry a lane: link-local, multicast and unspecified ones cannot.
fn carries_lanes(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => is_link_local(ip),
    };
    !link_local && !ip.is_unspecified() && !ip.is_multicast()
}

fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Interfaces numbered from 1 by the order in which they are first named; each address
    /// preferred.
    pub(crate) fn network(addresses: &[(&str, &str)]) -> NetworkState {
        let mut network = NetworkState::default();
        for (name, net) in addresses {
            let known = network.links.iter().find(|l| l.name == *name).map(|l| l.index);
            let link = known.unwrap_or_else(|| {
                let index = network.links.len() as u32 + 1;
                let loopback = *name == "lo";
                network.links.push(Link { index, name: (*name).to_owned(), up: true, loopback });
                index
            });
            let state = AddressState::Preferred;
            network.addresses.push(Address { link, net: net.parse().unwrap(), state });
        }
        network
    }

    fn usable(network: &NetworkState) -> Vec<String> {
        network.usable().iter().map(|f| f.net.addr().to_string()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_on_a_link_and_what_is_behind_a_router() {
        let network =
            network(&[("lo", "127.0.0.1/8"), ("eth0", "192.0.2.5/24"), ("eth1", "10.1.2.3/8")]);
        let on_link = |local, remote| network.are_on_link(ip(local), ip(remote));
        assert!(on_link("192.0.2.5", "192.0.2.77") && on_link("127.0.0.1", "127.0.0.1"));
        assert!(!on_link("192.0.2.5", "198.51.100.1") && !on_link("192.0.2.5", "10.0.0.1"));
        assert!(!on_link("127.0.0.1", "127.0.3.1") && !on_link("127.0.3.1", "127.0.0.1"));
    }

    #[test]
    fn every_kind_of_global_and_private_address_is_usable_and_link_local_ones_are_not() {
        let network = network(&[
            ("lo", "127.0.0.1/8"),
            ("eth0", "192.0.2.5/24"),
            ("eth0", "10.1.2.3/8"),
            ("eth0", "169.254.7.7/16"),
            ("eth0", "2001:db8:a::5/64"),
            ("eth0", "fd00:1::5/64"),
            ("eth0", "fe80::1/64"),
        ]);
        let want = ["127.0.0.1", "192.0.2.5", "10.1.2.3", "2001:db8:a::5", "fd00:1::5"];
        assert_eq!(usable(&network), want);
    }

    #[test]
    fn a_deprecated_address_starts_no_lane_but_carries_those_that_are_there() {
        let mut network = network(&[("eth0", "192.0.2.5/24")]);
        network.addresses[0].state = AddressState::Deprecated;
        assert!(usable(&network).is_empty());
        assert!(network.carries(ip("192.0.2.5")));
    }

    #[test]
    fn an_address_that_is_tentative_or_a_duplicate_is_not_used_at_all() {
        let mut network = network(&[("eth0", "2001:db8::5/64")]);
        network.addresses[0].state = AddressState::Unready;
        assert!(usable(&network).is_empty());
        assert!(!network.carries(ip("2001:db8::5")));
    }

    #[test]
    fn an_interface_that_is_down_or_unknown_takes_its_addresses_with_it() {
        let mut network = network(&[("eth0", "192.0.2.5/24"), ("eth1", "198.51.100.5/24")]);
        network.links[0].up = false;
        assert_eq!(usable(&network), ["198.51.100.5"]);
        assert!(!network.carries(ip("192.0.2.5")));
        network.links.remove(1);
        assert!(usable(&network).is_empty() && !network.carries(ip("198.51.100.5")));
    }

    #[test]
    fn all_of_the_loopback_prefix_is_there_and_belongs_to_the_loopback_interface() {
        let network = network(&[("lo", "127.0.0.1/8"), ("eth0", "192.0.2.5/24")]);
        assert!(network.carries(ip("127.0.9.1")));
        assert_eq!(network.interface_of(ip("127.0.9.1")), Some("lo"));
        assert_eq!(network.interface_of(ip("192.0.2.5")), Some("eth0"));
        assert_eq!(network.interface_of(ip("192.0.2.6")), None);
    }
}
