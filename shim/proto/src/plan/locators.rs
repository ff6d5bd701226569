//! What a peer says of where it can be reached, judged.

use std::net::{IpAddr, SocketAddr};

/// The most locators taken from a peer: more prefixes than sites have, and few enough to dial.
pub const MAX_LEARNED: usize = 8;

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Loopback,
    /// RFC 1918, RFC 6598, unique local.
    Private,
    Global,
}

/// The scope of an address that a lane may lead to; none where none may.
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

/// 100.64.0.0/10 (RFC 6598): behind a provider's NAT.
fn is_shared([a, b, ..]: [u8; 4]) -> bool {
    a == 100 && b & 0xc0 == 64
}

/// Of the locators that a peer `said` it has, those worth dialling beside the `configured` ones.
///
/// A private or loopback address means something only where it was said, so one is taken only if
/// we reach the peer at such an address already: a peer behind a NAT must not send us to a host of
/// our own network, nor to ourselves. (The handshake would fail there for want of its key, but
/// strangers would see us knock.) At most [`MAX_LEARNED`].
pub fn learned(said: &[SocketAddr], configured: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut taken: Vec<SocketAddr> = Vec::new();
    for addr in said {
        let Some(of) = scope(*addr) else { continue };
        let reached = || configured.iter().any(|c| scope(*c) == Some(of));
        let fresh = !configured.contains(addr) && !taken.contains(addr);
        if fresh && (of == Scope::Global || reached()) && taken.len() < MAX_LEARNED {
            taken.push(*addr);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|a| a.parse().unwrap()).collect()
    }

    #[test]
    fn what_a_peer_says_is_taken_once_and_beside_what_is_configured() {
        let said = addrs(&["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.1:1", "198.51.100.1:1"]);
        let known = addrs(&["198.51.100.1:1"]);
        assert_eq!(learned(&said, &known), addrs(&["192.0.2.1:1", "[2001:db8::1]:1"]));
    }

    #[test]
    fn an_address_that_leads_nowhere_is_never_taken() {
        let said = addrs(&[
            "0.0.0.0:1",
            "[::]:1",
            "169.254.1.1:1",
            "[fe80::1]:1",
            "224.0.0.1:1",
            "[ff02::1]:1",
            "255.255.255.255:1",
            "192.0.2.1:0",
        ]);
        assert_eq!(learned(&said, &addrs(&["127.0.0.1:1", "10.0.0.1:1"])), []);
    }

    #[test]
    fn private_and_loopback_addresses_are_taken_only_where_the_peer_is_reached_at_such() {
        for (said, known) in [
            ("127.0.0.1:1", "127.0.0.2:1"),
            ("[::1]:1", "127.0.0.2:1"),
            ("[::ffff:127.0.0.1]:1", "127.0.0.2:1"),
            ("10.0.0.1:1", "192.168.0.1:1"),
            ("100.64.0.1:1", "192.168.0.1:1"),
            ("[fd00::1]:1", "10.0.0.1:1"),
        ] {
            let said = addrs(&[said]);
            assert_eq!(learned(&said, &addrs(&["192.0.2.1:1"])), [], "{said:?}");
            assert_eq!(learned(&said, &addrs(&[known])), said, "{said:?}");
        }
    }

    #[test]
    fn a_peer_that_says_much_is_not_taken_at_all_its_words() {
        let said: Vec<SocketAddr> = (0..64).map(|n| ([192, 0, 2, n], 1).into()).collect();
        assert_eq!(learned(&said, &[]), said[..MAX_LEARNED]);
    }
}
