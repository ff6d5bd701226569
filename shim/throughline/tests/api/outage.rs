//! What a node sends to a peer that does not answer, and how soon it is back.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use throughline::{Identity, Node, PeerConfig, Target, UplinkConfig};

use super::pair::soon;

/// A QUIC packet of version 1 with a long header: of a dial.
fn is_of_a_dial(datagram: &[u8]) -> bool {
    datagram[0] & 0x80 != 0 && datagram[1..5] == [0, 0, 0, 1]
}

/// A node with one uplink and a peer at `locator`.
async fn dialer(to: &Identity, locator: SocketAddr) -> (Node, Identity) {
    let identity = Identity::generate();
    let uplink = UplinkConfig::new("isp").prefix("127.0.13.1".parse::<std::net::IpAddr>().unwrap());
    let node = Node::builder()
        .identity(identity.clone())
        .uplink(uplink)
        .peer(PeerConfig::new(to.peer_id(), "right").locator(locator))
        .build()
        .await
        .unwrap();
    (node, identity)
}

#[tokio::test]
async fn a_silent_peer_is_probed_with_little_and_hardly_dialed() {
    let unanswering = UdpSocket::bind("127.0.13.2:0").unwrap();
    unanswering.set_nonblocking(true).unwrap();
    let to = Identity::generate();
    let (node, _) = dialer(&to, unanswering.local_addr().unwrap()).await;
    let peer = to.peer_id();
    tokio::spawn(async move { node.connect(peer, Target::service("none")).await.is_ok() });
    let (mut probes, mut of_dials, begin) = (0, 0, Instant::now());
    let mut datagram = [0; 2000];
    while begin.elapsed() < Duration::from_secs(4) {
        match unanswering.recv_from(&mut datagram) {
            Ok((len, _)) if is_of_a_dial(&datagram[..len]) => of_dials += 1,
            Ok((len, _)) => {
                assert_eq!(len, 1200);
                probes += 1;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    // A probe each 200 to 250 ms; two dials, each of four flights of two packets.
    assert!((6..=21).contains(&probes), "{probes} probes");
    assert!((2..=20).contains(&of_dials), "{of_dials} packets of dials");
}

#[tokio::test]
async fn a_peer_that_comes_back_is_found_by_a_probe() {
    let unanswering = UdpSocket::bind("127.0.13.3:0").unwrap();
    let locator = unanswering.local_addr().unwrap();
    let to = Identity::generate();
    let (left, identity) = dialer(&to, locator).await;
    let peer = to.peer_id();
    let opening = tokio::spawn(async move {
        let error = left.connect(peer, Target::service("none")).await.unwrap_err();
        (error.to_string(), Instant::now())
    });
    // By then the next dial is seconds away.
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(unanswering);
    let back = Instant::now();
    let _right = Node::builder()
        .identity(to)
        .bind(locator)
        .peer(PeerConfig::new(identity.peer_id(), "left"))
        .build()
        .await
        .unwrap();
    let (error, at) = soon(opening).await.unwrap();
    assert!(error.contains("nobody serves none"), "{error}");
    assert!(at - back < Duration::from_secs(2), "{:?}", at - back);
}

#[tokio::test]
async fn a_dead_uplink_beside_one_that_works_does_not_make_the_peer_unreachable() {
    // The second locator is one at which nobody answers, as when one address family is dead.
    let unanswering = UdpSocket::bind("127.0.13.5:0").unwrap();
    let (to, identity) = (Identity::generate(), Identity::generate());
    let right = Node::builder()
        .identity(to.clone())
        .bind("127.0.13.4:0".parse().unwrap())
        .peer(PeerConfig::new(identity.peer_id(), "left"))
        .build()
        .await
        .unwrap();
    let uplink = UplinkConfig::new("isp").prefix("127.0.13.6".parse::<std::net::IpAddr>().unwrap());
    let peer = PeerConfig::new(to.peer_id(), "right")
        .locator(right.local_addrs()[0])
        .locator(unanswering.local_addr().unwrap());
    let left = Node::builder().identity(identity).uplink(uplink).peer(peer).build().await.unwrap();
    assert!(left.wait_until_reachable(to.peer_id(), Duration::from_secs(10)).await);
    // By then the dial of the dead locator has failed.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    let status = left.status();
    assert_eq!(status.peers[0].failing, None);
    assert_eq!(status.peers[0].sessions[0].lanes.len(), 1);
}
