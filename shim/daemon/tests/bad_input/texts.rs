//! Texts that peers and unknown peers choose: none forges a line, controls a terminal, or silences others.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use quinn::VarInt;
use throughline::{EventKind, LaneId, Target};
use throughline_proto::wire::ALPN;
use throughline_proto::wire::control::Message;

use crate::bystander::Site;
use crate::hostile::{self, Hostile, Key};
use crate::log;

/// Text that does all that a text must not.
const FORGED: &str = "bye\r\n2026-01-01 WARN forged-line\u{1b}[2J\u{7}\u{9b}\u{202e}";

fn assert_printable(text: &str) {
    let bad = |c: char| c.is_control() || c == '\u{202e}';
    assert!(!text.contains(bad), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_a_peer_gives_for_its_end_cannot_forge_a_line() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let lane = Hostile::admitted(site.addr(), &key).await;
    lane.connection.close(VarInt::from_u32(9), FORGED.as_bytes());
    let short = key.id().short();
    log::expect_line(&["lane down", &short, "forged-line"]).await;
    let mut session = Hostile::admitted(site.addr(), &key).await;
    let close = Message::Close { code: 1, detail: FORGED.to_owned() };
    session.send_message(&close).await;
    log::expect_line(&["session over", &short, "forged-line"]).await;
    assert!(!log::text().lines().any(|line| line.starts_with("2026-01-01 WARN forged")));
    for event in site.node.events().recent {
        assert_printable(&event.kind.to_string());
        event.kind.fields().for_each(|(_, value)| assert_printable(&value.to_string()));
    }
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_peer_that_gives_a_thousand_reasons_silences_nobody() {
    let (loud, quiet) = (Key::new(), Key::new());
    let site = Site::new(&[loud.id(), quiet.id()]).await;
    for code in 0..300u64 {
        let mut hostile = Hostile::connect(site.addr(), &loud).await;
        // A message of an unknown kind: another error text each time.
        let mut message = BytesMut::new();
        message.put_u16(0x4000 | 0x20);
        message.put_u16(0x7fff - code as u16);
        let _ = hostile.send.write_all(&message).await;
        hostile.connection.close(VarInt::from_u32(code as u32), FORGED.as_bytes());
    }
    // A refusal that somebody has to mend: of another peer, and of an unknown peer.
    let mut refused = hostile::hello();
    refused.version = 0;
    let mut other = Hostile::connect(site.addr(), &quiet).await;
    other.send_message(&Message::Hello(refused)).await;
    log::expect_line(&["WARN", "no lane", &quiet.id().short(), "protocol version"]).await;
    let _ = hostile::dial(site.addr(), None, ALPN).await;
    log::expect_line(&["WARN", "no lane", "peer sent no certificates"]).await;
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_lanes_come_and_go_fills_neither_the_log_nor_the_events() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let session = hostile::hello().session;
    for lane in 0..200 {
        let mut hostile = Hostile::connect(site.addr(), &key).await;
        let hello = throughline_proto::wire::hello::Hello {
            session,
            lane: LaneId(lane),
            ..hostile::hello()
        };
        hostile.send_message(&Message::Hello(hello)).await;
        assert!(matches!(hostile.receive().await, Message::Welcome(_)));
        hostile.connection.close(VarInt::from_u32(0), b"again");
    }
    let name = format!("guest-{}", key.id().short());
    let events = site.node.events().recent;
    let of_peer = |e: &&std::sync::Arc<throughline::Event>| {
        e.peer.as_ref().is_some_and(|peer| peer.as_str() == name)
    };
    let count = events.iter().filter(of_peer).count();
    assert!(count < 400, "{count} events of one peer");
    let notice = |e: &std::sync::Arc<throughline::Event>| {
        matches!(e.kind, EventKind::EventsSuppressed { .. })
    };
    assert!(events.iter().any(notice), "nothing says that events are left out");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let lines = log::text().lines().filter(|line| line.contains(&name)).count();
    assert!(lines < 450, "{lines} lines of one peer");
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_name_would_control_a_terminal_cannot_be_asked_for() {
    let site = Site::new(&[]).await;
    let target = Target::service(FORGED);
    let error = site.bystander_connects(target).await.unwrap_err();
    assert!(error.to_string().contains("cannot be sent"), "{error}");
    site.assert_undisturbed().await;
}
