//! Where we can be reached, as we advertise it to our peers.
//!
//! What was configured comes first (the outside of a NAT, which nobody can see from within), then
//! the addresses that we listen on; `[::]` and `0.0.0.0` stand for those of our uplinks. An address
//! that leads nowhere from elsewhere is not advertised: a loopback address is an emulated network's or
//! a relay's business, and has to be configured.

use std::net::{IpAddr, SocketAddr};

use throughline_proto::types::Locator;
use throughline_proto::wire::fact::MAX_LOCATORS;

/// Returns our locators, without repetition; `ours` are the addresses of our uplinks.
pub(crate) fn own(
    configured: &[SocketAddr],
    listen: &[SocketAddr],
    ours: &[IpAddr],
) -> Vec<Locator> {
    let mut list: Vec<Locator> = Vec::new();
    let mut add = |addr: SocketAddr| {
        let locator = Locator::from(addr);
        if list.len() < MAX_LOCATORS && !list.contains(&locator) {
            list.push(locator);
        }
    };
    configured.iter().copied().for_each(&mut add);
    for addr in listen {
        if addr.ip().is_unspecified() {
            let family =
                ours.iter().filter(|ip| ip.is_ipv4() == addr.is_ipv4() && is_advertised(ip));
            family.for_each(|ip| add((*ip, addr.port()).into()));
        } else if is_advertised(&addr.ip()) {
            add(*addr);
        }
    }
    list
}

fn is_advertised(ip: &IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    };
    !ip.is_loopback() && !link_local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertised(configured: &[&str], listen: &[&str]) -> Vec<String> {
        let addrs = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<_>>();
        let ours = ["192.0.2.1", "2001:db8:a::1", "198.51.100.1", "127.0.0.1", "::1"];
        let ours = ours.map(|a| a.parse().unwrap());
        own(&addrs(configured), &addrs(listen), &ours).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn listening_everywhere_advertises_the_addresses_of_the_uplinks() {
        let v4 = ["192.0.2.1:5", "198.51.100.1:5"];
        assert_eq!(advertised(&[], &["0.0.0.0:5"]), v4);
        assert_eq!(advertised(&[], &["[::]:5"]), ["[2001:db8:a::1]:5"]);
    }

    #[test]
    fn listening_somewhere_advertises_just_that_and_never_what_leads_nowhere_from_elsewhere() {
        let listen = ["192.0.2.1:5", "127.0.0.1:5", "[fe80::1]:5", "169.254.0.1:5", "192.0.2.1:5"];
        assert_eq!(advertised(&[], &listen), ["192.0.2.1:5"]);
        assert_eq!(advertised(&[], &[]), Vec::<String>::new());
    }

    #[test]
    fn what_is_given_by_hand_is_advertised_first_and_whatever_it_is() {
        let configured = ["203.0.113.1:7", "127.0.0.9:7"];
        assert_eq!(
            advertised(&configured, &["192.0.2.1:5"]),
            ["203.0.113.1:7", "127.0.0.9:7", "192.0.2.1:5"]
        );
    }
}
