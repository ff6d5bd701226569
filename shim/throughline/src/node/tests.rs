//! What can be seen only from inside: a sleep is played by saying that there was one.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::clock::BootTime;
use crate::config::{Limits, PeerConfig};
use crate::engine::session::SessionHandle;
use crate::events::EventKind;
use crate::identity::Identity;
use throughline_proto::types::{Locator, PeerId};
use throughline_uplinks::UplinkConfig;

const SOON: Duration = Duration::from_secs(10);

fn peer(id: &Identity, name: &str, locators: Vec<SocketAddr>) -> PeerConfig {
    PeerConfig::new(id.peer_id(), name).locators(locators)
}

fn uplink(name: &str, address: [u8; 4]) -> UplinkConfig {
    UplinkConfig::new(name).prefix(std::net::IpAddr::from(address))
}

/// A node with two uplinks that dials, and one that is dialed.
async fn pair() -> (Node, Node) {
    let (a, b) = (Identity::generate(), Identity::generate());
    let right = Node::builder().identity(b.clone()).peer(peer(&a, "left", vec![]));
    let right = right.bind(([127, 0, 0, 1], 0).into()).build().await.unwrap();
    let left = Node::builder()
        .identity(a)
        .uplink(uplink("isp-a", [127, 0, 11, 1]))
        .uplink(uplink("isp-b", [127, 0, 12, 1]))
        .peer(peer(&b, "right", right.local_addrs()))
        .build()
        .await
        .unwrap();
    (left, right)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The datagrams sent on each lane: pings, and nothing else while no bulk flows.
fn pings(node: &Node, peer: PeerId) -> Vec<u64> {
    let count = |s: &SessionHandle| {
        s.with(|core, _| {
            let mut ids: Vec<_> = core.lanes.keys().copied().collect();
            ids.sort_unstable();
            ids.iter().map(|id| core.lanes[id].connection.stats().frame_tx.datagram).collect()
        })
    };
    node.sessions().with_peer(peer).iter().flat_map(|s| -> Vec<u64> { count(s) }).collect()
}

#[tokio::test]
async fn after_a_sleep_every_lane_is_probed_at_once() {
    let (left, right) = pair().await;
    until("two lanes", || pings(&left, right.id()).len() == 2).await;
    let before = pings(&left, right.id());
    left.sessions().resumed_after(Duration::from_secs(3600));
    until("a ping on every lane", || {
        let now = pings(&left, right.id());
        now.len() == before.len() && now.iter().zip(&before).all(|(now, then)| now > then)
    })
    .await;
    let emitted = left.events().recent;
    let resumed = EventKind::SystemResumed { duration: Duration::from_secs(3600) };
    assert!(emitted.iter().any(|event| event.kind == resumed), "{emitted:#?}");
}

#[tokio::test]
async fn a_linger_runs_out_while_the_machine_sleeps() {
    let unanswering = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nobody = Identity::generate();
    let limits = Limits::default().linger(Duration::from_secs(60));
    let locator = unanswering.local_addr().unwrap();
    let node = Node::builder().peer(peer(&nobody, "gone", vec![locator])).limits(limits);
    let node = node.build().await.unwrap();
    until("a session", || !node.sessions().with_peer(nobody.peer_id()).is_empty()).await;
    let session = node.sessions().with_peer(nobody.peer_id()).remove(0);
    assert!(!session.is_over());
    session.with(|core, _| {
        core.detached_since = Some(BootTime::ago(Duration::from_secs(61)));
    });
    node.sessions().resumed_after(Duration::from_secs(61));
    until("the end of the session", || session.is_over()).await;
    let reason = session.end_reason().unwrap();
    assert_eq!(reason, "no lane came back within the linger time");
}

#[tokio::test]
async fn a_linger_of_nothing_makes_no_storm_of_sessions() {
    let unanswering = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nobody = Identity::generate();
    let locator = unanswering.local_addr().unwrap();
    let node = Node::builder()
        .peer(peer(&nobody, "gone", vec![locator]))
        .limits(Limits::default().linger(Duration::ZERO));
    let node = node.build().await.unwrap();
    let mut seen = std::collections::HashSet::new();
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        seen.extend(node.sessions().with_peer(nobody.peer_id()).iter().map(SessionHandle::id));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(seen.len(), 1, "a session that no lane has attached to yet is kept");
    let over =
        |event: &std::sync::Arc<crate::Event>| matches!(event.kind, EventKind::SessionOver { .. });
    assert!(!node.events().recent.iter().any(over));
}

#[tokio::test]
async fn an_accepted_lane_knows_its_address_and_uplink() {
    let (left, right) = pair().await;
    until("two lanes at the far end", || pings(&right, left.id()).len() == 2).await;
    let status = right.status();
    for lane in &status.peers[0].sessions[0].lanes {
        assert_eq!(lane.local, right.local_addrs()[0]);
        let uplink = lane.uplink.as_ref().expect("the uplink of our own address");
        let of = status.uplinks.iter().find(|u| u.name == *uplink).unwrap();
        assert!(of.addresses.contains(&lane.local.ip()));
    }
}

#[tokio::test]
async fn a_peer_that_no_dial_can_be_tried_to_is_reported_with_the_reason() {
    let there = Identity::generate();
    let locator =
        Locator { host: throughline_proto::types::Host::Name("no.invalid".into()), port: 1 };
    for (uplinks, locators, expected) in [
        (
            uplink("isp-a", [203, 0, 113, 250]),
            vec![SocketAddr::from(([127, 0, 0, 1], 1)).into()],
            "no uplink has an",
        ),
        (uplink("isp-a", [127, 0, 11, 1]), vec![locator], "none of its locators has an address"),
    ] {
        let config = PeerConfig::new(there.peer_id(), "there").locators(locators);
        let node = Node::builder().uplink(uplinks).peer(config).build().await.unwrap();
        let reported = || {
            node.events().recent.iter().any(|event| match &event.kind {
                EventKind::PeerUnreachable { dial: None, reason, .. } => reason.contains(expected),
                _ => false,
            })
        };
        until(expected, reported).await;
        let failing = node.status().peers[0].failing.clone().expect("why there is no lane");
        assert!(failing.error.contains(expected), "{failing:?}");
        assert!(node.status().peers[0].sessions.is_empty(), "the peer knows of none");
        node.shutdown(Duration::ZERO).await;
    }
}

mod changes;
mod listening;
mod panics;
