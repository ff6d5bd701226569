//! The acceptor of a session dials where only it can.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use throughline::{Identity, LaneStatus, Node, PeerConfig, UplinkConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pair::{open, soon};
use super::relay::Relay;

fn uplink(address: &str) -> UplinkConfig {
    UplinkConfig::new("isp").prefix(address.parse::<IpAddr>().unwrap())
}

fn lanes(node: &Node) -> Vec<LaneStatus> {
    let status = node.status();
    status.peers[0].sessions.iter().flat_map(|session| session.lanes.clone()).collect()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not within the patience of the test");
}

#[tokio::test]
async fn a_session_whose_initiator_has_no_way_in_goes_on_over_a_lane_that_the_acceptor_dials() {
    let (a, b) = (Identity::generate(), Identity::generate());
    // Each has to know the other's address before it begins.
    let free = |address: &str| UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap();
    let (here, there) = (free("127.0.14.1"), free("127.0.14.2"));
    // Only the left one's dials get through at first, so that it initiates.
    let (relay, back) = (Relay::to(there), Relay::to(here));
    back.set_open(false);
    let right = Node::builder()
        .identity(b.clone())
        .bind(there)
        .uplink(uplink("127.0.14.2"))
        .peer(PeerConfig::new(a.peer_id(), "left").locator(back.at))
        .build();
    let left = Node::builder()
        .identity(a.clone())
        .bind(here)
        .uplink(uplink("127.0.14.1"))
        .peer(PeerConfig::new(b.peer_id(), "right").locator(relay.at));
    let left = left.build().await.unwrap();
    let right = right.await.unwrap();
    until("a lane", || lanes(&left).len() == 1 && lanes(&right).len() == 1).await;
    let (mut near, mut far) = open(&left, &right).await;
    assert_eq!(lanes(&left)[0].remote, relay.at);

    back.set_open(true);
    relay.set_open(false);
    near.write_all(b"up").await.unwrap();
    far.write_all(b"down").await.unwrap();
    let mut bytes = [0; 4];
    soon(near.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"down");
    soon(far.read_exact(&mut bytes[..2])).await.unwrap();
    assert_eq!(&bytes[..2], b"up");
    assert!(lanes(&right).iter().any(|lane| lane.remote == back.at), "{:?}", lanes(&right));

    relay.set_open(true);
    until("the initiator's lane alone", || {
        let lanes = lanes(&left);
        lanes.len() == 1 && lanes[0].remote == relay.at
    })
    .await;
    near.write_all(b"more").await.unwrap();
    soon(far.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"more");
}
