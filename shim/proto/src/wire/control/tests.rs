use std::time::Duration;

use super::*;
use crate::types::{FailureCode, LaneId, Mode, OpenFailure, SessionId};
use crate::wire::fact::{Open, Outcome, ResetAt, Suspicion};
use crate::wire::hello::{Intent, RejectCode, SessionParams};

fn every_message() -> Vec<Message> {
    let params =
        SessionParams { linger: Duration::from_secs(60), initial_window: 1 << 20, max_flows: 9 };
    let state = FlowState {
        flow: FlowId(4),
        version: 3,
        received: vec![0..10, 20..30, 1 << 40..(1 << 40) + 1],
        max_offset: 1 << 30,
        final_size: None,
        open: None,
        outcome: None,
        reset: None,
    };
    let full = FlowState {
        received: vec![5..6, 9..12],
        final_size: Some(0),
        open: Some(Open { target: "[::1]:80".parse().unwrap(), mode: Mode::Redundant }),
        outcome: Some(Outcome::Failed(OpenFailure::new(FailureCode::NotAllowed, "no rule"))),
        reset: Some(ResetAt { code: 7, at: 99 }),
        ..state.clone()
    };
    vec![
        Message::Hello(Hello {
            version: 1,
            session: SessionId(u128::MAX - 5),
            intent: Intent::Resume,
            generation: 2,
            instance: 0x0123_4567_89ab_cdef,
            lane: LaneId(77),
            params,
        }),
        Message::Welcome(Welcome { version: 1, params }),
        Message::Reject(Reject { code: RejectCode::Stale, detail: "old".into() }),
        Message::FlowState(state.clone()),
        Message::FlowState(FlowState { outcome: Some(Outcome::Opened), ..state }),
        Message::FlowState(full),
        Message::FactAck(vec![(FlowId(1), 2), (FlowId(300), 70_000)]),
        Message::EndOfSync,
        Message::Locators(Locators {
            generation: 1,
            list: vec!["192.0.2.1:5443".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()],
        }),
        Message::LaneUse(LaneUse { lane: LaneId(1), version: 2, cost: 200, draining: true }),
        Message::LaneHealth(LaneHealth {
            lane: LaneId(1),
            version: 5,
            suspicion: Suspicion::Suspected,
        }),
        Message::LaneHealth(LaneHealth {
            lane: LaneId(1),
            version: 6,
            suspicion: Suspicion::OneWay,
        }),
        Message::LaneHealth(LaneHealth { lane: LaneId(1), version: 7, suspicion: Suspicion::None }),
        Message::Close { code: 0, detail: "shutting down".into() },
    ]
}

#[test]
fn messages_survive_the_wire_however_the_stream_is_split() {
    let messages = every_message();
    let mut stream = BytesMut::new();
    messages.iter().for_each(|m| m.encode(&mut stream));
    for step in [1, 3, 7, stream.len()] {
        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        for chunk in stream.chunks(step) {
            decoder.push(chunk);
            while let Some(message) = decoder.next_message().unwrap() {
                got.push(message);
            }
        }
        assert_eq!(got, messages);
    }
}

#[test]
fn a_truncated_body_is_an_error_that_names_the_message() {
    for message in every_message() {
        let bytes = message.to_bytes();
        let mut rest = &bytes[..];
        let kind = get_varint(&mut rest, "").unwrap();
        get_varint(&mut rest, "").unwrap();
        for end in 0..rest.len() {
            let error = decode(kind, &rest[..end]).unwrap_err();
            assert!(matches!(error, ControlError::Decode(..)), "{message:?} at {end}: {error}");
        }
        let mut longer = rest.to_vec();
        longer.push(0);
        let error = decode(kind, &longer).unwrap_err();
        assert!(matches!(error, ControlError::Decode(_, DecodeError::Trailing(..))));
    }
}

#[test]
fn random_bytes_never_panic_and_never_grow_the_decoder_past_a_message() {
    use rand::{Rng, SeedableRng};
    let mut rng = rand::rngs::SmallRng::seed_from_u64(1);
    for _ in 0..20_000 {
        let mut body = vec![0; rng.random_range(0..80)];
        rng.fill(&mut body[..]);
        for kind in 0..0x0c {
            let _ = decode(kind, &body);
        }
        let mut decoder = Decoder::default();
        decoder.push(&body);
        while let Ok(Some(_)) = decoder.next_message() {}
    }
}

#[test]
fn an_oversized_message_is_refused_before_it_is_buffered() {
    let mut head = BytesMut::new();
    put_varint(&mut head, 4);
    put_varint(&mut head, MAX_BODY as u64 + 1);
    let mut decoder = Decoder::default();
    decoder.push(&head);
    assert_eq!(decoder.next_message(), Err(ControlError::TooLong(MAX_BODY as u64 + 1)));
}

#[test]
fn optional_types_are_skipped_and_required_ones_refused() {
    let mut stream = BytesMut::new();
    put_varint(&mut stream, 0x40);
    put_varint(&mut stream, 3);
    stream.put_slice(b"new");
    Message::EndOfSync.encode(&mut stream);
    put_varint(&mut stream, 0x3f);
    put_varint(&mut stream, 0);
    let mut decoder = Decoder::default();
    decoder.push(&stream);
    assert_eq!(decoder.next_message(), Ok(Some(Message::EndOfSync)));
    assert_eq!(decoder.next_message(), Err(ControlError::UnknownType(0x3f)));
}
