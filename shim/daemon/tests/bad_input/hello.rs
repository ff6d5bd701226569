//! The first message of a lane, spoilt.

use bytes::{BufMut, BytesMut};
use throughline::LaneId;
use throughline_proto::wire::VERSION;
use throughline_proto::wire::codec::put_varint;
use throughline_proto::wire::control::Message;
use throughline_proto::wire::hello::{Hello, Intent, Reject, RejectCode};

use crate::bystander::Site;
use crate::hostile::{Hostile, Key, hello};
use crate::log;

/// Says one `Hello` that is to be rejected.
async fn rejected(spoilt: Hello) -> (Site, Key, Reject) {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut hostile = Hostile::connect(site.addr(), &key).await;
    hostile.say(&Message::Hello(spoilt)).await;
    let Message::Reject(reject) = hostile.hears().await else { panic!("not rejected") };
    (site, key, reject)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_version_that_is_too_old_is_rejected_with_the_lowest_one() {
    let (site, key, reject) = rejected(Hello { version: 0, ..hello() }).await;
    assert_eq!(reject.code, RejectCode::Version);
    assert!(reject.detail.contains("version 1 is the lowest"), "{}", reject.detail);
    log::says(&["WARN", &key.id().short(), "version 1 is the lowest"]).await;
    site.goes_on_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_protocol_version_is_answered_with_ours() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut hostile = Hostile::connect(site.addr(), &key).await;
    hostile.say(&Message::Hello(Hello { version: 77, ..hello() })).await;
    let Message::Welcome(welcome) = hostile.hears().await else { panic!("not welcome") };
    assert_eq!(welcome.version, VERSION);
    site.goes_on_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resumption_of_an_unknown_session_is_answered_and_not_swallowed() {
    let (site, key, reject) = rejected(Hello { intent: Intent::Resume, ..hello() }).await;
    assert_eq!(reject.code, RejectCode::UnknownSession);
    assert!(reject.detail.contains("session not known here"), "{}", reject.detail);
    log::says(&[&key.id().short(), "session not known here"]).await;
    site.goes_on_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_number_that_is_used_twice_is_rejected() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let spoken = hello();
    let mut first = Hostile::connect(site.addr(), &key).await;
    first.say(&Message::Hello(spoken.clone())).await;
    assert!(matches!(first.hears().await, Message::Welcome(_)));
    // It is attached when it is stated to.
    while !matches!(first.hears().await, Message::EndOfSync) {}
    let mut second = Hostile::connect(site.addr(), &key).await;
    second.say(&Message::Hello(spoken)).await;
    let Message::Reject(reject) = second.hears().await else { panic!("not rejected") };
    assert_eq!(reject.code, RejectCode::Limit);
    log::says(&["WARN", &key.id().short(), "lane number used twice"]).await;
    site.goes_on_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_lanes_and_sessions_than_allowed_are_rejected() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut held = Vec::new();
    for expected in [true, true, true, true, false] {
        let mut lane = Hostile::connect(site.addr(), &key).await;
        lane.say(&Message::Hello(hello())).await;
        match lane.hears().await {
            Message::Welcome(_) => assert!(expected, "a fifth session"),
            Message::Reject(reject) => {
                assert!(!expected && reject.code == RejectCode::Limit, "{reject:?}");
            }
            other => panic!("{other:?}"),
        }
        held.push(lane);
    }
    drop(held);
    let spoken = hello();
    let mut held = Vec::new();
    let key = Key::new();
    site.goes_on_undisturbed().await;
    let site = Site::new(&[key.id()]).await;
    for number in 0..17 {
        let mut lane = Hostile::connect(site.addr(), &key).await;
        lane.say(&Message::Hello(Hello { lane: LaneId(number), ..spoken.clone() })).await;
        match lane.hears().await {
            Message::Welcome(_) => assert!(number < 16, "a seventeenth lane"),
            Message::Reject(reject) => assert!(number == 16, "{number}: {reject:?}"),
            other => panic!("{other:?}"),
        }
        while number < 16 && !matches!(lane.hears().await, Message::EndOfSync) {}
        held.push(lane);
    }
    site.goes_on_undisturbed().await;
}

/// Sends raw bytes as the first message; the words the connection is closed with.
async fn closed_over(bytes: &[u8], end: bool) -> String {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut hostile = Hostile::connect(site.addr(), &key).await;
    hostile.send.write_all(bytes).await.unwrap();
    if end {
        hostile.send.finish().unwrap();
    }
    let (code, reason) = hostile.is_closed().await;
    assert_eq!(code, 1, "{reason}");
    log::says(&["WARN", "no lane", &key.id().short(), &reason]).await;
    site.goes_on_undisturbed().await;
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_ends_in_its_middle_is_told() {
    let bytes = Message::Hello(hello()).to_bytes();
    let reason = closed_over(&bytes[..bytes.len() - 1], true).await;
    assert!(reason.contains("control stream: ended early"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_lacks_fields_is_told_with_the_field() {
    let bytes = Message::Hello(hello()).to_bytes();
    // Type and length take a byte each.
    let mut short = BytesMut::from(&bytes[..bytes.len() - 2]);
    short[1] -= 2;
    let reason = closed_over(&short, false).await;
    assert!(reason.contains("bad Hello message: flow limit is truncated"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_is_told_with_its_length_before_it_comes() {
    let mut head = BytesMut::new();
    put_varint(&mut head, 1);
    put_varint(&mut head, 1_000_000);
    let reason = closed_over(&head, false).await;
    assert!(reason.contains("control message of 1000000 bytes; at most 16384"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_an_unknown_type_is_told() {
    let mut head = BytesMut::new();
    put_varint(&mut head, 0x3f);
    put_varint(&mut head, 0);
    let reason = closed_over(&head, false).await;
    assert!(reason.contains("unknown control message type 0x3f"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_that_is_no_hello_is_told() {
    let reason = closed_over(&Message::EndOfSync.to_bytes(), false).await;
    assert!(reason.contains("message where Hello was due"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_the_end_of_a_hello_are_told() {
    let mut long = BytesMut::from(&Message::Hello(hello()).to_bytes()[..]);
    long[1] += 1;
    long.put_u8(0);
    let reason = closed_over(&long, false).await;
    assert!(reason.contains("1 bytes follow the end of Hello"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed_after_a_while() {
    let reason = closed_over(&[], false).await;
    assert!(reason.contains("no Hello within 5s"), "{reason}");
}
