//! Which sockets a node has when the addresses that it listens on change.

use std::net::UdpSocket;

use super::*;
use crate::engine::quic::socket::{self, SocketOptions};

/// Long enough for the tasks that wait to have run.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Returns a port that is free in both families; none where there is no IPv6.
fn free_port() -> Option<u16> {
    (0..100).find_map(|_| {
        let v4 = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = v4.local_addr().unwrap().port();
        free(([0u16; 8], port).into()).then_some(port)
    })
}

fn free(addr: SocketAddr) -> bool {
    socket::bind(addr, &SocketOptions::default()).is_ok()
}

fn listening(addrs: &[SocketAddr]) -> NodeBuilder {
    addrs.iter().fold(Node::builder(), |node, addr| node.bind(*addr))
}

fn sorted(mut addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addrs.sort_unstable();
    addrs
}

#[tokio::test]
async fn each_half_of_everything_is_kept_or_given_up_by_itself() {
    let Some(port) = free_port() else {
        eprintln!("skipped: no IPv6 here");
        return;
    };
    let v4 = SocketAddr::from(([0, 0, 0, 0], port));
    let v6 = SocketAddr::from(([0u16; 8], port));
    let port_0 = SocketAddr::from(([0u16; 8], 0));
    for (before, after, expected) in [
        (vec![v6], vec![v4], vec![v4]),
        (vec![v6], vec![v6, v4], vec![v4, v6]),
        (vec![v4, v6], vec![v6], vec![v4, v6]),
        (vec![v6, v4], vec![v4], vec![v4]),
        (vec![v4], vec![v6], vec![v4, v6]),
        (vec![v6], vec![v6], vec![v4, v6]),
        (vec![v6], vec![], vec![]),
    ] {
        let node = listening(&before).build().await.unwrap();
        let change = node.prepare(listening(&after)).await;
        change.unwrap_or_else(|e| panic!("{before:?} -> {after:?}: {e}")).apply();
        assert_eq!(sorted(node.local_addrs()), expected, "{before:?} -> {after:?}");
        // What was given up is closed once its last lane has ended.
        tokio::time::sleep(A_MOMENT).await;
        for addr in [v4, v6] {
            assert_eq!(free(addr), !expected.contains(&addr), "{before:?} -> {after:?}: {addr}");
        }
        node.shutdown(Duration::ZERO).await;
        drop(node);
        until("both are free", || free(v4) && free(v6)).await;
    }
    let node = listening(&[port_0]).build().await.unwrap();
    let chosen = sorted(node.local_addrs());
    assert_eq!(chosen.len(), 2);
    node.prepare(listening(&[port_0])).await.unwrap().apply();
    assert_eq!(sorted(node.local_addrs()), chosen);
    node.prepare(listening(&chosen)).await.unwrap().apply();
    assert_eq!(sorted(node.local_addrs()), chosen);
}

/// A node that has given up an address, whose socket is not closed yet, and a configuration with it again.
async fn given_up_and_wanted_again() -> (Node, Reconfiguration, SocketAddr) {
    let node = listening(&[([127, 0, 0, 1], 0).into()]).build().await.unwrap();
    let addr = node.local_addrs()[0];
    node.prepare(listening(&[])).await.unwrap().apply();
    // Nothing else has run meanwhile: the test has one thread, and waited for nothing.
    let again = node.prepare(listening(&[addr])).await.unwrap();
    (node, again, addr)
}

#[tokio::test]
async fn an_address_that_drains_and_is_prepared_again_is_not_closed_in_between() {
    let (node, again, addr) = given_up_and_wanted_again().await;
    tokio::time::sleep(A_MOMENT).await;
    again.apply();
    assert_eq!(node.local_addrs(), [addr]);
    assert!(!free(addr));
}

#[tokio::test]
async fn an_address_that_drains_is_closed_when_a_configuration_with_it_is_dropped() {
    let (node, again, addr) = given_up_and_wanted_again().await;
    tokio::time::sleep(A_MOMENT).await;
    assert!(!free(addr), "it may be applied yet");
    drop(again);
    until("the address is free", || free(addr)).await;
    assert!(node.local_addrs().is_empty());
}

#[tokio::test]
async fn a_node_that_has_been_shut_down_listens_on_nothing_more() {
    let node = listening(&[]).build().await.unwrap();
    let change = node.prepare(listening(&[([127, 0, 0, 1], 0).into()])).await.unwrap();
    node.shutdown(Duration::ZERO).await;
    change.apply();
    assert!(node.listeners().endpoints().is_empty());
}

#[tokio::test]
async fn an_address_that_is_given_up_is_free_although_an_earlier_process_had_lanes_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lanes");
    let unanswering = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = Identity::generate().peer_id();
    let line = format!("{peer} {addr} {}\n", unanswering.local_addr().unwrap());
    std::fs::write(&file, line).unwrap();
    let node = listening(&[addr]).lane_file(&file).build().await.unwrap();
    // The first notice has been sent, and the next waits.
    tokio::time::sleep(A_MOMENT).await;
    node.prepare(listening(&[])).await.unwrap().apply();
    tokio::time::sleep(A_MOMENT).await;
    assert!(free(addr), "the notices' handle to the socket is still there");
}

#[tokio::test]
async fn a_change_right_after_a_take_over_leaves_the_former_process_its_socket() {
    let [a, b] = [(); 2].map(|()| Identity::generate());
    let former = UdpSocket::bind("127.0.0.1:0").unwrap();
    former.set_read_timeout(Some(SOON)).unwrap();
    let addr = former.local_addr().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let right = |addrs: &[SocketAddr]| {
        listening(addrs).identity(b.clone()).peer(peer(&a, "left", Vec::new()))
    };
    let inherited = vec![(addr, former.try_clone().unwrap())];
    let prepared = right(&[addr]).take_over(inherited).prepare().await.unwrap();
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let (node, _flows) = prepared.start_after(async move { drop(left.await) });
    let new = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    node.prepare(right(&[addr, new])).await.unwrap().apply();
    // What is the new process's alone is read at once.
    let left = Node::builder().identity(a.clone()).peer(peer(&b, "right", vec![new]));
    let left = left.build().await.unwrap();
    until("the new address answers", || left.reached_peers() == (1, 1)).await;
    sender.send_to(b"for the former process", addr).unwrap();
    tokio::time::sleep(A_MOMENT).await;
    assert_eq!(former.recv(&mut [0; 64]).unwrap(), 22, "the new process has read it");
    // It has left.
    leave.send(()).unwrap();
    sender.send_to(b"for the new process", addr).unwrap();
    former.set_nonblocking(true).unwrap();
    until("the new process reads it", || former.peek(&mut [0; 64]).is_err()).await;
}
