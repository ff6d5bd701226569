//! `docs/PROTOCOL.md` says what the code does: its examples decode, its numbers are the code's.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use throughline_proto::hold_down::HoldState;
use throughline_proto::selection::{Cost, CostRange};
use throughline_proto::types::{Ecn, FlowId, LaneId, Mode, SessionId, Target, TrafficClass};
use throughline_proto::wire::control::{Decoder, MAX_BODY, MAX_FACT_ACKS, Message};
use throughline_proto::wire::datagram::Datagram;
use throughline_proto::wire::fact::{
    FlowState, LaneHealth, LaneUse, Locators, MAX_LOCATORS, MAX_RANGES, Open, Outcome, ResetAt,
    Suspicion,
};
use throughline_proto::wire::flow_datagram::FlowDatagram;
use throughline_proto::wire::hello::{Hello, Intent, Reject, RejectCode, SessionParams, Welcome};
use throughline_proto::wire::long_datagram::{LongDatagramHeader, MAX_DATAGRAM};
use throughline_proto::wire::segment::{MAX_HEADER, MAX_SEGMENT, SegmentHeader};
use throughline_proto::wire::{ALPN, VERSION};

const DOCUMENT: &str = include_str!("../../../docs/PROTOCOL.md");

/// The examples: blocks fenced as `hex NAME`; on each line bytes, then `;` and a remark.
fn examples() -> HashMap<&'static str, Vec<u8>> {
    let blocks = DOCUMENT.split("```hex ").skip(1);
    let parse = |block: &'static str| {
        let (name, rest) = block.split_once('\n').unwrap();
        let digits: String = rest
            .split("```")
            .next()
            .unwrap()
            .lines()
            .flat_map(|line| line.split(';').next().unwrap().split_whitespace())
            .collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (name.trim(), (0..digits.len()).step_by(2).map(byte).collect())
    };
    blocks.map(parse).collect()
}

fn params() -> SessionParams {
    SessionParams { linger: Duration::from_secs(43_200), initial_window: 262_144, max_flows: 1024 }
}

fn hello() -> Message {
    Message::Hello(Hello {
        version: VERSION,
        session: SessionId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        intent: Intent::Create,
        generation: 0,
        instance: 0x0123_4567_89ab_cdef,
        lane: LaneId(1),
        params: params(),
    })
}

fn flow_state() -> FlowState {
    FlowState {
        flow: FlowId(6),
        version: 3,
        received: vec![0..1000, 1200..1500],
        max_offset: 262_144,
        final_size: Some(70_000),
        open: None,
        outcome: Some(Outcome::Opened),
        reset: None,
    }
}

fn lane_use() -> LaneUse {
    LaneUse {
        lane: LaneId(3),
        version: 2,
        cost: Cost::of_lane(1, false, HoldState::HeldDown).to_wire(),
        draining: false,
    }
}

fn locators() -> Locators {
    let list = ["192.0.2.1:5443", "[2001:db8::1]:5443"].map(|l| l.parse().unwrap()).to_vec();
    Locators { generation: 1, list }
}

fn segment() -> SegmentHeader {
    let target = "db.internal:5432".parse::<Target>().unwrap();
    let open = Some(Open { target, mode: Mode::Auto });
    SegmentHeader { flow: FlowId(6), offset: 0, resent: false, open }
}

#[test]
fn the_examples_decode_to_what_the_document_says_and_encode_to_the_same_bytes() {
    let examples = examples();
    for (name, message) in [
        ("Hello", hello()),
        ("FlowState", Message::FlowState(flow_state())),
        ("LaneUse", Message::LaneUse(lane_use())),
        ("Locators", Message::Locators(locators())),
    ] {
        let bytes = &examples[name];
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        assert_eq!(decoder.next_message().unwrap(), Some(message.clone()), "{name}");
        assert_eq!(message.to_bytes(), bytes, "{name}");
    }
    let bytes = &examples["Segment"];
    let mut rest = &bytes[..];
    assert_eq!(SegmentHeader::decode(&mut rest), Ok(segment()));
    assert_eq!(rest, b"hello");
    assert_eq!([&segment().to_bytes()[..], rest].concat(), *bytes);
    assert_eq!(Datagram::decode(&examples["Ping"]), Ok(Some(Datagram::Ping { seq: 300 })));
    assert_eq!(Datagram::Ping { seq: 300 }.to_bytes(8), examples["Ping"]);
    let notice = Datagram::Notice { narrow: true };
    assert_eq!(Datagram::decode(&examples["Notice"]), Ok(Some(notice)));
    assert_eq!(notice.to_bytes(0), examples["Notice"]);
    let pong = Datagram::Pong { seq: 300, received: 2_500_000 };
    assert_eq!(Datagram::decode(&examples["Pong"]), Ok(Some(pong)));
    assert_eq!(pong.to_bytes(0), examples["Pong"]);
    let open = Open { target: "192.0.2.1:53/udp".parse().unwrap(), mode: Mode::Auto };
    let payload = Bytes::from_static(b"hello");
    let (flow, class) = (FlowId(6), TrafficClass::DEFAULT);
    let datagram = FlowDatagram { flow, seq: 300, open: Some(open), class, payload };
    let bytes = Bytes::from(examples["FlowDatagram"].clone());
    assert_eq!(FlowDatagram::decode(&bytes), Ok(Some(datagram.clone())));
    assert_eq!(datagram.to_bytes(), bytes);
    let bytes = &examples["LongDatagram"];
    let header = LongDatagramHeader { flow, seq: 301, open: None, class };
    let mut rest = &bytes[..];
    assert_eq!(LongDatagramHeader::decode(&mut rest), Ok(header.clone()));
    assert_eq!(rest, b"hello");
    assert_eq!([&header.to_bytes()[..], rest].concat(), *bytes);
    let class = TrafficClass::new(46, Ecn::Ect1);
    let datagram = FlowDatagram { seq: 302, open: None, class, ..datagram };
    let bytes = Bytes::from(examples["ClassedDatagram"].clone());
    assert_eq!(FlowDatagram::decode(&bytes), Ok(Some(datagram.clone())));
    assert_eq!(datagram.to_bytes(), bytes);
    assert_eq!(examples.len(), 11, "an example is not checked");
}

#[test]
fn the_table_of_message_types_is_that_of_the_code() {
    let (lane, version) = (LaneId(0), 1);
    for (name, message) in [
        ("Hello", hello()),
        ("Welcome", Message::Welcome(Welcome { version: VERSION, params: params() })),
        ("Reject", Message::Reject(Reject { code: RejectCode::Stale, detail: String::new() })),
        ("FlowState", Message::FlowState(flow_state())),
        ("FactAck", Message::FactAck(vec![])),
        ("EndOfSync", Message::EndOfSync),
        ("Locators", Message::Locators(Locators { generation: 1, list: vec![] })),
        ("LaneUse", Message::LaneUse(LaneUse { lane, version, cost: 0, draining: false })),
        (
            "LaneHealth",
            Message::LaneHealth(LaneHealth { lane, version, suspicion: Suspicion::Suspected }),
        ),
        ("Close", Message::Close { code: 0, detail: String::new() }),
    ] {
        let row = format!("| `0x{:02x}` | `{name}` |", message.to_bytes()[0]);
        assert!(DOCUMENT.contains(&row), "no row {row}");
    }
}

#[test]
fn the_ranges_of_cost_are_those_of_the_code() {
    use CostRange::{HeldDown, Overflow, Preferred, ThinFlows, WaitToRestore};
    let bounds = |is_in: &dyn Fn(CostRange) -> bool| {
        let mut costs = (0..=u8::MAX).filter(|cost| is_in(Cost::from_wire(*cost).range()));
        (costs.next().unwrap(), costs.next_back().unwrap())
    };
    let has_row = |before: &str, (from, to): (u8, u8)| {
        let row = format!("| {before}{from}–{to} |");
        assert!(DOCUMENT.contains(&row), "no row {row}");
    };
    for range in [Preferred, WaitToRestore, HeldDown] {
        has_row("", bounds(&|of| of == range));
    }
    // All that costs money, and what is more than that.
    has_row("", bounds(&|of| of > HeldDown));
    has_row("… of these ", bounds(&|of| of == Overflow));
    has_row("… and ", bounds(&|of| of == ThinFlows));
    let of_metered = |order, trust| Cost::of_lane(order, true, trust).to_wire();
    let (least, most) =
        (of_metered(0, HoldState::Normal), of_metered(u32::MAX, HoldState::HeldDown));
    assert!(DOCUMENT.contains(&format!("We advertise {least}–{most}")), "{least}–{most}");
}

#[test]
fn the_bounds_are_those_of_the_code() {
    for (what, bound) in [
        ("body of a control message", MAX_BODY as u64),
        ("entries of a `FactAck`", MAX_FACT_ACKS as u64),
        ("ranges in a `FlowState`", MAX_RANGES as u64),
        ("entries of `Locators`", MAX_LOCATORS as u64),
        ("payload of a segment", MAX_SEGMENT),
        ("header of a segment", MAX_HEADER as u64),
        ("payload of a datagram", MAX_DATAGRAM as u64),
        (
            "datagrams below the highest whose arrival is remembered, per flow and direction",
            throughline_proto::datagram::REPLAY_WINDOW,
        ),
        (
            "unseen flow ids below the highest",
            throughline_proto::session::peer_ids::MAX_UNSEEN as u64,
        ),
    ] {
        let row = format!("| {what} | {bound} |");
        assert!(DOCUMENT.contains(&row), "no row {row}");
    }
    assert!(DOCUMENT.contains(&format!("`{}`", String::from_utf8_lossy(ALPN))));
}

#[test]
fn a_reset_follows_an_outcome_as_the_document_orders_them() {
    // The document's order of the optional fields, seen in the bytes: a code, then an offset.
    let state = FlowState { reset: Some(ResetAt { code: 7, at: 9 }), ..flow_state() };
    let mut bytes = BytesMut::new();
    Message::FlowState(state).encode(&mut bytes);
    assert_eq!(bytes[bytes.len() - 3..], [0, 7, 9]);
}
