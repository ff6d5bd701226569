//! A node is handed over to another one while a session is being set up.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use throughline::{Identity, Node, NodeBuilder, PeerConfig, UplinkConfig};

use super::pair::STEP_TIMEOUT;
use super::relay::Relay;

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + STEP_TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {STEP_TIMEOUT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_being_set_up_is_the_successors_and_leaves_none_behind_at_the_peer() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let right = Node::builder()
        .identity(b.clone())
        .bind(([127, 0, 0, 1], 0).into())
        .peer(PeerConfig::new(a.peer_id(), "left"))
        .build()
        .await
        .unwrap();
    // Slow enough to hand over between what the peer hears and what it answers.
    let relay = Relay::slow(right.local_addrs()[0], Duration::from_millis(200));
    let uplink = UplinkConfig::new("isp").prefix(IpAddr::from([127, 0, 14, 1]));
    let left = || -> NodeBuilder {
        let peer = PeerConfig::new(b.peer_id(), "right").locator(relay.at);
        Node::builder().identity(a.clone()).uplink(uplink.clone()).peer(peer)
    };
    let mut successor = left().take_over(Vec::new()).prepare().await.unwrap();
    let former = left().build().await.unwrap();
    let sessions = || {
        let status = right.status();
        status.peers[0].sessions.iter().map(|session| session.id).collect::<Vec<_>>()
    };
    until("the peer has the session", || !sessions().is_empty()).await;
    assert!(former.status().peers[0].sessions.iter().all(|session| session.lanes.is_empty()));
    let frozen = former.freeze();
    let restore = |record: &[u8]| successor.restore(record).map_err(io::Error::other);
    frozen.write_records(restore).unwrap();
    let (successor, _flows) = successor.start();
    frozen.leave().await;
    let reached = || successor.reached_peers() == (1, 1) && right.reached_peers() == (1, 1);
    until("the successor reaches the peer", reached).await;
    let ours = successor.status().peers[0].sessions[0].id;
    assert_eq!(sessions(), [ours], "the peer has another session, to which nobody comes back");
    // What was under way in the former process is no lane of either's any more.
    until("one lane at either end", || {
        let lanes = |node: &Node| node.status().peers[0].sessions[0].lanes.len();
        (lanes(&successor), lanes(&right)) == (1, 1)
    })
    .await;
    assert!(former.status().peers[0].sessions.iter().all(|session| session.lanes.is_empty()));
}
