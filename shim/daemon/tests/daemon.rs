//! Two daemons in this process, real sockets on loopback, and clients as real applications are.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use throughline::Identity;
use throughline_fixture::{DEADLINE, DaemonPair, echo_all, forward, origin, pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Starts two daemons without anything between them; `near` has a SOCKS5 ingress, and `ingresses`.
async fn pair(allow: &[&str], ingresses: &str) -> DaemonPair {
    let builder = DaemonPair::builder().allow(allow.iter().copied());
    builder.near_config(ingresses).start().await.unwrap()
}

/// What the far daemon lets the near one reach: everything on its host.
const ALLOW: [&str; 2] = ["127.0.0.1:*", "localhost:*"];

/// Connects to a name through a SOCKS5 ingress; returns the connection, or the reply's code.
async fn socks(ingress: SocketAddr, host: &str, port: u16) -> Result<TcpStream, u8> {
    let mut tcp = TcpStream::connect(ingress).await.unwrap();
    let mut request = vec![5, 1, 0, 5, 1, 0, 3, host.len() as u8];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&port.to_be_bytes());
    tcp.write_all(&request).await.unwrap();
    let mut reply = [0; 12];
    timeout(DEADLINE, tcp.read_exact(&mut reply)).await.expect("no reply").unwrap();
    assert_eq!(reply[..3], [5, 0, 5]);
    if reply[3] == 0 { Ok(tcp) } else { Err(reply[3]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_through_socks5_is_byte_exact_and_closes_each_direction_alone() {
    let pair = pair(&ALLOW, "").await;
    let (listener, port) = origin().await.unwrap();
    let served = tokio::spawn(async move { echo_all(&listener).await.unwrap() });
    let ingress = pair.socks();
    // A name, which only the far side resolves.
    let mut app = socks(ingress, "localhost", port).await.unwrap();
    let sent = pattern(5_000_000);
    let received = timeout(DEADLINE, async {
        app.write_all(&sent).await.unwrap();
        app.shutdown().await.unwrap();
        let mut received = Vec::new();
        app.read_to_end(&mut received).await.unwrap();
        received
    });
    assert!(received.await.expect("the flow hangs") == sent, "the bytes differ");
    served.await.unwrap();
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_at_the_far_end_reaches_the_application() {
    let pair = pair(&ALLOW, "").await;
    let ingress = pair.socks();
    let (listener, closed_port) = origin().await.unwrap();
    drop(listener);
    assert_eq!(socks(ingress, "127.0.0.1", closed_port).await.unwrap_err(), 5);
    assert_eq!(socks(ingress, "127.0.0.2", closed_port).await.unwrap_err(), 2);
    assert_eq!(socks(ingress, "no-such-host.invalid", 80).await.unwrap_err(), 4);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_an_allow_list_reaches_nothing() {
    let pair = pair(&[], "").await;
    let (_listener, port) = origin().await.unwrap();
    let ingress = pair.socks();
    assert_eq!(socks(ingress, "127.0.0.1", port).await.unwrap_err(), 2);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_port_passes_resets_both_ways() {
    let (listener, port) = origin().await.unwrap();
    let pair = pair(&ALLOW, &forward("fwd", port)).await;
    let ingress = pair.ingress("fwd");

    let reset = |tcp: TcpStream| {
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
        drop(tcp);
    };
    for application_resets in [true, false] {
        let mut app = TcpStream::connect(ingress).await.unwrap();
        app.write_all(b"hello").await.unwrap();
        let (mut served, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        let mut hello = [0; 5];
        served.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        let (mut alive, dead) = if application_resets { (served, app) } else { (app, served) };
        reset(dead);
        let error = timeout(DEADLINE, alive.read(&mut hello)).await.expect("no reset").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_peer_is_used_when_one_is_unreachable() {
    let (listener, port) = origin().await.unwrap();
    let unreachable = Identity::generate().peer_id();
    let tables = format!(
        "[peers.nobody]
         key = '{unreachable}'
         [ingress.fwd]
         kind = 'forward'
         listen = '127.0.0.1:0'
         to = '127.0.0.1:{port}'
         via = ['nobody', 'far']"
    );
    let pair = pair(&ALLOW, &tables).await;
    let served = tokio::spawn(async move { echo_all(&listener).await.unwrap() });
    let mut app = TcpStream::connect(pair.ingress("fwd")).await.unwrap();
    app.write_all(b"hello").await.unwrap();
    app.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, app.read_to_string(&mut answer)).await.expect("no answer").unwrap();
    assert_eq!(answer, "hello");
    served.await.unwrap();
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_rule_dials_from_this_host() {
    let (listener, port) = origin().await.unwrap();
    let rule = "[[rule]]\nto = 'localhost'\nvia = 'direct'";
    let pair = pair(&[], rule).await;
    let served = tokio::spawn(async move { echo_all(&listener).await.unwrap() });
    let ingress = pair.socks();
    let mut app = socks(ingress, "localhost", port).await.unwrap();
    app.write_all(b"hello").await.unwrap();
    app.shutdown().await.unwrap();
    let mut answer = String::new();
    app.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "hello");
    served.await.unwrap();
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_the_lane_and_the_flow() {
    let pair = pair(&ALLOW, "").await;
    let (_listener, port) = origin().await.unwrap();
    let ingress = pair.socks();
    let _app = socks(ingress, "127.0.0.1", port).await.unwrap();
    let report = pair.near_report().await;
    let peer = report.peers.iter().find(|peer| peer.name == "far").unwrap();
    assert_eq!(peer.sessions.len(), 1);
    assert_eq!(peer.sessions[0].side, "initiator");
    assert!(peer.sessions[0].lanes.iter().any(|lane| lane.state == "up"));
    assert_eq!(peer.sessions[0].flows[0].target, format!("127.0.0.1:{port}"));
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_resets_live_flows_at_the_deadline() {
    let pair = pair(&ALLOW, "").await;
    let (listener, port) = origin().await.unwrap();
    let ingress = pair.socks();
    let mut app = socks(ingress, "127.0.0.1", port).await.unwrap();
    let (_served, _) = listener.accept().await.unwrap();
    assert_eq!(pair.near.node().live_flows(), 1);
    let started = Instant::now();
    let ending = tokio::spawn(pair.near.shutdown(Duration::from_secs(1)));
    let read = timeout(DEADLINE, app.read(&mut [0; 1])).await.expect("not ended");
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    assert!(TcpStream::connect(ingress).await.is_err(), "still accepting");
    timeout(DEADLINE, ending).await.expect("the shutdown hangs").unwrap();
    pair.far.shutdown(Duration::ZERO).await;
}
