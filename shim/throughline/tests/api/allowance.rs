//! How much of an uplink may be used: nothing means nothing, also where there is no other, and from either end.

use std::net::IpAddr;
use std::time::Duration;

use throughline::{Allowance, Identity, LaneStatus, Node, PeerConfig, UplinkConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pair::{open, soon};

fn uplink(name: &str, address: &str) -> UplinkConfig {
    UplinkConfig::new(name).prefix(address.parse::<IpAddr>().unwrap())
}

fn lanes(node: &Node) -> Vec<LaneStatus> {
    let status = node.status();
    status.peers[0].sessions.iter().flat_map(|session| session.lanes.clone()).collect()
}

/// Returns the uplinks that have a lane, in order.
fn uplinks(node: &Node) -> Vec<String> {
    let mut uplinks: Vec<_> = lanes(node).into_iter().filter_map(|lane| lane.uplink).collect();
    uplinks.sort_unstable();
    uplinks.dedup();
    uplinks
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not within the patience of the test");
}

#[tokio::test]
async fn an_uplink_of_which_nothing_may_be_used_has_no_lane_and_flows_go_on_once_it_is_allowed_again()
 {
    let (a, b) = (Identity::generate(), Identity::generate());
    let right = Node::builder()
        .identity(b.clone())
        .bind("127.0.15.9:0".parse().unwrap())
        .uplink(uplink("wan", "127.0.15.9"))
        .peer(PeerConfig::new(a.peer_id(), "left"));
    let right = right.build().await.unwrap();
    let left = Node::builder()
        .identity(a)
        .uplink(uplink("isp-a", "127.0.15.1"))
        .uplink(uplink("isp-b", "127.0.15.2"))
        .peer(PeerConfig::new(b.peer_id(), "right").locator(right.local_addrs()[0]));
    let left = left.build().await.unwrap();
    left.take_uplink_bytes();
    until("two lanes", || uplinks(&left) == ["isp-a", "isp-b"]).await;
    let (mut near, mut far) = open(&left, &right).await;
    let carried = left.take_uplink_bytes();
    assert!(carried["isp-a"] > 2000 && carried["isp-b"] > 2000, "set-up counts: {carried:?}");

    assert!(left.allow_uplink("isp-a", Allowance::Nothing).unwrap());
    assert!(!left.allow_uplink("isp-a", Allowance::Nothing).unwrap(), "it is no change");
    until("one lane", || uplinks(&left) == ["isp-b"]).await;
    left.take_uplink_bytes();
    near.write_all(&[7; 100_000]).await.unwrap();
    let mut bytes = vec![0; 100_000];
    soon(far.read_exact(&mut bytes)).await.unwrap();
    let carried = left.take_uplink_bytes();
    assert!(carried["isp-b"] > 100_000 && !carried.contains_key("isp-a"), "{carried:?}");

    // The last one: what is written waits.
    left.allow_uplink("isp-b", Allowance::Nothing).unwrap();
    until("no lane", || lanes(&left).is_empty() && lanes(&right).is_empty()).await;
    near.write_all(b"later").await.unwrap();
    left.take_uplink_bytes();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(left.take_uplink_bytes().is_empty(), "it dials or probes");
    until("it is said why", || {
        left.status().peers[0].failing.as_ref().is_some_and(|f| f.error.contains("budget"))
    })
    .await;
    left.allow_uplink("isp-b", Allowance::Everything).unwrap();
    soon(far.read_exact(&mut bytes[..5])).await.unwrap();
    assert_eq!(&bytes[..5], b"later");

    // The end that is dialed forbids its own: nobody is answered there.
    right.allow_uplink("wan", Allowance::Nothing).unwrap();
    until("no lane", || lanes(&right).is_empty()).await;
    near.write_all(b"at last").await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), far.read(&mut bytes))
        .await
        .expect_err("a lane was set up");
    assert!(lanes(&right).is_empty());
    right.allow_uplink("wan", Allowance::Everything).unwrap();
    soon(far.read_exact(&mut bytes[..7])).await.unwrap();
    assert_eq!(&bytes[..7], b"at last");
    left.allow_uplink("isp-a", Allowance::Everything).unwrap();
    until("two lanes", || uplinks(&left) == ["isp-a", "isp-b"]).await;
    left.shutdown(Duration::ZERO).await;
    right.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_uplink_that_is_forbidden_from_the_start_or_comes_so_with_a_change_is_never_used() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let right = Node::builder()
        .identity(b.clone())
        .bind("127.0.16.9:0".parse().unwrap())
        .peer(PeerConfig::new(a.peer_id(), "left"));
    let right = right.build().await.unwrap();
    let with = |names: &[&str]| {
        let all = ["127.0.16.1", "127.0.16.2", "127.0.16.3"];
        let peer = PeerConfig::new(b.peer_id(), "right").locator(right.local_addrs()[0]);
        let builder = Node::builder().identity(a.clone()).peer(peer);
        let named = names.iter().zip(all);
        named.fold(builder, |builder, (name, address)| builder.uplink(uplink(name, address)))
    };
    let left = with(&["isp-a", "isp-b"]).allow_uplink("isp-a", Allowance::Nothing);
    let left = left.count_uplink_bytes().build().await.unwrap();
    until("a lane", || uplinks(&left) == ["isp-b"]).await;
    let more = with(&["isp-a", "isp-b", "isp-c"]).allow_uplink("isp-c", Allowance::Nothing);
    left.prepare(more).await.unwrap().apply();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let carried = left.take_uplink_bytes();
    assert_eq!(carried.keys().collect::<Vec<_>>(), ["isp-b"], "{carried:?}");
    assert!(carried["isp-b"] > 2000, "the set-up of the first lane counts: {carried:?}");
    let allowed = with(&["isp-a", "isp-b", "isp-c"]).allow_uplink("isp-a", Allowance::Everything);
    left.prepare(allowed).await.unwrap().apply();
    until("the one that was allowed", || uplinks(&left) == ["isp-a", "isp-b"]).await;
    left.shutdown(Duration::ZERO).await;
    right.shutdown(Duration::ZERO).await;
}
