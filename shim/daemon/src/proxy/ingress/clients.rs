//! Who may be a client of an ingress, by the address that a connection or a datagram comes from.

use std::net::IpAddr;

use ipnet::IpNet;

/// Who may be a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// The networks that clients are in; anywhere, where there is none.
    pub allow_from: Vec<IpNet>,
}

impl Clients {
    /// Returns whether a client at this address is one of them. A client of a Unix socket has no address, and is let in by
    /// the socket's file.
    pub fn admit(&self, from: Option<IpAddr>) -> bool {
        let Some(from) = from.map(|ip| ip.to_canonical()) else { return true };
        // Whoever is on this host could reach the ingress at loopback as well.
        self.allow_from.is_empty()
            || from.is_loopback()
            || self.allow_from.iter().any(|network| network.contains(&from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_none_of_the_networks_is_no_client() {
        let allow_from = ["192.168.1.0/24", "2001:db8::/64"].map(|net| net.parse().unwrap());
        let some = Clients { allow_from: allow_from.to_vec() };
        let admits = |clients: &Clients, ip: &str| clients.admit(Some(ip.parse().unwrap()));
        for ip in ["192.168.1.7", "::ffff:192.168.1.7", "2001:db8::7", "127.0.0.1", "::1"] {
            assert!(admits(&some, ip), "{ip}");
        }
        for ip in ["192.168.2.7", "2001:db8:1::7", "::ffff:10.0.0.1"] {
            assert!(!admits(&some, ip), "{ip}");
        }
        assert!(some.admit(None));
        assert!(admits(&Clients::default(), "203.0.113.7"));
    }
}
