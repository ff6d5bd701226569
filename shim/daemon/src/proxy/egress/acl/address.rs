//! Canonical forms of addresses, and addresses that no entry can allow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the embedded IPv4 address of an IPv6 address that carries one, else the address itself.
///
/// Mapped and compatible addresses (RFC 4291 §2.5.5), NAT64 (RFC 6052 §2.1), 6to4 (RFC 3056) and
/// Teredo (RFC 4380) carry one.
pub fn canonical_address(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0, 0, 0, 0, 0, 0) if !(g == 0 && h <= 1) => v4(g, h),
        (0x2002, high, low, ..) => v4(high, low),
        // Teredo inverts every bit of the client's address (RFC 4380 §4).
        (0x2001, 0, ..) => v4(!g, !h),
        _ => None,
    }
}

/// Returns whether no entry can allow `ip`, a [canonical address](canonical_address).
///
/// TCP to such an address is meaningless or stays on the local link. `169.254.169.254`, the
/// metadata service of clouds with its credentials, is among them.
pub(super) fn never_allowed(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            // All of 0.0.0.0/8 means "this network" (RFC 1122 §3.2.1.3); Linux dials 0.0.0.0 as loopback.
            ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast() || ip.is_link_local()
        }
        IpAddr::V6(ip) => {
            // A local-use NAT64 prefix (RFC 8215) embeds an IPv4 address at a position that only
            // its network knows.
            let local_nat64 = ip.segments()[..3] == [0x64, 0xff9b, 1];
            ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() || local_nat64
        }
    }
}
