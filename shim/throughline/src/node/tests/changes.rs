//! What follows when a running node is configured anew, and when its lanes change.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use super::*;
use crate::engine::session::LaneKeys;
use throughline_proto::types::Target;

/// The keys that were shown on each lane to the peer.
fn keys(node: &Node, peer: PeerId) -> Vec<LaneKeys> {
    let keys = |s: &SessionHandle| {
        s.with(|core, _| core.lanes.values().map(|lane| lane.keys).collect::<Vec<_>>())
    };
    let peer = node.context().peers.resolve(peer);
    node.sessions().with_peer(peer).iter().flat_map(keys).collect()
}

#[tokio::test]
async fn lanes_with_a_former_key_retire_also_where_an_uplink_went_with_the_key() {
    let [a, next, b] = [(); 3].map(|()| Identity::generate());
    let accepted = peer(&a, "left", vec![]).other_key(next.peer_id());
    let right = Node::builder().identity(b.clone()).peer(accepted);
    let right = right.bind(([127, 0, 0, 1], 0).into()).build().await.unwrap();
    let to_right = peer(&b, "right", right.local_addrs());
    let left =
        |identity: &Identity| Node::builder().identity(identity.clone()).peer(to_right.clone());
    let (isp_a, isp_b) = (uplink("isp-a", [127, 0, 23, 1]), uplink("isp-b", [127, 0, 24, 1]));
    let node = left(&a).uplink(isp_a.clone()).uplink(isp_b).build().await.unwrap();
    until("two lanes", || pings(&node, b.peer_id()).len() == 2).await;
    node.prepare(left(&next).uplink(isp_a)).await.unwrap().apply();
    until("one lane, with the new key", || {
        let keys = keys(&node, b.peer_id());
        keys.len() == 1 && keys[0].ours == next.peer_id()
    })
    .await;
}

/// Returns an address of this host that others could dial.
fn host_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback()).then_some(ip)
}

#[tokio::test]
async fn a_peer_learns_the_addresses_of_uplinks_that_are_configured_anew() {
    let Some(ip) = host_address() else {
        eprintln!("skipped: this host has a loopback address only");
        return;
    };
    let (a, b) = (Identity::generate(), Identity::generate());
    let right = |name: &UplinkConfig| {
        let node = Node::builder().identity(b.clone()).peer(peer(&a, "left", vec![]));
        node.bind(([0, 0, 0, 0], 0).into()).uplink(name.clone())
    };
    let loopback = uplink("isp", [127, 0, 0, 1]);
    let there = right(&loopback).build().await.unwrap();
    let port = there.local_addrs()[0].port();
    let locator = SocketAddr::from(([127, 0, 0, 1], port));
    let left = Node::builder().identity(a.clone()).peer(peer(&b, "right", vec![locator]));
    let left = left.uplink(uplink("isp", [127, 0, 23, 2])).build().await.unwrap();
    until("a lane", || !pings(&left, b.peer_id()).is_empty()).await;
    there.prepare(right(&loopback.prefix(ip))).await.unwrap().apply();
    let advertised = Locator::from(SocketAddr::new(ip, port));
    until("the new address is advertised", || {
        let sessions = left.sessions().with_peer(b.peer_id());
        sessions.iter().any(|s| s.with(|c, _| c.session.peer_locators() == [advertised.clone()]))
    })
    .await;
}

#[tokio::test]
async fn the_lane_file_follows_the_lanes_and_names_the_peer_by_its_present_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lanes");
    let [a, next, b] = [(); 3].map(|()| Identity::generate());
    let right = || Node::builder().identity(b.clone()).bind(([127, 0, 0, 1], 0).into());
    let there = right().lane_file(&file).peer(peer(&a, "left", vec![])).build().await.unwrap();
    let left = || {
        let node = Node::builder().identity(a.clone()).peer(peer(&b, "right", there.local_addrs()));
        node.uplink(uplink("isp-a", [127, 0, 23, 3]))
    };
    let here = left().uplink(uplink("isp-b", [127, 0, 23, 4])).build().await.unwrap();
    let both = || (lines_of(&file, a.peer_id()), lines_of(&file, next.peer_id()));
    until("a line for each lane", || both() == (2, 0)).await;
    here.prepare(left()).await.unwrap().apply();
    until("a line for the lane that is left", || both() == (1, 0)).await;
    let renamed = peer(&next, "left", vec![]).other_key(a.peer_id());
    there.prepare(right().peer(renamed)).await.unwrap().apply();
    until("the key that it is known by now", || both() == (0, 1)).await;
    here.shutdown(Duration::ZERO).await;
    until("no lane", || both() == (0, 0)).await;
}

/// Returns how many lines of a lane file are of the peer with this key.
fn lines_of(file: &Path, key: PeerId) -> usize {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter(|line| line.starts_with(&key.to_string())).count()
}

#[tokio::test]
async fn who_waits_for_a_peer_learns_at_once_that_it_was_removed() {
    let unanswering = UdpSocket::bind("127.0.0.1:0").unwrap();
    let gone = Identity::generate();
    let config = peer(&gone, "gone", vec![unanswering.local_addr().unwrap()]);
    let node = Node::builder().peer(config).build().await.unwrap();
    let (waiting, id) = (node.clone(), gone.peer_id());
    let connect =
        tokio::spawn(async move { waiting.connect(id, Target::service("none")).await.map(drop) });
    until("somebody waits", || node.context().peers.has_demand(id)).await;
    node.prepare(Node::builder()).await.unwrap().apply();
    let error = tokio::time::timeout(Duration::from_secs(2), connect).await.unwrap().unwrap();
    assert!(matches!(error, Err(ConnectError::UnknownPeer(_))), "{error:?}");
}
