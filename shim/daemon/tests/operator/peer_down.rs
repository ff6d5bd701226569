//! Where new flows go while peers are unreachable (`peer-down`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use throughline::{Identity, PeerId};
use throughline_daemon::run::Daemon;
use throughline_emulator::{Emulator, Profile, Way};
use throughline_fixture::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use super::flows::connect;
use super::site::daemon;

/// Sooner than a waiting flow fails (10 s); a busy machine gets most of that.
const AT_ONCE: Duration = Duration::from_secs(6);

/// Binds a UDP address at which nobody answers.
async fn silent_address() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Starts a daemon that lets `peer` reach this host.
async fn far(identity: Identity, listen: SocketAddr, peer: PeerId) -> Daemon {
    let text = format!(
        "listen = '{listen}'
         [peers.near]
         key = '{peer}'
         allow = '127.0.0.1:*'"
    );
    daemon(identity, &text).await
}

/// Starts a daemon with one SOCKS5 ingress through all of these peers, in order.
async fn near(identity: Identity, peers: &[(&str, PeerId, SocketAddr)], peer_down: &str) -> Daemon {
    let mut text = format!("peer-down = '{peer_down}'\n");
    for (name, key, locator) in peers {
        text.push_str(&format!("[peers.{name}]\nkey = '{key}'\nlocators = '{locator}'\n"));
    }
    let names: Vec<&str> = peers.iter().map(|(name, ..)| *name).collect();
    text.push_str(&format!(
        "[ingress.socks]\nkind = 'socks5'\nlisten = '127.0.0.1:0'\nvia = {names:?}\n"
    ));
    daemon(identity, &text).await
}

fn ingress(near: &Daemon) -> SocketAddr {
    near.ingress_addr("socks").unwrap()
}

async fn origin() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Returns the number of flows that a daemon has with its peers.
fn flows(daemon: &Daemon) -> usize {
    let peers = daemon.node().status().peers;
    peers.iter().flat_map(|peer| &peer.sessions).map(|session| session.flows.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_connects_from_this_host_while_the_peer_is_down() {
    let (_silent, nowhere) = silent_address().await;
    let key = Identity::generate().peer_id();
    let near = near(Identity::generate(), &[("gone", key, nowhere)], "direct").await;
    let (listener, target) = origin().await;
    let began = Instant::now();
    let mut app = connect(ingress(&near), target).await.unwrap();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    let (mut served, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    app.write_all(b"hello").await.unwrap();
    let mut hello = [0; 5];
    timeout(DEADLINE, served.read_exact(&mut hello)).await.unwrap().unwrap();
    assert_eq!(&hello, b"hello");
    assert_eq!(flows(&near), 0);
    near.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reject_refuses_at_once_with_the_reason() {
    let (_silent, nowhere) = silent_address().await;
    let key = Identity::generate().peer_id();
    let near = near(Identity::generate(), &[("gone", key, nowhere)], "reject").await;
    let (_listener, target) = origin().await;
    let began = Instant::now();
    // RFC 1928 §6: host unreachable.
    assert_eq!(connect(ingress(&near), target).await.unwrap_err(), 4);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    let events = near.node().events().recent;
    let reason = "none of its peers is reachable: gone";
    assert!(events.iter().any(|event| event.kind.to_string().ends_with(reason)), "{events:#?}");
    near.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_goes_through_a_peer_that_becomes_reachable_in_time() {
    let (near_id, far_id) = (Identity::generate(), Identity::generate());
    let (silent, addr) = silent_address().await;
    let near = near(near_id.clone(), &[("late", far_id.peer_id(), addr)], "wait").await;
    let (_listener, target) = origin().await;
    let ingress = ingress(&near);
    let asked = tokio::spawn(async move { connect(ingress, target).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!asked.is_finished(), "the flow did not wait");
    drop(silent);
    let far = far(far_id, addr, near_id.peer_id()).await;
    let _app = asked.await.unwrap().expect("the peer came in time");
    assert_eq!(flows(&far), 1);
    near.shutdown(Duration::ZERO).await;
    far.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reject_lets_flows_through_a_peer_that_is_just_coming_up() {
    let (near_id, far_id) = (Identity::generate(), Identity::generate());
    let far = far(far_id.clone(), "127.0.0.1:0".parse().unwrap(), near_id.peer_id()).await;
    let addr = far.node().local_addrs()[0];
    let near = near(near_id, &[("centre", far_id.peer_id(), addr)], "reject").await;
    let (_listener, target) = origin().await;
    // The first flow comes before the first lane.
    let _app = connect(ingress(&near), target).await.expect("the peer is not down");
    near.shutdown(Duration::ZERO).await;
    far.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_tried_in_order_and_the_next_when_one_is_down() {
    let near_id = Identity::generate();
    let (one_id, two_id) = (Identity::generate(), Identity::generate());
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let one = far(one_id.clone(), any, near_id.peer_id()).await;
    let two = far(two_id.clone(), any, near_id.peer_id()).await;
    let peers = [
        ("one", one_id.peer_id(), one.node().local_addrs()[0]),
        ("two", two_id.peer_id(), two.node().local_addrs()[0]),
    ];
    let near = near(near_id, &peers, "wait").await;
    let (_listener, target) = origin().await;
    let mut apps = Vec::new();
    for expected in 1..=3 {
        apps.push(connect(ingress(&near), target).await.unwrap());
        assert_eq!((flows(&one), flows(&two)), (expected, 0));
    }
    one.shutdown(Duration::ZERO).await;
    let began = Instant::now();
    let _app = connect(ingress(&near), target).await.expect("the second peer is there");
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(flows(&two), 1);
    near.shutdown(Duration::ZERO).await;
    two.shutdown(Duration::ZERO).await;
}

/// Both ends of the flow keep only what was opened where it counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_flow_goes_to_the_next_peer_where_the_first_falls_silent_before_it_answers() {
    let near_id = Identity::generate();
    let (one_id, two_id) = (Identity::generate(), Identity::generate());
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let one = far(one_id.clone(), any, near_id.peer_id()).await;
    let two = far(two_id.clone(), any, near_id.peer_id()).await;
    let profile = Profile::new(50_000_000, Duration::from_millis(10));
    let internet = Emulator::builder()
        .isp("home", &profile)
        .isp("of-one", &profile)
        .client("home", [127, 0, 0, 1], [127, 0, 0, 1])
        .start()
        .unwrap();
    let to_one = internet.udp_locator(any, one.node().local_addrs()[0], Some("of-one")).unwrap();
    let peers =
        [("one", one_id.peer_id(), to_one), ("two", two_id.peer_id(), two.node().local_addrs()[0])];
    let near = near(near_id, &peers, "wait").await;
    let (_listener, target) = origin().await;
    let _app = connect(ingress(&near), target).await.unwrap();
    assert_eq!((flows(&one), flows(&two)), (1, 0));
    internet.isp("of-one").blackhole(Way::Both);
    let began = Instant::now();
    let _app = connect(ingress(&near), target).await.expect("the second peer is there");
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(flows(&two), 1);
    near.shutdown(Duration::ZERO).await;
    one.shutdown(Duration::ZERO).await;
    two.shutdown(Duration::ZERO).await;
}
