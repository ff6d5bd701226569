//! Tests of datagram flows beside lanes that come, go and drain, and beside a peer that means ill.

use super::datagrams::VOICE;
use super::*;
use crate::types::{FailureCode, OpenFailure};
use crate::wire::control::Message;
use crate::wire::fact::{FlowState, LaneUse, ResetAt};

/// How often lanes are drained and used again.
const FLIPS: u64 = 500;

#[test]
fn a_flow_is_once_in_the_queue_of_a_lane_however_often_it_leaves_and_returns() {
    let mut pair = Pair::new(2);
    let id = pair.joined_datagrams(Mode::Single);
    // Nothing is written on either: both windows are full.
    for number in 0..FLIPS {
        pair.ends[A].send_datagram(pair.now, id, Bytes::from(vec![0; VOICE])).unwrap();
        for (lane, draining) in [(L1, number % 2 == 0), (L2, number % 2 == 1)] {
            let usage = LaneUse { lane, version: number + 100, cost: 0, draining };
            pair.ends[A].handle_control(pair.now, L1, Message::LaneUse(usage)).unwrap();
        }
        // Advertisements are taken a hundred times a second.
        pair.now += ms(20);
        pair.ends[A].handle_timeout(pair.now);
    }
    let queued = [L1, L2].map(|lane| {
        let outbox = &mut pair.ends[A].lanes.get_mut(&lane).unwrap().outbox;
        outbox.queue(WorkClass::Datagrams).flows.len()
    });
    assert_eq!(queued, [1, 1], "both were used");
}

#[test]
fn a_lane_that_comes_beside_another_does_not_begin_the_idle_time_anew() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    let idle = pair.ends[A].flow(id).unwrap().datagrams.as_ref().unwrap().idle_timeout;
    for _ in 0..4 {
        pair.now += idle / 4;
        pair.attach(L2);
        pair.run();
        pair.detach(L2);
        pair.ends.iter_mut().for_each(|end| end.handle_timeout(pair.now));
        pair.run();
    }
    pair.pass(ms(1000));
    assert_eq!(pair.ends[A].receive_datagram(id), Err(DatagramError::Idle));
}

#[test]
fn who_waits_for_the_answer_learns_that_the_flow_was_idle_for_too_long() {
    let mut pair = Pair::new(1);
    let id = pair.open_datagrams(Mode::Auto);
    pair.run();
    assert_eq!(pair.ends[A].outcome(id), None);
    let idle = pair.ends[A].flow(id).unwrap().datagrams.as_ref().unwrap().idle_timeout;
    pair.now += idle;
    pair.ends[A].handle_timeout(pair.now);
    assert_eq!(pair.ends[A].outcome(id), Some(Err(FlowError::ResetHere)));
}

#[test]
fn what_a_refused_flow_had_received_is_dropped() {
    let mut pair = Pair::new(1);
    let id = pair.open_datagrams(Mode::Auto);
    pair.ends[A].send_datagram(pair.now, id, Bytes::from(vec![0; VOICE])).unwrap();
    pair.run();
    pair.ends[B].refuse(pair.now, id, OpenFailure::new(FailureCode::NotAllowed, "no"));
    let received = pair.ends[B].flow(id).map(|flow| flow.datagrams.as_ref().unwrap().rx.bytes());
    assert!(received.is_none_or(|bytes| bytes == 0), "{received:?}");
}

#[test]
fn what_waits_is_gone_after_a_second_though_nobody_sends_or_takes_any_more() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    pair.detach(L1);
    pair.ends[A].send_datagram(pair.now, id, Bytes::from(vec![0; VOICE])).unwrap();
    assert!(pair.ends[A].buffered > 0);
    pair.now += crate::datagram::MAX_AGE;
    assert!(
        pair.ends[A].next_timeout().is_some_and(|at| at <= pair.now),
        "it comes back by itself"
    );
    pair.ends[A].handle_timeout(pair.now);
    assert_eq!(pair.ends[A].buffered, 0);
}

#[test]
fn a_reset_of_datagrams_after_bytes_is_a_violation() {
    let mut pair = Pair::new(1);
    let id = pair.joined_datagrams(Mode::Auto);
    let state = FlowState {
        flow: id,
        version: 99,
        received: vec![],
        max_offset: 0,
        final_size: None,
        open: None,
        outcome: None,
        reset: Some(ResetAt { code: 1, at: 1 }),
    };
    let handled = pair.ends[B].handle_control(pair.now, L1, Message::FlowState(state));
    assert_eq!(handled, Err(Violation::ResetAfterBytes(id, 1)));
}
