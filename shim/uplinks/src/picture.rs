//! What the system says of this host's links, addresses and default routes, and which addresses a
//! lane may start from. Plain data: it is read anew whenever something changed, never patched, so
//! that nothing that was missed can stay wrong.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Switched on, and with a carrier. An interface that cannot tell (`veth`, `tun`, `lo`) has one.
    pub up: bool,
    pub loopback: bool,
}

/// How good an address is as a source (RFC 4862 §5.5.4, RFC 6724 §5 rule 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// For what is there and what is new.
    Preferred,
    /// What uses it may go on for now; nothing new starts from it.
    Deprecated,
    /// Not to be used (yet): duplicate address detection is under way, or failed.
    Unready,
}

/// An address of an interface, with the prefix that is on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub link: u32,
    pub net: IpNet,
    pub standing: Standing,
}

/// A default route: where an interface leads to the rest of the world.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only netlink tells"))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultRoute {
    pub link: u32,
    pub v6: bool,
    /// Lower is preferred.
    pub metric: u32,
    /// `None` on a link that has only one far end.
    pub gateway: Option<IpAddr>,
    /// The gateway is to be believed to be on the link, whatever the addresses say.
    pub onlink: bool,
    /// Only for packets from this prefix (`IPV6_SUBTREES`; RFC 8043).
    pub source: Option<IpNet>,
}

/// All of it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    pub links: Vec<Link>,
    pub addresses: Vec<Address>,
    pub defaults: Vec<DefaultRoute>,
}

/// An address that a lane may start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub link: u32,
    pub interface: String,
    pub net: IpNet,
}

impl Picture {
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The addresses that a new lane may start from: preferred, not of a link alone, on an
    /// interface that is up.
    pub fn usable(&self) -> Vec<Found> {
        let found = |address: &Address| {
            let link = self.link(address.link).filter(|link| link.up)?;
            let good = address.standing == Standing::Preferred && carries_lanes(address.net.addr());
            good.then(|| Found { link: link.index, interface: link.name.clone(), net: address.net })
        };
        self.addresses.iter().filter_map(found).collect()
    }

    /// Whether packets from `ip` can still leave: it is there, deprecated or not, and its
    /// interface is up. All of 127.0.0.0/8 is, although only 127.0.0.1 is listed.
    pub fn carries(&self, ip: IpAddr) -> bool {
        if matches!(ip, IpAddr::V4(v4) if v4.is_loopback()) {
            return true;
        }
        self.addresses.iter().any(|a| {
            a.net.addr() == ip
                && a.standing != Standing::Unready
                && self.link(a.link).is_some_and(|link| link.up)
        })
    }

    /// The interface that has the address.
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

/// Link-local, multicast and unspecified addresses never carry a lane.
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
pub mod tests {
    use super::*;

    /// Interfaces numbered from 1 by the order in which they are first named; each address
    /// preferred.
    pub fn picture(addresses: &[(&str, &str)]) -> Picture {
        let mut picture = Picture::default();
        for (name, net) in addresses {
            let known = picture.links.iter().find(|l| l.name == *name).map(|l| l.index);
            let link = known.unwrap_or_else(|| {
                let index = picture.links.len() as u32 + 1;
                let loopback = *name == "lo";
                picture.links.push(Link { index, name: (*name).to_owned(), up: true, loopback });
                index
            });
            let standing = Standing::Preferred;
            picture.addresses.push(Address { link, net: net.parse().unwrap(), standing });
        }
        picture
    }

    fn usable(picture: &Picture) -> Vec<String> {
        picture.usable().iter().map(|f| f.net.addr().to_string()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_kind_of_global_and_private_address_is_usable_and_link_local_ones_are_not() {
        let picture = picture(&[
            ("lo", "127.0.0.1/8"),
            ("eth0", "192.0.2.5/24"),
            ("eth0", "10.1.2.3/8"),
            ("eth0", "169.254.7.7/16"),
            ("eth0", "2001:db8:a::5/64"),
            ("eth0", "fd00:1::5/64"),
            ("eth0", "fe80::1/64"),
        ]);
        let want = ["127.0.0.1", "192.0.2.5", "10.1.2.3", "2001:db8:a::5", "fd00:1::5"];
        assert_eq!(usable(&picture), want);
    }

    #[test]
    fn a_deprecated_address_starts_no_lane_but_carries_those_that_are_there() {
        let mut picture = picture(&[("eth0", "192.0.2.5/24")]);
        picture.addresses[0].standing = Standing::Deprecated;
        assert!(usable(&picture).is_empty());
        assert!(picture.carries(ip("192.0.2.5")));
    }

    #[test]
    fn an_address_that_is_tentative_or_a_duplicate_is_not_used_at_all() {
        let mut picture = picture(&[("eth0", "2001:db8::5/64")]);
        picture.addresses[0].standing = Standing::Unready;
        assert!(usable(&picture).is_empty());
        assert!(!picture.carries(ip("2001:db8::5")));
    }

    #[test]
    fn an_interface_that_is_down_or_unknown_takes_its_addresses_with_it() {
        let mut picture = picture(&[("eth0", "192.0.2.5/24"), ("eth1", "198.51.100.5/24")]);
        picture.links[0].up = false;
        assert_eq!(usable(&picture), ["198.51.100.5"]);
        assert!(!picture.carries(ip("192.0.2.5")));
        picture.links.remove(1);
        assert!(usable(&picture).is_empty() && !picture.carries(ip("198.51.100.5")));
    }

    #[test]
    fn all_of_the_loopback_prefix_is_there_and_belongs_to_the_loopback_interface() {
        let picture = picture(&[("lo", "127.0.0.1/8"), ("eth0", "192.0.2.5/24")]);
        assert!(picture.carries(ip("127.0.9.1")));
        assert_eq!(picture.interface_of(ip("127.0.9.1")), Some("lo"));
        assert_eq!(picture.interface_of(ip("192.0.2.5")), Some("eth0"));
        assert_eq!(picture.interface_of(ip("192.0.2.6")), None);
    }
}
