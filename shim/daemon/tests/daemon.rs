//! Two daemons in this process, real sockets on loopback, and clients as real applications are.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use throughline::Identity;
use throughline_daemon::admin;
use throughline_daemon::config::{Config, IdentitySource};
use throughline_daemon::run::{Daemon, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The ACL of the egress: everything on this host.
const ALLOW: &str = r#"["127.0.0.1:*", "localhost:*"]"#;

struct Pair {
    /// Where applications are.
    near: Daemon,
    /// Where the destinations are.
    far: Daemon,
    directory: tempfile::TempDir,
}

async fn daemon(identity: Identity, text: &str) -> Daemon {
    let text = format!("identity = 'given'\n{text}");
    let mut config = Config::parse("test.toml", &text).unwrap();
    config.identity = IdentitySource::Given(identity);
    start(config).await.unwrap()
}

/// Starts two daemons; `near` has a SOCKS5 ingress, and those in `ingresses`.
async fn pair(allow: &str, ingresses: &str) -> Pair {
    let directory = tempfile::tempdir().unwrap();
    let (near_id, far_id) = (Identity::generate(), Identity::generate());
    let admin = |name: &str| directory.path().join(name).display().to_string();
    let far = daemon(
        far_id.clone(),
        &format!(
            "listen = '127.0.0.1:0'\nadmin = '{}'\n[peers.near]\nkey = '{}'\nallow = {allow}",
            admin("far.sock"),
            near_id.peer_id(),
        ),
    )
    .await;
    let locator = far.node().local_addrs()[0];
    let nobody = Identity::generate().peer_id();
    let near = daemon(
        near_id,
        &format!(
            "admin = '{}'
             [peers.far]
             key = '{}'
             locators = '{locator}'
             [peers.nobody]
             key = '{nobody}'
             [ingress.socks]
             kind = 'socks5'
             listen = '127.0.0.1:0'
             via = 'far'
             {ingresses}",
            admin("near.sock"),
            far_id.peer_id(),
        ),
    )
    .await;
    Pair { near, far, directory }
}

impl Pair {
    async fn end(self) {
        self.near.shutdown(Duration::ZERO).await;
        self.far.shutdown(Duration::ZERO).await;
    }
}

/// Connects to a name through a SOCKS5 ingress; returns the connection, or the reply's code.
async fn socks(ingress: SocketAddr, host: &str, port: u16) -> Result<TcpStream, u8> {
    let mut tcp = TcpStream::connect(ingress).await.unwrap();
    let mut request = vec![5, 1, 0, 5, 1, 0, 3, host.len() as u8];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&port.to_be_bytes());
    tcp.write_all(&request).await.unwrap();
    let mut reply = [0; 12];
    timeout(TEST_TIMEOUT, tcp.read_exact(&mut reply)).await.expect("no reply").unwrap();
    assert_eq!(reply[..3], [5, 0, 5]);
    if reply[3] == 0 { Ok(tcp) } else { Err(reply[3]) }
}

async fn origin() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 253) as u8).collect()
}

/// Serves one connection: reads to the end and sends it all back.
async fn echo_all(listener: &TcpListener) {
    let (mut tcp, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes).await.unwrap();
    tcp.write_all(&bytes).await.unwrap();
    tcp.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_through_socks5_is_byte_exact_and_closes_each_direction_alone() {
    let pair = pair(ALLOW, "").await;
    let (listener, port) = origin().await;
    let served = tokio::spawn(async move { echo_all(&listener).await });
    let ingress = pair.near.ingress_addr("socks").unwrap();
    // A name, which only the far side resolves.
    let mut app = socks(ingress, "localhost", port).await.unwrap();
    let sent = pattern(5_000_000);
    let received = timeout(TEST_TIMEOUT, async {
        app.write_all(&sent).await.unwrap();
        app.shutdown().await.unwrap();
        let mut received = Vec::new();
        app.read_to_end(&mut received).await.unwrap();
        received
    });
    assert!(received.await.expect("the flow hangs") == sent, "the bytes differ");
    served.await.unwrap();
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_at_the_far_end_reaches_the_application() {
    let pair = pair(ALLOW, "").await;
    let ingress = pair.near.ingress_addr("socks").unwrap();
    let (listener, closed_port) = origin().await;
    drop(listener);
    assert_eq!(socks(ingress, "127.0.0.1", closed_port).await.unwrap_err(), 5);
    assert_eq!(socks(ingress, "127.0.0.2", closed_port).await.unwrap_err(), 2);
    assert_eq!(socks(ingress, "no-such-host.invalid", 80).await.unwrap_err(), 4);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_an_allow_list_reaches_nothing() {
    let pair = pair("[]", "").await;
    let (_listener, port) = origin().await;
    let ingress = pair.near.ingress_addr("socks").unwrap();
    assert_eq!(socks(ingress, "127.0.0.1", port).await.unwrap_err(), 2);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_port_passes_resets_both_ways() {
    let (listener, port) = origin().await;
    let forward = format!(
        "[ingress.fwd]\nkind = 'forward'\nlisten = '127.0.0.1:0'\nto = '127.0.0.1:{port}'\nvia = 'far'"
    );
    let pair = pair(ALLOW, &forward).await;
    let ingress = pair.near.ingress_addr("fwd").unwrap();

    let reset = |tcp: TcpStream| {
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
        drop(tcp);
    };
    for application_resets in [true, false] {
        let mut app = TcpStream::connect(ingress).await.unwrap();
        app.write_all(b"hello").await.unwrap();
        let (mut served, _) = timeout(TEST_TIMEOUT, listener.accept()).await.unwrap().unwrap();
        let mut hello = [0; 5];
        served.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        let (mut alive, dead) = if application_resets { (served, app) } else { (app, served) };
        reset(dead);
        let error =
            timeout(TEST_TIMEOUT, alive.read(&mut hello)).await.expect("no reset").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_peer_is_used_when_one_is_unreachable() {
    let (listener, port) = origin().await;
    let forward = format!(
        "[ingress.fwd]\nkind = 'forward'\nlisten = '127.0.0.1:0'\nto = '127.0.0.1:{port}'
         via = ['nobody', 'far']"
    );
    let pair = pair(ALLOW, &forward).await;
    let served = tokio::spawn(async move { echo_all(&listener).await });
    let mut app = TcpStream::connect(pair.near.ingress_addr("fwd").unwrap()).await.unwrap();
    app.write_all(b"hello").await.unwrap();
    app.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(TEST_TIMEOUT, app.read_to_string(&mut answer)).await.expect("no answer").unwrap();
    assert_eq!(answer, "hello");
    served.await.unwrap();
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_rule_dials_from_this_host() {
    let (listener, port) = origin().await;
    let rule = "[[rule]]\nto = 'localhost'\nvia = 'direct'";
    let pair = pair("[]", rule).await;
    let served = tokio::spawn(async move { echo_all(&listener).await });
    let ingress = pair.near.ingress_addr("socks").unwrap();
    let mut app = socks(ingress, "localhost", port).await.unwrap();
    app.write_all(b"hello").await.unwrap();
    app.shutdown().await.unwrap();
    let mut answer = String::new();
    app.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "hello");
    served.await.unwrap();
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_the_lane_and_the_flow() {
    let pair = pair(ALLOW, "").await;
    let (_listener, port) = origin().await;
    let ingress = pair.near.ingress_addr("socks").unwrap();
    let _app = socks(ingress, "127.0.0.1", port).await.unwrap();
    let report = admin::status(&pair.directory.path().join("near.sock")).await.unwrap();
    let peer = report.peers.iter().find(|peer| peer.name == "far").unwrap();
    assert_eq!(peer.sessions.len(), 1);
    assert_eq!(peer.sessions[0].side, "initiator");
    assert!(peer.sessions[0].lanes.iter().any(|lane| lane.state == "up"));
    assert_eq!(peer.sessions[0].flows[0].target, format!("127.0.0.1:{port}"));
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_resets_live_flows_at_the_deadline() {
    let pair = pair(ALLOW, "").await;
    let (listener, port) = origin().await;
    let ingress = pair.near.ingress_addr("socks").unwrap();
    let mut app = socks(ingress, "127.0.0.1", port).await.unwrap();
    let (_served, _) = listener.accept().await.unwrap();
    assert_eq!(pair.near.node().live_flows(), 1);
    let started = Instant::now();
    let ending = tokio::spawn(pair.near.shutdown(Duration::from_secs(1)));
    let read = timeout(TEST_TIMEOUT, app.read(&mut [0; 1])).await.expect("not ended");
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    assert!(TcpStream::connect(ingress).await.is_err(), "still accepting");
    timeout(TEST_TIMEOUT, ending).await.expect("the shutdown hangs").unwrap();
    pair.far.shutdown(Duration::ZERO).await;
}
