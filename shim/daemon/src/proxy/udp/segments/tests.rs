//! Tests of what arrives, in which order and class, and of what is one piece.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::{receive_from, report_class};
use super::*;
use throughline::TrafficClass;

/// Sends datagrams of these lengths and classes between two addresses and returns what arrives.
async fn arrived(
    (at, from): (&str, &str),
    header: &[u8],
    datagrams: &[(usize, u8)],
    is_connected: bool,
) -> Vec<Datagram> {
    let receiver = UdpSocket::bind(at).await.unwrap();
    report_class(&receiver);
    let sender = UdpSocket::bind(from).await.unwrap();
    let mut at = receiver.local_addr().unwrap();
    if let (true, SocketAddr::V6(v6)) = (at.ip().is_unspecified(), &mut at) {
        v6.set_ip(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    }
    let mut to = Some(at);
    if is_connected {
        sender.connect(to.take().unwrap()).await.unwrap();
    }
    let datagram = |(number, (len, class)): (usize, &(usize, u8))| {
        Datagram::new(vec![number as u8; *len], TrafficClass::from_byte(*class))
    };
    let mut sent = datagrams.iter().enumerate().map(datagram).collect();
    send_many(&sender, to, header, &mut sent).await.unwrap();
    assert!(sent.is_empty());
    let mut got = Vec::new();
    while got.len() < datagrams.len() {
        let received = tokio::time::timeout(Duration::from_secs(30), receive_from(&receiver)).await;
        got.push(received.expect("a datagram is missing").unwrap().datagram);
    }
    got
}

#[tokio::test]
async fn datagrams_arrive_one_by_one_in_order_and_of_their_classes_whatever_their_lengths() {
    // Those of one class, and of ECN's and DSCP's, among each other: expedited forwarding, network control.
    let (plain, ef, ce, control) = (0, 0xb9, 3, 56 << 2);
    let batches: [&[(usize, u8)]; 8] = [
        &[(1200, plain); 20],
        &[(1200, ef); 20],
        &[(1200, plain), (1200, ef), (700, ef), (1200, plain), (0, plain), (0, ef), (5, ce)],
        &[(0, plain), (0, control)],
        &[(20_000, ce); 4],
        &[(65_000, ef), (1, ef)],
        &[(1200, ef), (1200, ef), (1200, ce), (1200, ce), (10, plain), (10, control)],
        &[(7, plain)],
    ];
    // Both versions of IP, and sockets of one that have the other.
    let v6 = UdpSocket::bind("[::1]:0").await.is_ok();
    let mut ends = vec![("127.0.0.1:0", "127.0.0.1:0")];
    ends.extend([("[::1]:0", "[::1]:0"), ("[::]:0", "[::]:0")].into_iter().filter(|_| v6));
    for (ends, batch) in ends.iter().flat_map(|ends| batches.map(|batch| (ends, batch))) {
        for (header, is_connected) in [(&b""[..], true), (b"", false), (b"header", false)] {
            let got = arrived(*ends, header, batch, is_connected).await;
            for (number, (got, (len, class))) in got.iter().zip(batch).enumerate() {
                let (head, payload) = got.payload.split_at(header.len());
                assert_eq!((head, payload.len()), (header, *len), "{number} of {batch:?}");
                assert_eq!(got.class.to_byte(), *class, "{number} of {batch:?}, {ends:?}");
                assert!(payload.iter().all(|byte| *byte == number as u8));
            }
        }
    }
}

#[tokio::test]
async fn that_nobody_listens_is_known_by_a_piece_as_by_one_datagram() {
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    sender.connect(closed).await.unwrap();
    let refused = async {
        loop {
            let mut datagrams = vec![Datagram::from(vec![7; 100]); 10];
            if let Err(error) = send_many(&sender, None, b"", &mut datagrams).await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[cfg(target_os = "linux")]
#[test]
fn a_piece_has_one_length_and_class_and_no_more_than_the_kernel_takes() {
    for (lengths, header, run) in [
        (&[10, 10, 10][..], 0, 3),
        (&[10, 10, 5, 10], 0, 3),
        (&[10, 20], 0, 1),
        (&[10, 0, 10], 0, 1),
        (&[10, 0, 10], 6, 2),
        (&[10; 100], 0, 64),
        (&[30_000; 3], 0, 2),
        (&[0, 0], 0, 1),
        (&[0, 0], 6, 2),
        (&[65_507, 1], 0, 1),
        (&[], 0, 0),
    ] {
        let datagram = |len: &usize| Datagram::from(vec![0; *len]);
        let datagrams: Vec<_> = lengths.iter().map(datagram).collect();
        assert_eq!(cut_len(header, &datagrams), run, "{lengths:?}");
    }
    let of = |class| Datagram::new(vec![0; 10], TrafficClass::from_byte(class));
    assert_eq!(cut_len(0, &[of(1), of(1), of(0), of(1)]), 2, "nor more than one class");
}
