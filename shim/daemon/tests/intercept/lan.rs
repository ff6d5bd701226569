//! Hosts behind this one, which is their router.

use crate::site::{Site, port, rules, seen_by, with_nft};
use crate::world::{Far, ip};

#[test]
fn a_host_behind_the_router_reaches_everything_through_the_peer() {
    let name = "lan::a_host_behind_the_router_reaches_everything_through_the_peer";
    with_nft(name, || {
        let site = Site::new();
        let host = host_behind(&site);
        let near = site.start(
            "interfaces = \"lan0\"\nexcept = [\"203.0.113.2\", \"2001:db8:f::2\"]",
            "[[rule]]\nto = \"direct.example\"\nvia = \"direct\"",
        );
        let own = [
            ("203.0.113.", "10.7.0.2", "192.0.2.5"),
            ("2001:db8:f::", "2001:db8:7::2", "2001:db8:a::5"),
        ];
        for (net, behind, router) in own {
            let (one, two) = (format!("{net}1"), format!("{net}2"));
            let at = Some(&host);
            assert_eq!(seen_by(&one, None, at), one, "{}\n{}", near.log(), rules());
            // Forwarded, as a router does.
            assert_eq!(seen_by(&two, None, at), behind, "{}", near.log());
            assert_eq!(seen_by(&one, Some("direct.example"), at), router);
            // The router's own programs are not selected.
            assert_eq!(seen_by(&one, None, None), router);
        }
        // The router itself is reached as ever, and its port of interception is not.
        host.sh(&format!("! curl -s --max-time 10 http://10.7.0.1:{}/", port()));
        assert!(!near.log().contains("made to the port itself"), "{}", near.log());
    });
}

/// Creates a host whose router is this one.
pub(crate) fn host_behind(site: &Site) -> Far {
    let host = Far::new();
    host.ip("link add pad0 type veth peer name pad1");
    ip(&format!("link add lan0 type veth peer name lan1 netns {}", host.pid()));
    ip("addr add 10.7.0.1/24 dev lan0");
    ip("addr add 2001:db8:7::1/64 dev lan0 nodad");
    ip("link set lan0 up");
    host.ip("addr add 10.7.0.2/24 dev lan1");
    host.ip("addr add 2001:db8:7::2/64 dev lan1 nodad");
    host.ip("link set lan1 up");
    host.ip("route add default via 10.7.0.1");
    host.ip("-6 route add default via 2001:db8:7::1");
    site.far.ip("route add 10.7.0.0/24 via 192.0.2.5");
    site.far.ip("-6 route add 2001:db8:7::/64 via 2001:db8:a::5");
    for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{file}"), "1").unwrap();
    }
    // With forwarding on, the default route of IPv6 is not learned any more; ours is written down.
    host
}
