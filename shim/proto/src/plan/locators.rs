//! Which of the locators that a peer advertises may be dialed.

use std::net::{IpAddr, SocketAddr};

/// The most locators taken from a peer: more prefixes than sites have, and few enough to dial.
pub const MAX_LEARNED_LOCATORS: usize = 8;

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Loopback,
    /// RFC 1918, RFC 6598, unique local (RFC 4193).
    Private,
    Global,
}

/// Returns the scope of an address, or `None` if no lane may lead to it.
fn scope(addr: SocketAddr) -> Option<Scope> {
    if addr.port() == 0 {
        return None;
    }
    match addr.ip().to_canonical() {
        ip if ip.is_unspecified() || ip.is_multicast() => None,
        ip if ip.is_loopback() => Some(Scope::Loopback),
        IpAddr::V4(ip) if ip.is_link_local() || ip.is_broadcast() => None,
        IpAddr::V4(ip) if ip.is_private() || is_shared(ip.octets()) => Some(Scope::Private),
        IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfe80 => None,
        IpAddr::V6(ip) if ip.segments()[0] & 0xfe00 == 0xfc00 => Some(Scope::Private),
        _ => Some(Scope::Global),
    }
}

/// Returns whether an address is in 100.64.0.0/10, the space behind carrier-grade NAT (RFC 6598).
fn is_shared([a, b, ..]: [u8; 4]) -> bool {
    a == 100 && b & 0xc0 == 64
}

/// Returns those locators that the peer `advertised` which may be dialed beside the `configured`
/// ones, at most [`MAX_LEARNED_LOCATORS`].
///
/// A private or loopback address has a meaning only in the network of the host that advertised it,
/// so it is taken only if the peer is reached at such an address already. A peer behind a NAT must
/// not direct us to a host of our own network, or to ourselves: the handshake would fail there,
/// since that host lacks the peer's key, but it would see our packets.
pub fn usable_locators(advertised: &[SocketAddr], configured: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut usable: Vec<SocketAddr> = Vec::new();
    for addr in advertised {
        let Some(of) = scope(*addr) else { continue };
        let reached = || configured.iter().any(|c| scope(*c) == Some(of));
        let new = !configured.contains(addr) && !usable.contains(addr);
        if new && (of == Scope::Global || reached()) && usable.len() < MAX_LEARNED_LOCATORS {
            usable.push(*addr);
        }
    }
    usable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|a| a.parse().unwrap()).collect()
    }

    #[test]
    fn an_advertised_locator_is_used_once_and_only_if_it_is_not_configured() {
        let advertised =
            addrs(&["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.1:1", "198.51.100.1:1"]);
        let configured = addrs(&["198.51.100.1:1"]);
        assert_eq!(
            usable_locators(&advertised, &configured),
            addrs(&["192.0.2.1:1", "[2001:db8::1]:1"])
        );
    }

    #[test]
    fn an_address_that_leads_nowhere_is_never_used() {
        let advertised = addrs(&[
            "0.0.0.0:1",
            "[::]:1",
            "169.254.1.1:1",
            "[fe80::1]:1",
            "224.0.0.1:1",
            "[ff02::1]:1",
            "255.255.255.255:1",
            "192.0.2.1:0",
        ]);
        assert_eq!(usable_locators(&advertised, &addrs(&["127.0.0.1:1", "10.0.0.1:1"])), []);
    }

    #[test]
    fn private_and_loopback_addresses_are_used_only_if_the_peer_is_reached_at_such_a_one() {
        for (advertised, configured) in [
            ("127.0.0.1:1", "127.0.0.2:1"),
            ("[::1]:1", "127.0.0.2:1"),
            ("[::ffff:127.0.0.1]:1", "127.0.0.2:1"),
            ("10.0.0.1:1", "192.168.0.1:1"),
            ("100.64.0.1:1", "192.168.0.1:1"),
            ("[fd00::1]:1", "10.0.0.1:1"),
        ] {
            let advertised = addrs(&[advertised]);
            assert_eq!(
                usable_locators(&advertised, &addrs(&["192.0.2.1:1"])),
                [],
                "{advertised:?}"
            );
            assert_eq!(
                usable_locators(&advertised, &addrs(&[configured])),
                advertised,
                "{advertised:?}"
            );
        }
    }

    #[test]
    fn the_number_of_learned_locators_is_bounded() {
        let advertised: Vec<SocketAddr> = (0..64).map(|n| ([192, 0, 2, n], 1).into()).collect();
        assert_eq!(usable_locators(&advertised, &[]), advertised[..MAX_LEARNED_LOCATORS]);
    }
}
