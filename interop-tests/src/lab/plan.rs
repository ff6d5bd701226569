//! The address plan: which prefixes an ISP has, and which addresses its customer.
//!
//! ISPs are numbered from 0. IPv4 comes from the block for benchmarks (RFC 2544), IPv6 from the one
//! for documentation (RFC 3849); none of it exists outside of the lab.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which families addresses are given from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4 only.
    #[default]
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

impl Family {
    /// Returns whether an address is of these.
    pub fn has(self, addr: IpAddr) -> bool {
        match self {
            Self::V4 => addr.is_ipv4(),
            Self::V6 => addr.is_ipv6(),
            Self::Both => true,
        }
    }
}

/// A prefix of an ISP with what is in it. An ISP's customers are one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The prefix's own address.
    pub network: IpAddr,
    /// Its length.
    pub length: u8,
    /// The ISP's router.
    pub gateway: IpAddr,
    /// The customer's host.
    pub host: IpAddr,
}

impl Prefix {
    fn v4(third: u8) -> Self {
        let addr = |last| Ipv4Addr::new(198, 18, third, last).into();
        Self { network: addr(0), length: 24, gateway: addr(1), host: addr(10) }
    }

    fn v6(third: u16) -> Self {
        let addr = |last| Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, last).into();
        Self { network: addr(0), length: 48, gateway: addr(1), host: addr(0x10) }
    }

    /// Returns the provider-assigned prefixes of ISP `number`, IPv4 and IPv6.
    pub fn of_isp(number: u8) -> [Self; 2] {
        [Self::v4(10 + number), Self::v6(0xa + u16::from(number))]
    }

    /// Returns what it renumbers its customer into.
    pub fn renumbered(number: u8) -> [Self; 2] {
        [Self::v4(110 + number), Self::v6(0x10a + u16::from(number))]
    }

    /// Returns what the customer has behind the ISP's NAT (RFC 1918; IPv4 only).
    pub fn behind_nat(number: u8) -> Self {
        let addr = |last| Ipv4Addr::new(10, 10, number, last).into();
        Self { network: addr(0), length: 24, gateway: addr(1), host: addr(10) }
    }

    /// Returns the site's own, which BGP announces: one of each family, IPv4 first.
    pub fn independent(family: Family) -> Vec<Self> {
        let v4 = |last| Ipv4Addr::new(203, 0, 113, last).into();
        let both =
            [Self { network: v4(0), length: 24, gateway: v4(1), host: v4(10) }, Self::v6(0xfff1)];
        both.into_iter().filter(|prefix| family.has(prefix.host)).collect()
    }

    /// `NETWORK/LENGTH`.
    pub fn cidr(&self) -> String {
        format!("{}/{}", self.network, self.length)
    }

    /// `HOST/LENGTH`, as `ip addr add` takes it.
    pub fn host_cidr(&self) -> String {
        format!("{}/{}", self.host, self.length)
    }
}

/// Returns the two ends of the line between ISP `number` and the internet's core: the core's, the ISP's.
pub(super) fn transit(number: u8) -> [(IpAddr, IpAddr); 2] {
    let v4 = |last| Ipv4Addr::new(198, 19, number, last).into();
    let v6 = |last| Ipv6Addr::new(0x2001, 0xdb8, 0xff, u16::from(number), 0, 0, 0, last).into();
    [(v4(1), v4(2)), (v6(1), v6(2))]
}
