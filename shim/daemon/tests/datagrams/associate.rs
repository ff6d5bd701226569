//! SOCKS5's UDP ASSOCIATE (RFC 1928 §7).

use std::net::SocketAddr;

use throughline_fixture::{DEADLINE, DaemonPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::site::{Echo, ask, client, receive, targets};

async fn pair() -> DaemonPair {
    let allow = ["127.0.0.1:*", "localhost:*"];
    DaemonPair::builder().allow(allow).start().await.unwrap()
}

/// An association: its connection, and a client's socket that is connected to its address.
pub(crate) async fn associate(socks: SocketAddr) -> (TcpStream, UdpSocket) {
    let mut tcp = TcpStream::connect(socks).await.unwrap();
    tcp.write_all(b"\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0").await.unwrap();
    let mut reply = [0; 12];
    timeout(DEADLINE, tcp.read_exact(&mut reply)).await.expect("no reply").unwrap();
    assert_eq!(reply[..6], [5, 0, 5, 0, 0, 1]);
    let ip: [u8; 4] = reply[6..10].try_into().unwrap();
    let port = u16::from_be_bytes([reply[10], reply[11]]);
    let socket = client((ip, port).into()).await;
    (tcp, socket)
}

/// Puts a destination in front of a datagram.
pub(crate) fn to(host: &[u8], port: u16, datagram: &[u8]) -> Vec<u8> {
    [&[0, 0, 0][..], host, &port.to_be_bytes(), datagram].concat()
}

pub(crate) const LOOPBACK: &[u8] = &[1, 127, 0, 0, 1];
const LOCALHOST: &[u8] = b"\x03\x09localhost";

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_reach_several_destinations_by_address_and_by_name() {
    let pair = pair().await;
    let echoes = [Echo::start().await, Echo::start().await];
    let (_tcp, socket) = associate(pair.socks()).await;
    for echo in &echoes {
        for host in [LOOPBACK, LOCALHOST] {
            let datagram = to(host, echo.addr.port(), b"hello");
            assert_eq!(ask(&socket, &datagram).await, datagram);
        }
    }
    let mut flows = targets(&pair).await;
    flows.sort();
    assert_eq!(flows.len(), 4, "{flows:?}");
    assert!(flows[3].starts_with("localhost:") && flows[3].ends_with("/udp"), "{flows:?}");
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_connection_is_that_of_its_flows() {
    let pair = pair().await;
    let echo = Echo::start().await;
    let (tcp, socket) = associate(pair.socks()).await;
    let datagram = to(LOOPBACK, echo.addr.port(), b"hello");
    ask(&socket, &datagram).await;
    assert_eq!(targets(&pair).await.len(), 1);
    drop(tcp);
    pair.until("no flow is left", async |pair| targets(pair).await.is_empty()).await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_is_not_heard_and_fragments_go_nowhere() {
    let pair = pair().await;
    let echo = Echo::start().await;
    let (_tcp, socket) = associate(pair.socks()).await;
    let datagram = to(LOOPBACK, echo.addr.port(), b"mine");
    ask(&socket, &datagram).await;
    let other = client(socket.peer_addr().unwrap()).await;
    other.send(&to(LOOPBACK, echo.addr.port(), b"theirs")).await.unwrap();
    let mut fragment = to(LOOPBACK, echo.addr.port(), b"a part");
    fragment[2] = 1;
    socket.send(&fragment).await.unwrap();
    socket.send(b"no header").await.unwrap();
    // What follows them is the first that is answered: an answer to them would come here, and before.
    let last = to(LOOPBACK, echo.addr.port(), b"last");
    socket.send(&last).await.unwrap();
    assert_eq!(receive(&socket).await, last);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_association_has_no_more_destinations_than_allowed() {
    let pair = pair().await;
    let (_tcp, socket) = associate(pair.socks()).await;
    let mut destinations = Vec::new();
    for _ in 0..300 {
        destinations.push(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    }
    for destination in &destinations {
        let port = destination.local_addr().unwrap().port();
        socket.send(&to(LOOPBACK, port, b"hello")).await.unwrap();
        tokio::task::yield_now().await;
    }
    pair.until("256 flows are open", async |pair| targets(pair).await.len() >= 256).await;
    // The last of them has been read by now, and what is beyond has no flow.
    let echo = to(LOOPBACK, destinations[0].local_addr().unwrap().port(), b"again");
    socket.send(&echo).await.unwrap();
    let mut buffer = [0; 100];
    let again = async { while destinations[0].recv(&mut buffer).await.unwrap() != 5 {} };
    timeout(DEADLINE, again).await.expect("the first one is not served any more");
    assert_eq!(targets(&pair).await.len(), 256);
    pair.shutdown().await;
}
