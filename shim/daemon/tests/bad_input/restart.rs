//! The other end of a running flow restarts or shuts down.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use throughline::{Identity, Node, PeerId, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::bystander::{peer, serve_echo};
use crate::hostile::TEST_TIMEOUT;
use crate::log;

/// A node in a runtime of its own, so that it can die as a process dies.
fn acceptor(identity: &Identity, guest: PeerId, listen: SocketAddr) -> (Runtime, Node) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let identity = identity.clone();
    let node = runtime.block_on(async move {
        let builder = Node::builder().identity(identity).bind(listen);
        // The port of the one that died is free once its last task is gone.
        let node = builder.peer(peer(guest, "guest", &[])).build().await.unwrap();
        serve_echo(&node);
        node
    });
    (runtime, node)
}

#[test]
fn a_flow_ends_with_a_clear_error_when_the_acceptor_restarts_and_a_new_one_opens() {
    log::capture();
    let (near, far) = (Identity::generate(), Identity::generate());
    let (runtime, node) = acceptor(&far, near.peer_id(), "127.0.0.1:0".parse().unwrap());
    let addr = node.local_addrs()[0];
    let here = Runtime::new().unwrap();
    let (dialer, mut flow) = here.block_on(async {
        let there = peer(far.peer_id(), "far", &[addr]);
        let dialer = Node::builder().identity(near.clone()).peer(there).build().await.unwrap();
        let mut flow = dialer.connect(far.peer_id(), Target::service("echo")).await.unwrap();
        flow.write_all(b"hello").await.unwrap();
        flow.read_exact(&mut [0; 5]).await.unwrap();
        (dialer, flow)
    });

    // It dies silently: its tasks and sockets are gone, as after SIGKILL.
    drop(node);
    runtime.shutdown_timeout(Duration::from_secs(2));
    let (_runtime, _node) = acceptor(&far, near.peer_id(), addr);
    let restarted = Instant::now();
    here.block_on(async {
        let error = timeout(TEST_TIMEOUT, flow.read(&mut [0; 1])).await.expect("the flow hangs");
        let error = error.expect_err("the flow does not end");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{error}");
        assert!(error.to_string().contains("peer restarted"), "{error}");
        assert!(restarted.elapsed() < Duration::from_secs(2), "{:?}", restarted.elapsed());
        let fresh = dialer.connect(far.peer_id(), Target::service("echo"));
        let mut fresh = timeout(TEST_TIMEOUT, fresh).await.expect("no new flow").unwrap();
        fresh.write_all(b"again").await.unwrap();
        fresh.read_exact(&mut [0; 5]).await.unwrap();
        log::expect_line(&["WARN", "peer=far", "peer restarted; flows end"]).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_ends_at_once_with_the_reason_when_the_acceptor_shuts_down() {
    log::capture();
    let (near, far) = (Identity::generate(), Identity::generate());
    let builder = Node::builder().identity(far).bind("127.0.0.1:0".parse().unwrap());
    let node = builder.peer(peer(near.peer_id(), "near", &[])).build().await.unwrap();
    serve_echo(&node);
    let there = peer(node.id(), "far", &node.local_addrs());
    let dialer = Node::builder().identity(near).peer(there).build().await.unwrap();
    let mut flow = dialer.connect(node.id(), Target::service("echo")).await.unwrap();
    let ends = Instant::now();
    let ending = tokio::spawn(async move { node.shutdown(Duration::ZERO).await });
    let error = timeout(TEST_TIMEOUT, flow.read(&mut [0; 1])).await.expect("the flow hangs");
    let error = error.expect_err("the flow does not end").to_string();
    assert!(error.contains("closed by the peer: shutting down"), "{error}");
    assert!(ends.elapsed() < Duration::from_secs(1), "{:?}", ends.elapsed());
    ending.await.unwrap();
}
