//! Invalid first messages of a lane.

use bytes::{BufMut, Bytes, BytesMut};
use throughline::{Datagram, Ecn, FlowId, LaneId, Mode, Target, TrafficClass};
use throughline_proto::wire::VERSION;
use throughline_proto::wire::codec::put_varint;
use throughline_proto::wire::control::Message;
use throughline_proto::wire::fact::Open;
use throughline_proto::wire::flow_datagram::FlowDatagram;
use throughline_proto::wire::hello::{Hello, Intent, Reject, RejectCode};
use tokio::time::timeout;

use crate::bystander::Site;
use crate::hostile::{Hostile, Key, TEST_TIMEOUT, hello};
use crate::log;

/// Expedited forwarding (RFC 3246), of an application that knows of L4S.
const EF: TrafficClass = TrafficClass::new(46, Ecn::Ect1);

/// Sends one `Hello` that the node rejects.
async fn rejected(invalid: Hello) -> (Site, Key, Reject) {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut hostile = Hostile::connect(site.addr(), &key).await;
    hostile.send_message(&Message::Hello(invalid)).await;
    let Message::Reject(reject) = hostile.receive().await else { panic!("not rejected") };
    (site, key, reject)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_version_that_is_too_old_is_rejected_with_the_lowest_one() {
    let (site, key, reject) = rejected(Hello { version: 0, ..hello() }).await;
    assert_eq!(reject.code, RejectCode::Version);
    assert!(reject.detail.contains("version 1 is the lowest"), "{}", reject.detail);
    log::expect_line(&["WARN", &key.id().short(), "version 1 is the lowest"]).await;
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_protocol_version_is_answered_with_ours() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut hostile = Hostile::connect(site.addr(), &key).await;
    hostile.send_message(&Message::Hello(Hello { version: 77, ..hello() })).await;
    let Message::Welcome(welcome) = hostile.receive().await else { panic!("not welcome") };
    assert_eq!(welcome.version, VERSION);
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_version_2_is_sent_datagrams_without_the_class_that_a_later_one_is_told() {
    for (version, expected) in [(2, TrafficClass::DEFAULT), (3, EF)] {
        let key = Key::new();
        let site = Site::new(&[key.id()]).await;
        let mut served = site.node.serve_datagrams("classed").unwrap();
        let mut peer = Hostile::connect(site.addr(), &key).await;
        peer.send_message(&Message::Hello(Hello { version, ..hello() })).await;
        let Message::Welcome(welcome) = peer.receive().await else { panic!("not welcome") };
        assert_eq!(welcome.version, version);
        peer.send_message(&Message::EndOfSync).await;
        let target = Target::datagram_service("classed");
        let open = Some(Open { target, mode: Mode::Single });
        let (class, payload) = (expected, Bytes::from_static(b"question"));
        let question = FlowDatagram { flow: FlowId(0), seq: 0, open, class, payload };
        peer.connection.send_datagram(question.to_bytes()).unwrap();
        let flow = timeout(TEST_TIMEOUT, served.accept()).await.unwrap().unwrap().accept();
        let asked = timeout(TEST_TIMEOUT, flow.recv_datagram()).await.unwrap().unwrap();
        assert_eq!(asked, Datagram::new("question", expected));
        flow.send(Datagram::new("answer", EF)).unwrap();
        let answer = loop {
            let bytes = timeout(TEST_TIMEOUT, peer.connection.read_datagram()).await.unwrap();
            let bytes = bytes.unwrap();
            if let Some(answer) = FlowDatagram::decode(&bytes).unwrap() {
                // Not even of a kind that it would not know.
                assert_eq!(bytes[0], if version == 2 { 3 } else { 6 });
                break answer;
            }
        };
        assert_eq!((answer.class, &answer.payload[..]), (expected, &b"answer"[..]));
        site.assert_undisturbed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resumption_of_an_unknown_session_is_rejected() {
    let (site, key, reject) = rejected(Hello { intent: Intent::Resume, ..hello() }).await;
    assert_eq!(reject.code, RejectCode::UnknownSession);
    assert!(reject.detail.contains("session not known here"), "{}", reject.detail);
    log::expect_line(&[&key.id().short(), "session not known here"]).await;
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_number_that_is_used_twice_is_rejected() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let valid = hello();
    let mut first = Hostile::connect(site.addr(), &key).await;
    first.send_message(&Message::Hello(valid.clone())).await;
    assert!(matches!(first.receive().await, Message::Welcome(_)));
    // The lane is attached at the end of synchronization.
    while !matches!(first.receive().await, Message::EndOfSync) {}
    let mut second = Hostile::connect(site.addr(), &key).await;
    second.send_message(&Message::Hello(valid)).await;
    let Message::Reject(reject) = second.receive().await else { panic!("not rejected") };
    assert_eq!(reject.code, RejectCode::Limit);
    log::expect_line(&["WARN", &key.id().short(), "lane number used twice"]).await;
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_and_sessions_above_the_limits_are_rejected() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut held = Vec::new();
    for expected in [true, true, true, true, false] {
        let mut lane = Hostile::connect(site.addr(), &key).await;
        lane.send_message(&Message::Hello(hello())).await;
        match lane.receive().await {
            Message::Welcome(_) => assert!(expected, "a fifth session"),
            Message::Reject(reject) => {
                assert!(!expected && reject.code == RejectCode::Limit, "{reject:?}");
            }
            other => panic!("{other:?}"),
        }
        held.push(lane);
    }
    drop(held);
    let valid = hello();
    let mut held = Vec::new();
    let key = Key::new();
    site.assert_undisturbed().await;
    let site = Site::new(&[key.id()]).await;
    for number in 0..17 {
        let mut lane = Hostile::connect(site.addr(), &key).await;
        lane.send_message(&Message::Hello(Hello { lane: LaneId(number), ..valid.clone() })).await;
        match lane.receive().await {
            Message::Welcome(_) => assert!(number < 16, "a seventeenth lane"),
            Message::Reject(reject) => assert!(number == 16, "{number}: {reject:?}"),
            other => panic!("{other:?}"),
        }
        while number < 16 && !matches!(lane.receive().await, Message::EndOfSync) {}
        held.push(lane);
    }
    site.assert_undisturbed().await;
}

/// Sends raw bytes as the first message; returns the reason with which the node closes.
async fn close_reason(bytes: &[u8], end: bool) -> String {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut hostile = Hostile::connect(site.addr(), &key).await;
    hostile.send.write_all(bytes).await.unwrap();
    if end {
        hostile.send.finish().unwrap();
    }
    let (code, reason) = hostile.closed().await;
    assert_eq!(code, 1, "{reason}");
    log::expect_line(&["WARN", "no lane", &key.id().short(), &reason]).await;
    site.assert_undisturbed().await;
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_hello_closes_the_lane() {
    let bytes = Message::Hello(hello()).to_bytes();
    let reason = close_reason(&bytes[..bytes.len() - 1], true).await;
    assert!(reason.contains("control stream: ended early"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_lacks_fields_closes_the_lane_with_the_field() {
    let bytes = Message::Hello(hello()).to_bytes();
    // Type and length take a byte each.
    let mut short = BytesMut::from(&bytes[..bytes.len() - 2]);
    short[1] -= 2;
    let reason = close_reason(&short, false).await;
    assert!(reason.contains("bad Hello message: flow limit is truncated"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_closes_the_lane_before_it_is_read() {
    let mut head = BytesMut::new();
    put_varint(&mut head, 1);
    put_varint(&mut head, 1_000_000);
    let reason = close_reason(&head, false).await;
    assert!(reason.contains("control message of 1000000 bytes; at most 16384"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_an_unknown_type_closes_the_lane() {
    let mut head = BytesMut::new();
    put_varint(&mut head, 0x3f);
    put_varint(&mut head, 0);
    let reason = close_reason(&head, false).await;
    assert!(reason.contains("unknown control message type 0x3f"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_other_than_hello_closes_the_lane() {
    let reason = close_reason(&Message::EndOfSync.to_bytes(), false).await;
    assert!(reason.contains("message where Hello was due"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_after_the_end_of_a_hello_close_the_lane() {
    let mut long = BytesMut::from(&Message::Hello(hello()).to_bytes()[..]);
    long[1] += 1;
    long.put_u8(0);
    let reason = close_reason(&long, false).await;
    assert!(reason.contains("1 bytes follow the end of Hello"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_hello_is_closed_after_a_timeout() {
    let reason = close_reason(&[], false).await;
    assert!(reason.contains("no Hello within 5s"), "{reason}");
}
