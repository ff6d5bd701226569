//! DSCP and ECN of applications' datagrams, and of what is answered.

use std::net::{SocketAddr, UdpSocket};

use throughline_fixture::{DEADLINE, DaemonPair};

use super::associate::{LOOPBACK, associate, to};
use super::classed::{answer, report, talk};
use super::site::ask;

/// Starts a destination that answers in classes; returns where.
fn destination(ip: &str) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    let addr = socket.local_addr().unwrap();
    answer(socket);
    addr
}

/// A client of an address.
fn client(of: SocketAddr) -> UdpSocket {
    let any = if of.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(of).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    report(&socket);
    socket
}

/// Returns an ingress that leads from an address to a destination.
fn forward(name: &str, listen: &str, to: SocketAddr, via: &str) -> String {
    format!(
        "[ingress.{name}]\nkind = 'forward'\nprotocol = 'udp'\nlisten = '{listen}:0'\nto = '{to}'\n\
         via = '{via}'\n"
    )
}

/// Has a flow be open before there is a burst, of which only some would wait for it.
async fn open(client: UdpSocket, datagram: &[u8]) -> UdpSocket {
    client.set_nonblocking(true).unwrap();
    let client = tokio::net::UdpSocket::from_std(client).unwrap();
    ask(&client, datagram).await;
    let client = client.into_std().unwrap();
    client.set_nonblocking(false).unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_carries_them_both_ways_in_either_version_of_ip_and_so_does_a_direct_one() {
    let (v4, v6) = (destination("127.0.0.1"), destination("::1"));
    let ingresses = [
        forward("four", "127.0.0.1", v4, "far"),
        forward("six", "[::1]", v6, "far"),
        // Another version on the other side.
        forward("other", "[::1]", v4, "far"),
        forward("direct", "127.0.0.1", v6, "direct"),
    ];
    let allow = ["127.0.0.1:*", "[::1]:*"];
    let builder = DaemonPair::builder().allow(allow).near_config(&ingresses.concat());
    let pair = builder.start().await.unwrap();
    for ingress in ["four", "six", "other", "direct"] {
        let client = open(client(pair.ingress(ingress)), b"first").await;
        tokio::task::block_in_place(|| talk(&client, b""));
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_association_carries_them_both_ways() {
    let pair = DaemonPair::builder().allow(["127.0.0.1:*"]).start().await.unwrap();
    let destination = destination("127.0.0.1");
    let (_tcp, socket) = associate(pair.socks()).await;
    let socket = socket.into_std().unwrap();
    let client = open(socket, &to(LOOPBACK, destination.port(), b"first")).await;
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    report(&client);
    tokio::task::block_in_place(|| talk(&client, &to(LOOPBACK, destination.port(), b"")));
    pair.shutdown().await;
}
