//! How soon a node knows the addresses of its host.

use std::time::{Duration, Instant};

use throughline::{Node, UplinkConfig};

use crate::world::{in_namespace, ip};

/// Bounds the time until a change is known.
///
/// The kernel notifies at once; the rest is this machine's load. Enumeration, once a second, would be
/// too slow.
const SOON: Duration = Duration::from_millis(250);

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// One link, whose far end `v1` is here as well: its state is `v0`'s carrier.
async fn node_with_a_link() -> Node {
    ip("link add v0 type veth peer name v1");
    ip("link set v1 up");
    ip("link set v0 up");
    Node::builder().build().await.unwrap()
}

fn has(node: &Node, address: &str) -> bool {
    let address = address.parse().unwrap();
    node.status().uplinks.iter().any(|uplink| uplink.addresses.contains(&address))
}

/// Waits until the node lists the address, or no longer does.
async fn listed(node: &Node, address: &str, want: bool, limit: Duration) {
    let since = Instant::now();
    while has(node, address) != want {
        assert!(since.elapsed() < limit, "{address}: still {} after {limit:?}", !want);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("{address} {}: {:?}", if want { "listed" } else { "gone" }, since.elapsed());
}

#[test]
fn an_added_or_removed_address_is_known_at_once() {
    in_namespace("watch::an_added_or_removed_address_is_known_at_once", || {
        run(async {
            let node = node_with_a_link().await;
            for (net, ip_alone) in
                [("192.0.2.5/24", "192.0.2.5"), ("2001:db8::5/64", "2001:db8::5")]
            {
                ip(&format!("addr add {net} dev v0 nodad"));
                listed(&node, ip_alone, true, SOON).await;
                ip(&format!("addr del {net} dev v0"));
                listed(&node, ip_alone, false, SOON).await;
            }
        });
    });
}

#[test]
fn added_and_removed_addresses_emit_events() {
    in_namespace("watch::added_and_removed_addresses_emit_events", || {
        run(async {
            let node = node_with_a_link().await;
            let events = || -> Vec<String> {
                node.events().recent.iter().map(|e| e.kind.to_string()).collect()
            };
            let expect_event = async |text: &str| {
                let since = Instant::now();
                while !events().iter().any(|event| event == text) {
                    assert!(since.elapsed() < SOON, "no event `{text}` in {:#?}", events());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            ip("addr add 192.0.2.5/24 dev v0");
            expect_event("address 192.0.2.5 added").await;
            ip("link set v0 down");
            expect_event("address 192.0.2.5 removed: its link is down").await;
            ip("link set v0 up");
            listed(&node, "192.0.2.5", true, SOON).await;
            ip("addr del 192.0.2.5/24 dev v0");
            expect_event("address 192.0.2.5 removed: it was removed").await;
        });
    });
}

#[test]
fn a_deprecated_address_is_not_a_source_until_it_is_preferred_again() {
    in_namespace("watch::a_deprecated_address_is_not_a_source_until_it_is_preferred_again", || {
        run(async {
            let node = node_with_a_link().await;
            for (net, ip_alone) in
                [("192.0.2.5/24", "192.0.2.5"), ("2001:db8::5/64", "2001:db8::5")]
            {
                ip(&format!("addr add {net} dev v0 nodad"));
                listed(&node, ip_alone, true, SOON).await;
                ip(&format!("addr change {net} dev v0 preferred_lft 0"));
                listed(&node, ip_alone, false, SOON).await;
                ip(&format!("addr change {net} dev v0 preferred_lft forever"));
                listed(&node, ip_alone, true, SOON).await;
            }
        });
    });
}

#[test]
fn an_address_whose_preferred_lifetime_ends_is_not_used_as_a_source() {
    in_namespace("watch::an_address_whose_preferred_lifetime_ends_is_not_used_as_a_source", || {
        run(async {
            let node = node_with_a_link().await;
            ip("addr add 2001:db8::5/64 dev v0 nodad valid_lft 60 preferred_lft 1");
            listed(&node, "2001:db8::5", true, SOON).await;
            // The kernel checks lifetimes about once a second.
            listed(&node, "2001:db8::5", false, Duration::from_secs(5)).await;
        });
    });
}

#[test]
fn an_address_is_not_a_source_before_it_is_known_to_be_unique() {
    in_namespace("watch::an_address_is_not_a_source_before_it_is_known_to_be_unique", || {
        run(async {
            let node = node_with_a_link().await;
            ip("addr add 192.0.2.5/24 dev v0");
            ip("addr add 2001:db8::5/64 dev v0");
            listed(&node, "192.0.2.5", true, SOON).await;
            assert!(!has(&node, "2001:db8::5"), "detection takes a second and more");
            listed(&node, "2001:db8::5", true, Duration::from_secs(5)).await;
        });
    });
}

#[test]
fn a_link_without_a_carrier_or_switched_off_loses_its_addresses() {
    let name = "watch::a_link_without_a_carrier_or_switched_off_loses_its_addresses";
    in_namespace(name, || {
        run(async {
            let node = node_with_a_link().await;
            ip("addr add 192.0.2.5/24 dev v0");
            listed(&node, "192.0.2.5", true, SOON).await;
            for link in ["v1", "v0"] {
                ip(&format!("link set {link} down"));
                listed(&node, "192.0.2.5", false, SOON).await;
                ip(&format!("link set {link} up"));
                // The kernel notifies of a carrier once a second at most (linkwatch).
                listed(&node, "192.0.2.5", true, Duration::from_secs(3)).await;
            }
            ip("link del v0");
            listed(&node, "192.0.2.5", false, SOON).await;
        });
    });
}

/// Returns how many notifications the kernel could not deliver to netlink sockets here.
fn lost_notifications() -> u64 {
    let sockets = std::fs::read_to_string("/proc/self/net/netlink").unwrap();
    let drops =
        |line: &str| line.split_whitespace().nth(8).and_then(|drops| drops.parse::<u64>().ok());
    sockets.lines().skip(1).filter_map(drops).sum::<u64>()
}

#[test]
fn lost_notifications_are_recovered_by_reading_again() {
    in_namespace("watch::lost_notifications_are_recovered_by_reading_again", || {
        run(async {
            let node = node_with_a_link().await;
            // This runtime has one thread, which waits for `ip`: nobody reads the notifications of
            // 4,000 addresses that are added and removed meanwhile, several times what the socket holds.
            let directory = tempfile::tempdir().unwrap();
            let batch = directory.path().join("batch");
            let mut lines = String::new();
            for verb in ["add", "del"] {
                for n in 0..4000 {
                    lines += &format!("addr {verb} 10.7.{}.{}/32 dev v0\n", n / 250, n % 250 + 1);
                }
            }
            lines += "addr add 192.0.2.5/24 dev v0\n";
            std::fs::write(&batch, lines).unwrap();
            ip(&format!("-batch {}", batch.display()));
            assert!(lost_notifications() > 0, "the kernel had room for all notifications");
            listed(&node, "192.0.2.5", true, SOON).await;
            assert!(!has(&node, "10.7.0.1"));
            // It is still notified.
            ip("addr del 192.0.2.5/24 dev v0");
            listed(&node, "192.0.2.5", false, SOON).await;
        });
    });
}

#[test]
fn configured_uplinks_follow_their_interface_and_their_prefix() {
    in_namespace("watch::configured_uplinks_follow_their_interface_and_their_prefix", || {
        run(async {
            ip("link add v0 type veth peer name v1");
            let by_prefix =
                UplinkConfig::new("prefix").prefixes(["2001:db8:a::/48".parse().unwrap()]);
            let by_interface = UplinkConfig::new("interface").interface("v1").metered(true);
            let node =
                Node::builder().uplink(by_prefix).uplink(by_interface).build().await.unwrap();
            let names: Vec<_> = node.status().uplinks.iter().map(|u| u.name.clone()).collect();
            assert_eq!(names, ["prefix", "interface"]);
            ip("link set v0 up");
            ip("link set v1 up");
            ip("addr add 2001:db8:a:1::5/64 dev v0 nodad");
            ip("addr add 10.0.0.5/24 dev v1");
            ip("addr add 198.51.100.5/24 dev v0");
            listed(&node, "2001:db8:a:1::5", true, SOON).await;
            listed(&node, "10.0.0.5", true, SOON).await;
            let status = node.status();
            assert_eq!(status.uplinks[0].addresses.len(), 1, "{status:?}");
            assert_eq!(status.uplinks[1].addresses.len(), 1, "{status:?}");
            assert!(!has(&node, "198.51.100.5"), "it belongs to no uplink");
        });
    });
}

#[test]
fn watching_ends_with_the_node() {
    in_namespace("watch::watching_ends_with_the_node", || {
        run(async {
            let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
            let before = tasks();
            let node = node_with_a_link().await;
            assert!(tasks() > before, "a task watches");
            node.shutdown(Duration::ZERO).await;
            drop(node);
            let since = Instant::now();
            while tasks() > before {
                assert!(since.elapsed() < Duration::from_secs(2), "{} tasks are left", tasks());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    });
}
