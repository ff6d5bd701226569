//! A flow that waits for its answer in a session that falls silent, or ends.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use throughline::{Identity, Node, PeerConfig, Target, UplinkConfig};
use tokio::time::sleep;

use super::pair::soon;
use super::relay::Relay;

/// Long enough for an open to be on its way, and too short for a lane to be given up.
const A_MOMENT: Duration = Duration::from_millis(200);

fn free(address: &str) -> SocketAddr {
    UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// A node at `at` with one peer, which it dials at `locator`, if there is one.
async fn node(us: &Identity, at: SocketAddr, peer: &Identity, locator: Option<SocketAddr>) -> Node {
    let uplink = UplinkConfig::new("isp").prefix(at.ip());
    let mut peer = PeerConfig::new(peer.peer_id(), "peer");
    if let Some(locator) = locator {
        peer = peer.locator(locator);
    }
    Node::builder().identity(us.clone()).bind(at).uplink(uplink).peer(peer).build().await.unwrap()
}

/// Asks for a service that nobody offers; returns the answer.
fn ask(node: &Node, peer: &Identity) -> tokio::task::JoinHandle<String> {
    let (node, peer) = (node.clone(), peer.peer_id());
    tokio::spawn(async move {
        node.connect(peer, Target::service("none")).await.unwrap_err().to_string()
    })
}

async fn reached(node: &Node, peer: &Identity) {
    assert!(node.wait_until_reachable(peer.peer_id(), Duration::from_secs(10)).await);
}

#[tokio::test]
async fn it_is_opened_anew_where_the_peer_was_started_anew() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let there = free("127.0.15.2");
    let relay = Relay::to(there);
    let right = node(&b, there, &a, None).await;
    let left = node(&a, free("127.0.15.1"), &b, Some(relay.at)).await;
    reached(&left, &b).await;
    relay.set_open(false);
    let answer = ask(&left, &b);
    sleep(A_MOMENT).await;
    right.shutdown(Duration::ZERO).await;
    drop(right);
    let _right = node(&b, there, &a, None).await;
    relay.set_open(true);
    let answer = soon(answer).await.unwrap();
    assert!(answer.contains("nobody serves none"), "{answer}");
}

#[tokio::test]
async fn it_is_opened_in_another_session_that_answers() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let (here, there) = (free("127.0.15.3"), free("127.0.15.4"));
    // The session is the right one's, over a way in to the left that then fails for good.
    let relay = Relay::to(here);
    let left = node(&a, here, &b, None).await;
    let right = node(&b, there, &a, Some(relay.at)).await;
    reached(&right, &a).await;
    relay.set_open(false);
    let answer = ask(&right, &a);
    sleep(A_MOMENT).await;
    left.shutdown(Duration::ZERO).await;
    drop(left);
    // The left one comes back, and only it can dial.
    let left = node(&a, here, &b, Some(there)).await;
    reached(&left, &b).await;
    let answer = soon(answer).await.unwrap();
    assert!(answer.contains("nobody serves none"), "{answer}");
}
