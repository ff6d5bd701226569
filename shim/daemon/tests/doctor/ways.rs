//! Set-ups that are broken on the way or at the far end: routes, ISPs, firewalls, MTU, keys.

use crate::site::{LOCATOR, Site, UPLINKS, broken, filter, findings, with_nft, worst_is};
use crate::world::{ip, keygen};

/// Both links get a chain that drops or refuses UDP to the peer's port.
const INPUT: &str = "filter hook input";

broken! {
    a_route_refuses_the_peers_network => || {
        let (site, _far, _there) = Site::with_peer();
        ip("route add unreachable 203.0.113.0/24");
        site.finds(&site.good(), "TL0201", "error", "No route leads");
    };
    the_second_isp_has_no_default_route => || {
        let (site, _far, _there) = Site::with_peer();
        ip("route del default via 198.51.100.1 dev b0 metric 200");
        let found = site.finds(&site.good(), "TL0202", "warning", "b0 has no default route");
        let cure = found["cure"].as_str().unwrap();
        assert!(cure.contains("ip route add default via GATEWAY dev b0 metric 200"), "{cure}");
    };
    there_is_no_default_route_at_all => || {
        let (site, _far, _there) = Site::with_peer();
        ip("route flush default");
        site.finds(&site.good(), "TL0202", "error", "No route leads");
    };
    a_rule_leads_out_by_the_other_isp => || {
        let (site, _far, _there) = Site::with_peer();
        ip("route add default via 192.0.2.1 dev a0 table 600");
        ip("route add unreachable default metric 9999 table 600");
        ip("rule add from 198.51.100.5 lookup 600");
        site.finds(&site.good(), "TL0203", "warning", "leave by a0");
    };
    the_isp_drops_an_address_that_it_has_not_assigned => || {
        let (site, _far, _there) = Site::with_peer();
        ip("addr add 192.0.2.77/32 dev b0");
        site.finds(&site.good(), "TL0204", "warning", "from 192.0.2.77 get no answer");
    };
    udp_does_not_pass_one_isp => || with_nft(|| {
        let (site, far, _there) = Site::with_peer();
        filter(Some(&far), INPUT, "iifname b1 udp dport 5443 drop");
        site.finds(&site.good(), "TL0205", "warning", "answers over isp-a");
    });
    the_peers_firewall_drops_udp => || with_nft(|| {
        let (site, far, _there) = Site::with_peer();
        filter(Some(&far), INPUT, "udp dport 5443 drop");
        site.finds(&site.good(), "TL0206", "error", "from no uplink");
    });
    the_peer_is_not_running => || {
        let (site, _far) = Site::with_isps();
        site.finds(&site.good(), "TL0207", "error", "nobody listens at UDP port 5443");
    };
    the_port_is_another_one => || {
        let (site, _far, _there) = Site::with_peer();
        site.finds(&site.config(UPLINKS, "203.0.113.1:5444"), "TL0207", "error", "port 5444");
    };
    the_peers_firewall_refuses => || with_nft(|| {
        let (site, far, _there) = Site::with_peer();
        filter(Some(&far), INPUT, "udp dport 5443 reject with icmpx admin-prohibited");
        site.finds(&site.good(), "TL0208", "error", "firewall of the peer's host 203.0.113.1");
    });
    a_router_on_the_way_refuses => || {
        let (site, far, _there) = Site::with_peer();
        far.sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
        far.ip("route add prohibit 203.0.113.9");
        let found = site.finds(&site.config(UPLINKS, "203.0.113.9:5443"), "TL0208", "error", "The router");
        assert!(found["cause"].as_str().unwrap().contains("forbids it"), "{found}");
    };
    a_router_knows_no_way => || {
        let (site, far, _there) = Site::with_peer();
        far.sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
        far.ip("route add unreachable 203.0.113.9");
        site.finds(&site.config(UPLINKS, "203.0.113.9:5443"), "TL0208", "error", "knows no way");
    };
    our_own_firewall_drops_it => || with_nft(|| {
        let (site, _far, _there) = Site::with_peer();
        filter(None, "filter hook output", "udp dport 5443 drop");
        site.finds(&site.good(), "TL0209", "error", "packet filter of this host");
    });
    our_own_firewall_drops_it_over_one_isp => || with_nft(|| {
        let (site, _far, _there) = Site::with_peer();
        filter(None, "filter hook output", "oifname a0 udp dport 5443 drop");
        site.finds(&site.good(), "TL0209", "warning", "192.0.2.5");
    });
    the_links_are_too_narrow => || {
        let (site, _far, _there) = Site::with_peer();
        ip("link set a0 mtu 1200");
        ip("link set b0 mtu 1200");
        site.finds(&site.good(), "TL0210", "error", "1200 bytes pass at most");
    };
    large_packets_are_lost_on_the_way => || with_nft(|| {
        let (site, far, _there) = Site::with_peer();
        filter(Some(&far), INPUT, "iifname b1 meta length > 1300 drop");
        site.finds(&site.good(), "TL0211", "note", "are lost");
    });
    the_router_does_not_answer => || {
        let (site, _far, _there) = Site::with_peer();
        ip("route del default via 198.51.100.1 dev b0 metric 200");
        ip("route add default via 198.51.100.254 dev b0 metric 200");
        site.finds(&site.good(), "TL0212", "warning", "198.51.100.254 does not answer on b0");
    };
    another_key_answers => || {
        let (mut site, far) = Site::with_isps();
        let _there = site.start_far(&far, &site.near_key);
        let third = keygen(site.path(), "third");
        let shown = std::mem::replace(&mut site.far_key, third);
        site.finds(&site.good(), "TL0213", "error", &shown);
    };
    the_peer_does_not_know_us => || {
        let (site, far) = Site::with_isps();
        let _there = site.start_far(&far, &keygen(site.path(), "third"));
        let found = site.finds(&site.good(), "TL0214", "error", "does not know this host's key");
        assert!(found["cure"].as_str().unwrap().contains(&site.near_key), "{found}");
    };
    both_hosts_have_one_key => || {
        let (site, far) = Site::with_isps();
        std::fs::copy(site.path().join("near.key"), site.path().join("far.key")).unwrap();
        let _there = site.start_far(&far, &keygen(site.path(), "third"));
        site.finds(&site.good(), "TL0215", "error", "very key of this host");
    };
    a_nat_is_on_the_way => || with_nft(|| {
        let (site, far, _there) = Site::with_peer();
        filter(Some(&far), "nat hook input", "iifname a1 ip saddr 192.0.2.5 snat ip to 192.0.2.66");
        site.finds(&site.good(), "TL0219", "note", "sees 192.0.2.66 instead of 192.0.2.5");
    });
    both_sites_use_one_prefix => || {
        let (site, _far, _there) = Site::with_peer();
        let uplinks = "[uplinks.isp-a]\ninterface = \"a0\"\n";
        site.finds(&site.config(uplinks, "192.0.2.99:5443"), "TL0222", "error", "192.0.2.0/24");
    };
    a_peer_on_the_same_link_drops_udp => || {
        let (site, far, _there) = Site::with_peer();
        let uplinks = "[uplinks.isp-a]\ninterface = \"a0\"\n";
        filter(Some(&far), INPUT, "udp dport 5443 drop");
        site.finds(&site.config(uplinks, "192.0.2.1:5443"), "TL0206", "error", "a firewall at its end");
    };
    the_locator_is_private => || {
        let (site, _far, _there) = Site::with_peer();
        site.finds(&site.config(UPLINKS, "10.99.0.1:5443"), "TL0223", "error", "private address");
    };
    one_of_two_locators_is_dead => || {
        let (site, _far, _there) = Site::with_peer();
        let both = format!("{LOCATOR}\", \"203.0.113.1:5444");
        site.finds(&site.config(UPLINKS, &both), "TL0207", "warning", "port 5444");
    };
    a_nat_forgets_a_silent_path_before_a_lane_says_a_word => || with_nft(|| {
        let (site, far, _there) = Site::with_peer();
        // It gives the same port again, as most do: from where the peer sees this host says nothing.
        filter(Some(&far), "nat hook input", "iifname a1 ip saddr 192.0.2.5 snat ip to 192.0.2.66");
        far.sh("for t in udp_timeout udp_timeout_stream; do echo 2 > /proc/sys/net/netfilter/nf_conntrack_$t; done");
        site.write(&site.good());
        let output = site.doctor_with(&["--nat=1,4"]);
        let found = worst_is(&output, "TL0226", "warning", "After 4 s of silence");
        assert!(found["subject"].as_str().unwrap().contains("isp-a"), "{found}");
        assert!(found["cause"].as_str().unwrap().contains("(after 1 s they were)"), "{found}");
        let (all, open) = (findings(&output), "After 4 s of silence the peer's packets are still let in");
        let is_open = |f: &serde_json::Value| f["cause"].as_str().unwrap().starts_with(open);
        assert!(all.iter().any(|f| is_open(f) && f["subject"].as_str().unwrap().contains("isp-b")), "{all:?}");
    });
    a_policer_drops_what_is_above_its_rate => || with_nft(|| {
        let (site, far, _there) = Site::with_peer();
        let rule = "iifname b1 udp dport 5443 limit rate over 800/second burst 50 packets drop";
        filter(Some(&far), INPUT, rule);
        site.write(&site.good());
        let all = findings(&site.doctor_with(&["--rate"]));
        let found = all.iter().find(|f| f["subject"].as_str().unwrap().contains("isp-b") && f["code"] == "TL0229");
        let found = found.unwrap_or_else(|| panic!("{all:#?}"));
        // 800 packets of 1228 bytes a second.
        let cause = found["cause"].as_str().unwrap();
        let rate = cause.split_once("above ").unwrap().1.split_once(" Mbit/s").unwrap().0.parse::<f64>().unwrap();
        assert!((7.0..9.5).contains(&rate), "{cause}");
    });
    a_slow_uplink_queues => || {
        let (site, _far, _there) = Site::with_peer();
        let mut command = std::process::Command::new("tc");
        command.args("qdisc add dev b0 root tbf rate 10mbit burst 5kb latency 2s".split(' '));
        if !command.status().is_ok_and(|status| status.success()) {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: a slow uplink: there is no tc\n");
            return;
        }
        site.write(&site.good());
        let all = findings(&site.doctor_with(&["--rate=500kB"]));
        let found = all.iter().find(|f| f["subject"].as_str().unwrap().contains("isp-b") && f["code"] == "TL0230");
        let cause = found.unwrap_or_else(|| panic!("{all:#?}"))["cause"].as_str().unwrap();
        let rate = cause.split_once("passes at ").unwrap().1.split_once(" Mbit/s").unwrap().0.parse::<f64>().unwrap();
        assert!((8.0..11.5).contains(&rate), "{cause}");
    };
}
