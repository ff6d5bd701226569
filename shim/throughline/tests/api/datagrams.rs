//! Datagram flows between two nodes.

use std::time::Duration;

use bytes::Bytes;
use throughline::{
    ConnectError, Datagram, DatagramError, DatagramFlow, Ecn, FailureCode, Mode, Node, OpenFailure,
    Target, TrafficClass,
};

use super::pair::{pair, soon};

fn target() -> Target {
    Target::datagram_service("test")
}

/// A datagram flow at both ends.
async fn open(left: &Node, right: &Node, mode: Mode) -> (DatagramFlow, DatagramFlow) {
    let mut listener = right.serve_datagrams("test").unwrap();
    let near = soon(left.datagrams_with(right.id(), target(), mode)).await.unwrap();
    let far = soon(listener.accept()).await.unwrap();
    assert_eq!((far.target(), far.mode()), (&target(), mode));
    (near, far.accept())
}

#[tokio::test]
async fn datagrams_go_both_ways_as_they_were_sent() {
    let (left, right) = pair().await;
    let (near, far) = open(&left, &right, Mode::Auto).await;
    soon(near.opened()).await.unwrap();
    assert_eq!((near.peer(), far.peer()), (right.id(), left.id()));
    for number in 0..100u8 {
        near.send(vec![number; number.into()]).unwrap();
        assert_eq!(soon(far.recv()).await.unwrap(), vec![number; number.into()]);
        far.send(vec![number; 2]).unwrap();
        assert_eq!(soon(near.recv()).await.unwrap(), vec![number; 2]);
    }
    let flows = left.status().peers.remove(0).sessions.remove(0).flows;
    assert_eq!(flows[0].target, "datagram service test");
    assert_eq!((flows[0].sent, flows[0].received), ((0..100).sum(), 200));
    drop(near);
    assert_eq!(soon(far.recv()).await.unwrap_err(), DatagramError::Ended);
    drop(far);
    soon(async {
        while left.live_flows() + right.live_flows() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn many_at_once_arrive_as_one_by_one_and_those_before_the_end_come_before_it() {
    let (left, right) = pair().await;
    let (near, far) = open(&left, &right, Mode::Auto).await;
    let numbered = |numbers: std::ops::Range<u8>| numbers.map(|n| Bytes::from(vec![n; 100]));
    let mut many: Vec<_> = numbered(0..100).collect();
    many.insert(50, vec![0; near.max_len() + 1].into());
    near.send_many(&mut many).unwrap();
    assert!(many.is_empty(), "one that is too long is left out, and no other");
    let mut got = Vec::new();
    while got.len() < 100 {
        let before = got.len();
        let count = soon(far.recv_many(&mut got, 30)).await.unwrap();
        assert!((1..=30).contains(&count) && got.len() == before + count);
    }
    assert!(got.iter().map(|datagram| &datagram.payload).eq(&numbered(0..100).collect::<Vec<_>>()));
    near.send_many(&mut numbered(0..3).collect::<Vec<_>>()).unwrap();
    drop(near);
    let mut last = Vec::new();
    while soon(far.recv_many(&mut last, 30)).await.is_ok() {}
    assert_eq!(last.len(), 3);
    assert_eq!(far.send_many(&mut numbered(0..1).collect::<Vec<_>>()), Err(DatagramError::Ended));
}

#[tokio::test]
async fn each_has_the_traffic_class_that_it_was_sent_with_whatever_its_length() {
    let (left, right) = pair().await;
    let (near, far) = open(&left, &right, Mode::Auto).await;
    let expedited = TrafficClass::new(46, Ecn::Ect1);
    near.send(Datagram::new("asked", expedited)).unwrap();
    assert_eq!(soon(far.recv_datagram()).await.unwrap(), Datagram::new("asked", expedited));
    near.send("best effort").unwrap();
    assert_eq!(soon(far.recv_datagram()).await.unwrap(), Datagram::from("best effort"));
    far.send(Datagram::new("whoever does not want to know", expedited)).unwrap();
    assert_eq!(soon(near.recv()).await.unwrap(), "whoever does not want to know");
    // All classes in one burst, and those that are longer than a packet.
    let of = |byte| Datagram::new(vec![byte; 300], TrafficClass::from_byte(byte));
    let mut sent: Vec<_> = (0..=255).map(of).collect();
    far.send_many(&mut sent.clone()).unwrap();
    let mut got = Vec::new();
    while got.len() < sent.len() {
        soon(near.recv_many(&mut got, 256)).await.unwrap();
    }
    assert_eq!(got, sent);
    sent = (0..8).map(|n| Datagram::new(vec![n; 9_000], TrafficClass::from_byte(n << 5))).collect();
    near.send_many(&mut sent.clone()).unwrap();
    got.clear();
    while got.len() < sent.len() {
        soon(far.recv_many(&mut got, 256)).await.unwrap();
    }
    got.sort_by_key(|datagram| datagram.payload[0]);
    assert_eq!(got, sent);
}

#[tokio::test]
async fn what_is_sent_before_the_answer_and_before_the_end_arrives() {
    let (left, right) = pair().await;
    let mut listener = right.serve_datagrams("test").unwrap();
    let near = soon(left.datagrams(right.id(), target())).await.unwrap();
    near.send("first").unwrap();
    near.send("last").unwrap();
    drop(near);
    let far = soon(listener.accept()).await.unwrap().accept();
    assert_eq!(soon(far.recv()).await.unwrap(), "first");
    assert_eq!(soon(far.recv()).await.unwrap(), "last");
    assert_eq!(soon(far.recv()).await.unwrap_err(), DatagramError::Ended);
}

#[tokio::test]
async fn a_refusal_and_a_failure_say_why() {
    let (left, right) = pair().await;
    let near = soon(left.datagrams(right.id(), target())).await.unwrap();
    let refused = soon(near.opened()).await.unwrap_err();
    assert_eq!(refused.to_string(), "nobody serves test of datagrams at this peer");
    assert!(matches!(soon(near.recv()).await, Err(DatagramError::Refused(_))));
    let mut listener = right.serve_datagrams("test").unwrap();
    let near = soon(left.datagrams(right.id(), target())).await.unwrap();
    let failure = OpenFailure::new(FailureCode::NotAllowed, "not for you");
    soon(listener.accept()).await.unwrap().refuse(failure.clone());
    assert_eq!(soon(near.recv()).await.unwrap_err(), DatagramError::Refused(failure));
    let near = soon(left.datagrams(right.id(), target())).await.unwrap();
    soon(listener.accept()).await.unwrap().accept().fail(FailureCode::Refused);
    let Err(DatagramError::Unreachable(failure)) = soon(near.recv()).await else {
        panic!("the flow goes on");
    };
    assert_eq!(failure.code, FailureCode::Refused);
}

#[tokio::test]
async fn targets_of_the_other_kind_are_refused_here() {
    let (left, right) = pair().await;
    let of_bytes = soon(left.datagrams(right.id(), Target::service("test"))).await.unwrap_err();
    let of_datagrams = soon(left.connect(right.id(), target())).await.unwrap_err();
    for error in [of_bytes, of_datagrams] {
        assert!(matches!(error, ConnectError::InvalidTarget { .. }), "{error}");
    }
}

#[tokio::test]
async fn datagrams_longer_than_a_packet_arrive_both_ways_and_longer_ones_than_udp_has_are_refused()
{
    let (left, right) = pair().await;
    let (near, far) = open(&left, &right, Mode::Redundant).await;
    assert!(near.packet_len() >= 1100, "{}", near.packet_len());
    soon(async {
        while near.packet_len() < 1390 || far.packet_len() < 1390 {
            near.send("x").unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let max = near.max_len();
    for len in [near.packet_len(), near.packet_len() + 1, 8_000, 60_000, max] {
        let long: Bytes = (0..len).map(|at| (at % 251) as u8).collect();
        near.send(long.clone()).unwrap();
        soon(async { while far.recv().await.unwrap() != long {} }).await;
        far.send(long.clone()).unwrap();
        assert_eq!(soon(near.recv()).await.unwrap(), long);
    }
    // Many, each once and whole.
    for round in 0..10 {
        let mut missing: std::collections::BTreeSet<u8> = (6 * round..6 * (round + 1)).collect();
        missing.iter().for_each(|number| near.send(vec![*number; 20_000]).unwrap());
        while !missing.is_empty() {
            let datagram = soon(far.recv()).await.unwrap();
            assert!(datagram.len() == 20_000 && datagram.iter().all(|byte| *byte == datagram[0]));
            assert!(missing.remove(&datagram[0]), "{} came twice", datagram[0]);
        }
    }
    let refused = near.send(vec![7; max + 1]).unwrap_err();
    assert_eq!(refused, DatagramError::TooLong { len: max + 1, max });
    far.send("it goes on").unwrap();
    assert_eq!(soon(near.recv()).await.unwrap(), "it goes on");
}

#[tokio::test]
async fn a_flood_keeps_neither_another_flow_nor_one_of_bytes_waiting() {
    let (left, right) = pair().await;
    let (near, far) = open(&left, &right, Mode::Auto).await;
    let (flood, flooded) = open(&left, &right, Mode::Single).await;
    let flooding = tokio::spawn(async move {
        loop {
            for _ in 0..32 {
                flood.send(vec![0; 1000]).unwrap();
            }
            tokio::task::yield_now().await;
        }
    });
    let drain = tokio::spawn(async move { while flooded.recv().await.is_ok() {} });
    // Two flows at once, one opened amid the flood.
    let (mut stream, mut other) = super::pair::open(&left, &right).await;
    for number in 0..50u8 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        near.send(vec![number; 100]).unwrap();
        assert_eq!(soon(far.recv()).await.unwrap(), vec![number; 100]);
        stream.write_all(&[number; 100]).await.unwrap();
        soon(other.read_exact(&mut [0; 100])).await.unwrap();
    }
    flooding.abort();
    drain.abort();
    let lanes = left.status().peers.remove(0).sessions.remove(0).lanes;
    assert_eq!(lanes.len(), 2, "{lanes:?}");
}
