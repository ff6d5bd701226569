//! From uplinks and locators to paths. Pure.

use std::net::{IpAddr, SocketAddr};

use crate::grouping::Uplink;
use throughline_proto::path::Path;

/// Returns every path from our addresses to the peer's.
pub(crate) fn paths(uplinks: &[Uplink], remotes: &[SocketAddr]) -> Vec<Path> {
    let mut paths = Vec::new();
    for (order, uplink) in uplinks.iter().enumerate() {
        for local in uplink.ips() {
            for remote in remotes.iter().filter(|remote| fits(local, remote.ip())) {
                paths.push(Path {
                    uplink: uplink.name.clone(),
                    order: order as u32,
                    class: uplink.class,
                    metered: uplink.metered,
                    draining: false,
                    local,
                    remote: *remote,
                });
            }
        }
    }
    paths
}

/// Returns whether a source fits a destination: of one family, loopback only to loopback, unique local
/// addresses only to such (RFC 6724 §3.1, §5 rule 2).
fn fits(local: IpAddr, remote: IpAddr) -> bool {
    local.is_ipv4() == remote.is_ipv4()
        && local.is_loopback() == remote.is_loopback()
        && is_unique_local(local) == is_unique_local(remote)
}

fn is_unique_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[0] & 0xfe00 == 0xfc00)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grouping::group;
    use crate::network_state::tests::network;

    #[test]
    fn paths_keep_to_family_and_scope() {
        let network = network(&[
            ("lo", "127.0.0.1/8"),
            ("eth0", "192.0.2.5/24"),
            ("eth0", "2001:db8::5/64"),
            ("eth0", "fd00::5/64"),
        ]);
        let remotes: Vec<SocketAddr> =
            ["127.0.0.9:1", "198.51.100.1:1", "[2001:db8:9::1]:1", "[fd00:9::1]:1"]
                .map(|a| a.parse().unwrap())
                .to_vec();
        let pairs: Vec<(String, String)> = paths(&group(&[], &network), &remotes)
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

    #[test]
    fn a_private_address_behind_a_translator_reaches_every_ipv4_locator() {
        let network = network(&[("eth0", "10.0.0.5/24")]);
        let remotes = ["198.51.100.1:1".parse().unwrap(), "192.168.7.1:1".parse().unwrap()];
        assert_eq!(paths(&group(&[], &network), &remotes).len(), 2);
    }
}
