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

#[test]
fn an_acceptor_that_dials_after_its_restart_ends_the_idle_flows_of_the_session_that_it_forgot() {
    log::capture();
    let (near, far) = (Identity::generate(), Identity::generate());
    // Both ends know where the other one is.
    let near_at = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let start = |listen: SocketAddr| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let builder = Node::builder().identity(far.clone()).bind(listen);
        let builder = builder.peer(peer(near.peer_id(), "near", &[near_at]));
        let node = runtime.block_on(async {
            let node = builder.build().await.unwrap();
            serve_echo(&node);
            node
        });
        (runtime, node)
    };
    let (runtime, node) = start("127.0.0.1:0".parse().unwrap());
    let addr = node.local_addrs()[0];
    let here = Runtime::new().unwrap();
    let (_dialer, mut flow) = here.block_on(async {
        let there = peer(far.peer_id(), "far", &[addr]);
        let dialer = Node::builder().identity(near.clone()).bind(near_at).peer(there);
        let dialer = dialer.build().await.unwrap();
        let mut flow = dialer.connect(far.peer_id(), Target::service("echo")).await.unwrap();
        flow.write_all(b"hello").await.unwrap();
        flow.read_exact(&mut [0; 5]).await.unwrap();
        // Nothing is under way any more.
        tokio::time::sleep(Duration::from_secs(2)).await;
        (dialer, flow)
    });
    drop(node);
    runtime.shutdown_timeout(Duration::from_secs(2));
    let (_runtime, _node) = start(addr);
    let restarted = Instant::now();
    here.block_on(async {
        let error = timeout(TEST_TIMEOUT, flow.read(&mut [0; 1])).await.expect("the flow hangs");
        let error = error.expect_err("the flow does not end").to_string();
        assert!(error.contains("the peer's process ended"), "{error}");
        assert!(restarted.elapsed() < Duration::from_secs(2), "{:?}", restarted.elapsed());
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

/// A node that dials, in a runtime of its own.
fn initiator(identity: &Identity, far: PeerId, addr: SocketAddr) -> (Runtime, Node) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let there = peer(far, "far", &[addr]);
    let builder = Node::builder().identity(identity.clone()).peer(there);
    let node = runtime.block_on(builder.build()).unwrap();
    (runtime, node)
}

#[test]
fn an_initiator_that_is_killed_and_started_anew_ends_what_it_left_and_is_never_locked_out() {
    log::capture();
    let (near, far) = (Identity::generate(), Identity::generate());
    let (runtime, node) = acceptor(&far, near.peer_id(), "127.0.0.1:0".parse().unwrap());
    let addr = node.local_addrs()[0];
    let mut held = runtime.block_on(async { node.serve("held").unwrap() });
    let (accepted, mut flows) = tokio::sync::mpsc::channel(16);
    runtime.spawn(async move {
        while let Ok(flow) = held.accept().await {
            let _ = accepted.send(flow.accept()).await;
        }
    });
    // More often than a peer may have sessions.
    let mut before: Option<throughline::FlowStream> = None;
    for life in 0..7 {
        let (process, dialer) = initiator(&near, far.peer_id(), addr);
        let began = Instant::now();
        let flow = process.block_on(dialer.connect(far.peer_id(), Target::service("held")));
        assert!(began.elapsed() < Duration::from_secs(3), "life {life}: {:?}", began.elapsed());
        let here = runtime.block_on(flows.recv()).unwrap();
        let there = flow.unwrap();
        if let Some(mut left) = before.replace(here) {
            let ended = runtime
                .block_on(async { timeout(Duration::from_secs(2), left.read(&mut [0])).await });
            let error = ended.expect("its former self's flow hangs").expect_err("it goes on");
            assert!(error.to_string().contains("started anew"), "{error}");
        }
        // It dies silently, as after SIGKILL.
        std::mem::forget(there);
        drop(dialer);
        process.shutdown_timeout(Duration::from_secs(2));
    }
    let sessions = node.status().peers[0].sessions.len();
    assert!(sessions <= 2, "{sessions} sessions");
}
