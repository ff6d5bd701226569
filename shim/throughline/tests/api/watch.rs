//! What is told of lanes and flows as they are.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use throughline::{
    Identity, LanePath, LaneState, LaneWatch, Mode, Node, NodeBuilder, PeerConfig, Target,
    UplinkConfig,
};

use super::pair::{accept, connect, pair, soon};

/// Waits until the lanes are as wanted.
async fn until(watch: &mut LaneWatch, is_so: impl Fn(&[LanePath]) -> bool) -> Vec<LanePath> {
    soon(async {
        loop {
            let lanes = watch.changed().await.expect("the node is there");
            if is_so(&lanes) {
                return lanes;
            }
        }
    })
    .await
}

fn uplink(name: &str, address: [u8; 4]) -> UplinkConfig {
    UplinkConfig::new(name).prefix(IpAddr::from(address))
}

#[tokio::test]
async fn a_watcher_sees_lanes_come_and_their_node_end() {
    let (left, right) = pair().await;
    let mut watch = left.watch_lanes();
    let up = |lane: &LanePath| lane.state == LaneState::Up && lane.peer.as_str() == "right";
    let lanes = until(&mut watch, |lanes| lanes.len() == 2 && lanes.iter().all(up)).await;
    let uplinks: Vec<_> = lanes.iter().filter_map(|lane| lane.uplink.as_deref()).collect();
    assert_eq!(uplinks, ["isp-a", "isp-b"]);
    assert_eq!(lanes[0].remote, right.local_addrs()[0]);
    left.shutdown(Duration::ZERO).await;
    until(&mut watch, |lanes| lanes.is_empty()).await;
    assert_eq!(soon(watch.changed()).await, None);
}

#[tokio::test]
async fn a_watcher_of_a_node_without_lanes_sees_it_shut_down_or_go() {
    for shuts_down in [true, false] {
        let node = Node::builder().build().await.unwrap();
        let (mut watch, ending) = (node.watch_lanes(), node.shutting_down());
        assert_eq!(soon(watch.changed()).await, Some(vec![]));
        let waiting = tokio::spawn(async move { (watch.changed().await, ending.await) });
        if shuts_down {
            node.shutdown(Duration::ZERO).await;
        }
        // One that is shut down ends although somebody has it still.
        let _kept = shuts_down.then_some(node);
        assert_eq!(soon(waiting).await.unwrap(), (None, ()));
    }
}

#[tokio::test]
async fn a_watcher_sees_a_lane_on_another_path_and_uplink() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let right = Node::builder().identity(b.clone()).bind(([127, 0, 0, 1], 0).into());
    let right = right.peer(PeerConfig::new(a.peer_id(), "left")).build().await.unwrap();
    let left = || -> NodeBuilder {
        let peer = PeerConfig::new(b.peer_id(), "right").locators(right.local_addrs());
        Node::builder().identity(a.clone()).peer(peer)
    };
    let here = left().uplink(uplink("isp-a", [127, 0, 36, 1])).build().await.unwrap();
    let mut watch = here.watch_lanes();
    until(&mut watch, |lanes| lanes.iter().any(|lane| lane.state == LaneState::Up)).await;

    // The same address, by another name.
    let renamed = left().uplink(uplink("isp-z", [127, 0, 36, 1]));
    here.prepare(renamed).await.unwrap().apply();
    until(&mut watch, |lanes| lanes.iter().all(|l| l.uplink.as_deref() == Some("isp-z"))).await;

    // Another address.
    here.prepare(left().uplink(uplink("isp-b", [127, 0, 36, 2]))).await.unwrap().apply();
    let is_there = |lane: &LanePath| lane.local.ip() == IpAddr::from([127, 0, 36, 2]);
    until(&mut watch, |lanes| lanes.iter().all(is_there) && !lanes.is_empty()).await;
}

#[tokio::test]
async fn a_flow_says_who_is_there_where_it_leads_and_since_when() {
    let (left, right) = pair().await;
    let mut listener = right.serve("test").unwrap();
    let before = Instant::now();
    let (near, far) =
        tokio::join!(connect(&left, &right), async { accept(&mut listener).await.accept() });
    let near = near.unwrap();
    for (flow, peer, name) in [(&near, right.id(), "right"), (&far, left.id(), "left")] {
        let info = flow.info();
        assert_eq!((info.peer, info.peer_name.as_str()), (peer, name));
        assert_eq!((&info.target, info.mode), (&Target::service("test"), Mode::Auto));
        assert!(info.opened_at >= before && info.opened_at <= Instant::now());
    }
    let datagrams = left.datagrams(right.id(), Target::datagram_service("none")).await.unwrap();
    assert_eq!(datagrams.info().target, Target::datagram_service("none"));
}
