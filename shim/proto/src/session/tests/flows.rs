//! Tests of what applications see of opens, ends and resets.

use super::*;
use crate::types::{FailureCode, OpenFailure};

#[test]
fn an_open_that_arrives_twice_creates_one_flow() {
    let mut pair = Pair::new(2);
    let id = pair.open(A, Mode::Redundant);
    pair.write(A, id, 10);
    pair.run();
    // Facts on both lanes and a segment on each carried the open.
    assert_eq!(pair.count(B, &SessionEvent::Incoming(id)), 1);
    let header = SegmentHeader { flow: id, offset: 0, resent: true, open: Some(open(Mode::Auto)) };
    pair.ends[B].handle_segment(pair.now, &header).unwrap();
    pair.run();
    assert_eq!(pair.count(B, &SessionEvent::Incoming(id)), 1);
    assert_eq!(pair.read(B, id), (10, Ok(Read::Pending)));
}

#[test]
fn a_finished_id_never_opens_again() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.drop_both(A, id);
    pair.run();
    pair.drop_both(B, id);
    pair.assert_empty();
    let header = SegmentHeader { flow: id, offset: 0, resent: false, open: Some(open(Mode::Auto)) };
    assert_eq!(pair.ends[B].handle_segment(pair.now, &header), Ok(SegmentVerdict::Stop));
    pair.run();
    assert_eq!(pair.count(B, &SessionEvent::Incoming(id)), 1);
    assert_eq!(pair.ends[B].flows().count(), 0);
}

#[test]
fn half_close_in_both_orders() {
    for first in [A, B] {
        let mut pair = Pair::new(2);
        let id = pair.joined(A, Mode::Auto);
        let other = 1 - first;
        pair.write(first, id, 1000);
        pair.ends[first].finish(pair.now, id).unwrap();
        pair.pass(ms(20));
        assert_eq!(pair.read(other, id), (1000, Ok(Read::End)));
        // The other direction goes on.
        assert_eq!(pair.read(first, id), (0, Ok(Read::Pending)));
        pair.write(other, id, 70_000);
        pair.ends[other].finish(pair.now, id).unwrap();
        pair.pass(ms(20));
        assert_eq!(pair.read(first, id), (70_000, Ok(Read::End)));
        pair.drop_both(A, id);
        pair.drop_both(B, id);
        pair.run();
        assert_eq!(
            pair.count(A, &SessionEvent::Broken(id)) + pair.count(B, &SessionEvent::Broken(id)),
            0
        );
        pair.assert_empty();
    }
}

#[test]
fn a_write_is_acknowledged_when_the_peer_has_it_and_over_another_lane_if_need_be() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    assert_eq!(pair.ends[A].is_acknowledged(id, 0), Ok(true));
    pair.hold(L1);
    pair.hold(L2);
    pair.write(A, id, 50_000);
    assert_eq!(pair.ends[A].written(id), 50_000);
    assert_eq!(pair.ends[A].is_acknowledged(id, 50_000), Ok(false));
    pair.pass(ms(20));
    assert_eq!(pair.count(A, &SessionEvent::Acknowledged(id)), 0);
    pair.release(L2);
    pair.detach(L1);
    pair.pass(ms(200));
    assert!(pair.count(A, &SessionEvent::Acknowledged(id)) > 0);
    assert_eq!(pair.ends[A].is_acknowledged(id, 50_000), Ok(true));
}

#[test]
fn a_flow_that_fails_is_not_acknowledged() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.write(A, id, 100);
    assert_eq!(pair.ends[A].is_acknowledged(id, 100), Ok(false));
    pair.ends[A].reset(pair.now, id, 9);
    pair.run();
    assert_eq!(pair.count(A, &SessionEvent::Broken(id)), 1);
    assert_eq!(pair.ends[A].is_acknowledged(id, 100), Err(FlowError::ResetHere));
}

#[test]
fn a_reset_delivers_what_precedes_it() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.write(A, id, 50_000);
    pair.ends[A].reset(pair.now, id, 9);
    pair.drop_both(A, id);
    pair.release(L1);
    // The writing half sees the reset at once, and dropping it takes nothing from the reader.
    assert_eq!(pair.ends[B].capacity(id), Err(FlowError::ResetByPeer(9)));
    pair.ends[B].drop_writer(pair.now, id);
    assert_eq!(pair.read(B, id), (50_000, Err(FlowError::ResetByPeer(9))));
    pair.ends[B].drop_reader(pair.now, id);
    pair.assert_empty();
}

#[test]
fn a_peer_that_resets_far_ahead_does_not_keep_a_flow_that_nobody_holds() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    let mut state = pair.ends[A].flow(id).unwrap().state();
    state.version += 1;
    state.reset = Some(crate::wire::fact::ResetAt { code: 1, at: 90_000 });
    pair.ends[B].handle_control(pair.now, L1, Message::FlowState(state)).unwrap();
    pair.drop_both(B, id);
    pair.run();
    assert!(pair.ends[B].flow(id).is_none_or(|f| f.reset_out.is_some()));
}

#[test]
fn a_drop_after_the_last_byte_was_read_is_no_reset() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.ends[A].finish(pair.now, id).unwrap();
    pair.write(B, id, 10);
    pair.ends[B].finish(pair.now, id).unwrap();
    pair.pass(ms(20));
    // A takes the ten bytes and does not look for the end.
    assert_eq!(pair.ends[A].read_at_most(pair.now, id, 10).unwrap().unwrap().len(), 10);
    pair.drop_both(A, id);
    pair.run();
    assert_eq!(pair.count(B, &SessionEvent::Broken(id)), 0);
}

#[test]
fn a_refusal_arrives_with_its_reason() {
    let mut pair = Pair::new(1);
    let id = pair.open(A, Mode::Auto);
    pair.write(A, id, 100);
    pair.run();
    let failure = OpenFailure::new(FailureCode::NotAllowed, "no");
    pair.ends[B].refuse(pair.now, id, failure.clone());
    pair.run();
    assert_eq!(pair.ends[A].outcome(id), Some(Err(FlowError::Failed(failure.clone()))));
    assert_eq!(pair.read(A, id), (0, Err(FlowError::Failed(failure))));
    assert_eq!(pair.count(A, &SessionEvent::Answered(id)), 1);
    pair.drop_both(A, id);
    pair.assert_empty();
}

#[test]
fn a_slow_reader_closes_the_window_and_is_never_taken_for_loss() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Bond);
    assert_eq!(pair.write(A, id, 1 << 20), 100_000, "the initial window");
    pair.pass(Duration::from_secs(60));
    assert_eq!(pair.ends[A].capacity(id), Ok(0));
    assert_eq!(pair.ends[A].flow(id).unwrap().tx.buffer.retained(), 0, "all is received");
    assert!(pair.given.iter().all(|g| !g.resent));
    assert_eq!(pair.given_to(L1) + pair.given_to(L2), 100_000);
    assert_eq!(pair.read(B, id), (100_000, Ok(Read::Pending)));
    pair.run();
    assert_eq!(pair.count(A, &SessionEvent::Writable(id)), 1);
    assert!(pair.ends[A].capacity(id).unwrap() >= 100_000);
}

#[test]
fn an_application_does_not_write_far_ahead_of_the_lanes() {
    const MIB: u64 = 1 << 20;
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.ends[A].flows.get_mut(&id).unwrap().tx.max_offset = 16 * MIB;
    let write = |pair: &mut Pair| pair.write(A, id, 16 << 20) as u64;
    assert_eq!(write(&mut pair), MIB, "nothing is under way");
    assert_eq!(pair.ends[A].capacity(id), Ok(0));
    pair.hold(L1);
    pair.run();
    assert_eq!(pair.count(A, &SessionEvent::Writable(id)), 1, "once, not for each chunk");
    assert_eq!(write(&mut pair), 4 * MIB, "four times what is under way");
    assert_eq!(pair.ends[A].capacity(id), Ok(0));
    pair.run();
    assert_eq!(pair.count(A, &SessionEvent::Writable(id)), 2);
    assert_eq!(write(&mut pair), 11 * MIB, "what the peer's window leaves");
}

#[test]
fn an_application_that_waits_for_room_goes_on_although_memory_gets_scarce_meanwhile() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.ends[A].flows.get_mut(&id).unwrap().tx.max_offset = 16 << 20;
    let rx = &mut pair.ends[B].flows.get_mut(&id).unwrap().rx;
    rx.grow(16 << 20);
    assert!(rx.open_window());
    pair.write(A, id, 16 << 20);
    assert_eq!(pair.ends[A].capacity(id), Ok(0));
    // Others fill half of the memory.
    pair.memory[A].count_buffered(0, 1 << 29);
    pair.hold(L1);
    pair.run();
    assert_eq!(pair.count(A, &SessionEvent::Writable(id)), 0, "there is nothing for it");
    pair.release(L1);
    pair.pass(ms(20));
    assert_eq!(pair.count(A, &SessionEvent::Writable(id)), 1);
    assert_eq!(pair.ends[A].capacity(id), Ok(64 << 10), "what every flow may keep");
}

#[test]
fn a_window_that_grows_is_sent_even_if_all_bytes_were_acknowledged_before() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    for _ in 0..4 {
        // Each time the window is used up, acknowledged, then read in one go.
        let room = pair.ends[A].capacity(id).unwrap();
        assert!(room > 0, "the window was not sent");
        pair.write(A, id, room as usize);
        pair.pass(ms(20));
        assert_eq!(pair.read(B, id), (room, Ok(Read::Pending)));
        pair.pass(ms(20));
    }
    assert!(pair.ends[B].flow(id).unwrap().rx.window() > 100_000);
}

#[test]
fn close_ends_every_flow_with_its_reason() {
    let mut pair = Pair::new(2);
    let (ours, theirs) = (pair.joined(A, Mode::Auto), pair.joined(B, Mode::Auto));
    pair.write(A, ours, 5);
    pair.run();
    let reason = "x".repeat(300);
    pair.ends[A].close(0, &reason);
    pair.ends[A].close(0, "again");
    pair.run();
    for (side, id) in [(A, ours), (A, theirs), (B, ours), (B, theirs)] {
        assert_eq!(pair.count(side, &SessionEvent::Broken(id)), 1);
        let (read, end) = pair.read(side, id);
        assert_eq!(
            read,
            if (side, id) == (B, ours) { 5 } else { 0 },
            "received bytes are delivered"
        );
        assert!(matches!(end, Err(FlowError::Closed(_))), "{end:?}");
        assert!(matches!(pair.ends[side].check_broken(id), Err(FlowError::Closed(_))));
        pair.drop_both(side, id);
    }
    assert_eq!(
        (pair.count(A, &SessionEvent::Closed), pair.count(B, &SessionEvent::Closed)),
        (1, 1)
    );
    assert!(pair.ends[B].closed().unwrap().contains("xxx"));
    assert!(matches!(pair.ends[B].open(pair.now, open(Mode::Auto)), Err(OpenError::Closed(_))));
    pair.assert_empty();
}

#[test]
fn a_close_that_was_lost_is_sent_on_the_next_lane() {
    let mut pair = Pair::new(0);
    pair.ends[A].close(0, "bye");
    pair.attach(L1);
    pair.run();
    assert_eq!(pair.ends[B].closed(), Some("closed by the peer: bye"));
}

#[test]
fn a_session_that_is_dropped_gives_its_memory_back() {
    let mut pair = Pair::new(1);
    pair.joined(A, Mode::Auto);
    assert_eq!(pair.memory[A].used(), 100_000);
    let memory = pair.memory.clone();
    drop(pair);
    assert_eq!((memory[A].used(), memory[B].used()), (0, 0));
}

#[test]
fn a_target_that_the_peer_could_not_read_is_not_opened() {
    let mut pair = Pair::new(1);
    for target in [
        Target::service("x".repeat(256)),
        Target::Tcp { host: crate::types::Host::Name("a b".into()), port: 1 },
        Target::Tcp { host: crate::types::Host::Name("a".into()), port: 0 },
    ] {
        let error = pair.ends[A].open(pair.now, Open { target, mode: Mode::Auto });
        assert!(matches!(error, Err(OpenError::Target(_))), "{error:?}");
    }
    assert_eq!(pair.memory[A].used(), 0);
}
