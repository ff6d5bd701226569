//! What is decoded from the network. What decodes is encoded and decoded again: the same comes out.

use std::time::Duration;

use bytes::Bytes;
use throughline_proto::types::{
    FailureCode, FlowId, LaneId, Mode, OpenFailure, SessionId, Target, TrafficClass,
};
use throughline_proto::wire::control::{Decoder, Message};
use throughline_proto::wire::datagram::Datagram;
use throughline_proto::wire::fact::{
    FlowState, LaneHealth, LaneUse, Locators, Open, Outcome, ResetAt, Suspicion,
};
use throughline_proto::wire::flow_datagram::FlowDatagram;
use throughline_proto::wire::hello::{Hello, Intent, Reject, RejectCode, SessionParams, Welcome};
use throughline_proto::wire::long_datagram::LongDatagramHeader;
use throughline_proto::wire::segment::{MAX_HEADER, SegmentHeader};

/// A control stream that comes in two parts.
pub(super) fn control(input: &[u8]) {
    let Some((cut, stream)) = input.split_first() else { return };
    let (first, second) = stream.split_at(stream.len() * usize::from(*cut) / 256);
    let mut decoder = Decoder::default();
    for part in [first, second] {
        decoder.push(part);
        while let Ok(Some(message)) = decoder.next_message() {
            again(&message);
        }
    }
}

/// One message of the type that the first byte names, correctly framed: mutations reach the body.
pub(super) fn message(input: &[u8]) {
    let Some((kind, body)) = input.split_first() else { return };
    let mut framed = vec![kind % 0x0b];
    // Two bytes hold every length that a control message may have.
    framed.extend((body.len() as u16 & 0x3fff | 0x4000).to_be_bytes());
    framed.extend(body);
    let mut decoder = Decoder::default();
    decoder.push(&framed);
    if let Ok(Some(message)) = decoder.next_message() {
        again(&message);
    }
}

fn again(message: &Message) {
    let mut decoder = Decoder::default();
    decoder.push(&message.to_bytes());
    assert_eq!(decoder.next_message(), Ok(Some(message.clone())));
    assert_eq!(decoder.next_message(), Ok(None));
}

pub(super) fn segment(input: &[u8]) {
    long_datagram(input);
    let mut rest = input;
    if let Ok(header) = SegmentHeader::decode(&mut rest) {
        assert!(input.len() - rest.len() <= MAX_HEADER);
        let bytes = header.to_bytes();
        assert_eq!(SegmentHeader::decode(&mut &bytes[..]), Ok(header));
        // A part of a header asks for more, whatever it is that is missing.
        for len in 0..bytes.len() {
            assert!(SegmentHeader::decode(&mut &bytes[..len]).is_err());
        }
    }
}

/// The header of a datagram that is a stream of its own.
fn long_datagram(input: &[u8]) {
    let mut rest = input;
    if let Ok(header) = LongDatagramHeader::decode(&mut rest) {
        assert!(input.len() - rest.len() <= MAX_HEADER);
        let bytes = header.to_bytes();
        assert_eq!(LongDatagramHeader::decode(&mut &bytes[..]), Ok(header));
        for len in 0..bytes.len() {
            LongDatagramHeader::decode(&mut &bytes[..len]).unwrap_err();
        }
    }
}

pub(super) fn datagram(input: &[u8]) {
    if let Ok(Some(datagram)) = FlowDatagram::decode(&Bytes::copy_from_slice(input)) {
        assert_eq!(FlowDatagram::decode(&datagram.to_bytes()), Ok(Some(datagram)));
    }
    if let Ok(Some(datagram)) = Datagram::decode(input) {
        let padded = datagram.to_bytes(input.len());
        assert!(padded.len() >= input.len().min(2));
        assert_eq!(Datagram::decode(&padded), Ok(Some(datagram)));
    }
}

/// A message of each type, with everything in it.
pub(super) fn messages() -> Vec<Message> {
    let params =
        SessionParams { linger: Duration::from_secs(60), initial_window: 1 << 18, max_flows: 100 };
    let hello = Hello {
        version: 1,
        session: SessionId(7),
        intent: Intent::Create,
        generation: 3,
        instance: 0x0123_4567_89ab_cdef,
        lane: LaneId(2),
        params,
    };
    let state = FlowState {
        flow: FlowId(4),
        version: 9,
        received: vec![10..20, 30..4_000_000],
        max_offset: 1 << 20,
        final_size: Some(5_000_000),
        open: Some(open()),
        outcome: Some(Outcome::Failed(OpenFailure::new(FailureCode::Other, "why not"))),
        reset: Some(ResetAt { code: 1, at: 40 }),
    };
    vec![
        Message::Hello(hello),
        Message::Welcome(Welcome { version: 1, params }),
        Message::Reject(Reject { code: RejectCode::Limit, detail: "full".into() }),
        Message::FlowState(state),
        Message::FactAck(vec![(FlowId(1), 2), (FlowId(1 << 40), 70_000)]),
        Message::EndOfSync,
        Message::Locators(Locators {
            generation: 1,
            list: ["192.0.2.1:443", "[2001:db8::1]:443", "a.example:443"]
                .map(|text| text.parse().expect("a locator"))
                .into(),
        }),
        Message::LaneUse(LaneUse { lane: LaneId(1), version: 2, cost: 130, draining: true }),
        Message::LaneHealth(LaneHealth {
            lane: LaneId(1),
            version: 2,
            suspicion: Suspicion::Suspected,
        }),
        Message::Close { code: 0, detail: "over".into() },
    ]
}

/// The open of a flow to a service.
pub(super) fn open() -> Open {
    Open { target: Target::service("x"), mode: Mode::Auto }
}

pub(super) fn open_datagrams() -> Open {
    Open { target: Target::datagram_service("x"), mode: Mode::Auto }
}

pub(super) fn control_seeds() -> Vec<Vec<u8>> {
    let encoded: Vec<Bytes> = messages().iter().map(Message::to_bytes).collect();
    let each = encoded.iter().map(|bytes| [&[128], &bytes[..]].concat());
    each.chain([[vec![99], encoded.concat()].concat()]).collect()
}

pub(super) fn message_seeds() -> Vec<Vec<u8>> {
    // Type and body, without the length, which has one byte here or two.
    let short = |bytes: &Bytes| {
        let head = if bytes[1] < 64 { 2 } else { 3 };
        [&bytes[..1], &bytes[head..]].concat()
    };
    messages().iter().map(|message| short(&message.to_bytes())).collect()
}

pub(super) fn segment_seeds() -> Vec<Vec<u8>> {
    let targets = ["192.0.2.1:22", "[2001:db8::1]:22", "a.example:22"];
    let targets = targets.map(|text| text.parse().expect("a target"));
    let opens = targets.into_iter().map(|target| Some(Open { target, mode: Mode::Bond }));
    let headers = opens.chain([None, Some(open())]).map(|open| SegmentHeader {
        flow: FlowId(70),
        offset: 1 << 33,
        resent: true,
        open,
    });
    let mut seeds: Vec<_> = headers.map(|header| header.to_bytes().to_vec()).collect();
    for (open, class) in
        [(None, 0), (Some(open_datagrams()), 0), (None, 1), (Some(open_datagrams()), 0xb9)]
    {
        let class = TrafficClass::from_byte(class);
        let header = LongDatagramHeader { flow: FlowId(6), seq: 70_000, open, class };
        seeds.push(header.to_bytes().to_vec());
    }
    seeds
}

pub(super) fn datagram_seeds() -> Vec<Vec<u8>> {
    let datagrams = [Datagram::Ping { seq: 70 }, Datagram::Pong { seq: 70, received: 1 << 40 }];
    let mut seeds: Vec<_> = datagrams.map(|datagram| datagram.to_bytes(60).to_vec()).into();
    for (open, class) in
        [(None, 0), (Some(open_datagrams()), 0), (None, 1), (Some(open_datagrams()), 0xb9)]
    {
        let (class, payload) = (TrafficClass::from_byte(class), Bytes::from_static(b"voice"));
        let datagram = FlowDatagram { flow: FlowId(6), seq: 70_000, open, class, payload };
        seeds.push(datagram.to_bytes().to_vec());
    }
    seeds
}
