//! Site prefixes: which locators of a peer are likely to fail together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The site prefix of a locator.
///
/// The global routing table holds no prefixes longer than /24 and /48 (RFC 7454 §6.1.3). So
/// locators that differ in these bits may belong to different providers, and locators that agree
/// do not. On loopback every address and port is a prefix of its own, because emulated networks
/// live there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(IpAddr, u16);

impl Prefix {
    /// Returns the prefix of a locator.
    pub fn of(remote: SocketAddr) -> Self {
        let ip = remote.ip().to_canonical();
        match ip {
            ip if ip.is_loopback() => Self(ip, remote.port()),
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self(Ipv4Addr::new(a, b, c, 0).into(), 0)
            }
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments();
                Self(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into(), 0)
            }
        }
    }
}

impl Prefix {
    /// Returns whether it is one of IPv4 addresses.
    pub fn is_ipv4(&self) -> bool {
        self.0.is_ipv4()
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            ip if ip.is_loopback() => write!(f, "{}", SocketAddr::new(ip, self.1)),
            IpAddr::V4(ip) => write!(f, "{ip}/24"),
            IpAddr::V6(ip) => write!(f, "{ip}/48"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        Prefix::of(text.parse().unwrap())
    }

    #[test]
    fn locators_of_one_site_prefix_are_one_and_on_loopback_each_is_its_own() {
        assert_eq!(prefix("192.0.2.1:1"), prefix("192.0.2.200:2"));
        assert_eq!(prefix("[2001:db8:a::1]:1"), prefix("[2001:db8:a:9::1]:1"));
        assert_eq!(prefix("[::ffff:192.0.2.1]:1"), prefix("192.0.2.1:1"));
        for (one, other) in [
            ("192.0.2.1:1", "192.0.3.1:1"),
            ("[2001:db8:a::1]:1", "[2001:db8:b::1]:1"),
            ("192.0.2.1:1", "[2001:db8:a::1]:1"),
            ("127.0.0.1:1", "127.0.0.1:2"),
            ("127.0.1.1:1", "127.0.0.1:1"),
        ] {
            assert_ne!(prefix(one), prefix(other));
        }
    }
}
