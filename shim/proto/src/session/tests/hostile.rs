//! Tests of peers that violate the protocol.

use super::*;
use crate::flow::Opening;
use crate::session::receive::FINISHED_IN_FLIGHT;
use crate::session::schedule::SCHEDULED;
use crate::types::SessionId;
use crate::wire::VERSION;
use crate::wire::fact::{FlowState, LaneHealth, LaneUse, ResetAt, Suspicion};
use crate::wire::hello::{Hello, Intent, Reject, RejectCode, Welcome};

/// Returns our session as acceptor, and a flow that the peer opened.
fn victim() -> (Pair, FlowId) {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    (pair, id)
}

fn state(flow: u64) -> FlowState {
    FlowState {
        flow: FlowId(flow),
        version: 99,
        received: Vec::new(),
        max_offset: 0,
        final_size: None,
        open: None,
        outcome: None,
        reset: None,
    }
}

fn send(pair: &mut Pair, state: FlowState) -> Result<(), Violation> {
    pair.ends[B].handle_control(pair.now, L1, Message::FlowState(state))
}

fn data(pair: &mut Pair, id: FlowId, offset: u64, len: usize) -> Result<SegmentVerdict, Violation> {
    pair.ends[B].handle_segment_data(pair.now, id, offset, false, &mut [Bytes::from(vec![0; len])])
}

#[test]
fn a_handshake_message_later_is_out_of_place() {
    let (mut pair, _) = victim();
    let hello = Hello {
        version: 1,
        session: SessionId(1),
        intent: Intent::Create,
        generation: 0,
        instance: 0x0123_4567_89ab_cdef,
        lane: L1,
        params: params(),
    };
    let reject = Reject { code: RejectCode::Limit, detail: String::new() };
    for message in [
        Message::Hello(hello),
        Message::Welcome(Welcome { version: 1, params: params() }),
        Message::Reject(reject),
    ] {
        let result = pair.ends[B].handle_control(pair.now, L1, message);
        assert!(matches!(result, Err(Violation::OutOfPlace(_))));
    }
}

#[test]
fn bytes_beyond_the_window_are_a_violation() {
    let (mut pair, id) = victim();
    assert_eq!(data(&mut pair, id, 99_999, 1), Ok(SegmentVerdict::Read));
    let end = 100_001;
    assert_eq!(
        data(&mut pair, id, 100_000, 1),
        Err(Violation::Window { flow: id, end, max_offset: 100_000 })
    );
    assert!(matches!(data(&mut pair, id, (1 << 62) - 2, 9), Err(Violation::Window { .. })));
}

#[test]
fn bytes_in_too_many_ranges_are_a_violation_and_the_flow_goes_on() {
    let (mut pair, id) = victim();
    let max = 100_000 / 64;
    for range in 0..max {
        assert_eq!(data(&mut pair, id, 2 * range + 1, 1), Ok(SegmentVerdict::Read));
    }
    let wrong = Err(Violation::TooManyRanges { flow: id, max: max as usize });
    assert_eq!(data(&mut pair, id, 2 * max + 1, 1), wrong);
    // The missing bytes may always arrive, in chunks of any size.
    assert_eq!(data(&mut pair, id, 0, 1), Ok(SegmentVerdict::Read));
    assert_eq!(data(&mut pair, id, 2 * max + 1, 1), Ok(SegmentVerdict::Read));
    assert_eq!(data(&mut pair, id, 0, 100_000), Ok(SegmentVerdict::Read));
    assert_eq!(pair.ends[B].flow(id).map(|f| f.rx.assembler.readable()), Some(100_000));
}

#[test]
fn contradicting_final_sizes_are_a_violation() {
    let (mut pair, id) = victim();
    data(&mut pair, id, 0, 10).unwrap();
    let end = |size| FlowState { final_size: Some(size), ..state(id.0) };
    let reset = |at| FlowState { reset: Some(ResetAt { code: 1, at }), ..state(id.0) };
    let wrong = Err(Violation::FinalSize(id));
    assert_eq!(send(&mut pair, end(9)), wrong);
    assert_eq!(send(&mut pair, reset(9)), wrong);
    assert_eq!(send(&mut pair, end(20)), Ok(()));
    assert_eq!(send(&mut pair, end(20)), Ok(()));
    assert_eq!(send(&mut pair, end(21)), wrong);
    assert_eq!(send(&mut pair, reset(21)), wrong);
    assert_eq!(send(&mut pair, reset(20)), Ok(()));
    assert_eq!(data(&mut pair, id, 15, 6), Err(Violation::FinalSize(id)));
}

#[test]
fn bytes_after_a_reset_are_a_violation() {
    let (mut pair, id) = victim();
    let reset = FlowState { reset: Some(ResetAt { code: 1, at: 30 }), ..state(id.0) };
    assert_eq!(send(&mut pair, reset), Ok(()));
    assert_eq!(data(&mut pair, id, 0, 30), Ok(SegmentVerdict::Read));
    assert_eq!(data(&mut pair, id, 29, 2), Err(Violation::FinalSize(id)));
    let end = FlowState { final_size: Some(31), ..state(id.0) };
    assert_eq!(send(&mut pair, end), Err(Violation::FinalSize(id)));
}

#[test]
fn bytes_that_were_never_sent_cannot_be_acknowledged() {
    let (mut pair, id) = victim();
    pair.write(B, id, 10);
    pair.run();
    let acked = FlowState { received: vec![0..5, 8..11], ..state(id.0) };
    assert_eq!(send(&mut pair, acked), Err(Violation::NeverSent { flow: id, end: 11, sent: 10 }));
}

#[test]
fn a_new_flow_needs_its_open_request() {
    let (mut pair, _) = victim();
    assert_eq!(send(&mut pair, state(2)), Err(Violation::NoOpen(FlowId(2))));
    let header = SegmentHeader { flow: FlowId(2), offset: 0, resent: false, open: None };
    let result = pair.ends[B].handle_segment(pair.now, &header);
    assert_eq!(result, Err(Violation::NoOpen(FlowId(2))));
}

#[test]
fn a_flow_of_ours_that_we_never_opened_is_a_violation() {
    let (mut pair, _) = victim();
    assert_eq!(send(&mut pair, state(7)), Err(Violation::NeverOpened(FlowId(7))));
}

#[test]
fn ids_far_ahead_are_a_violation() {
    let (mut pair, _) = victim();
    let far = FlowState { open: Some(open(Mode::Auto)), ..state(1 << 40) };
    assert_eq!(send(&mut pair, far), Err(Violation::SkippedIds(FlowId(1 << 40))));
}

#[test]
fn too_many_flows_are_refused_and_far_too_many_are_a_violation() {
    let mut pair = Pair::new(1);
    let ask = |n: u64| FlowState { open: Some(open(Mode::Auto)), ..state(2 * n) };
    let most = 16 + FINISHED_IN_FLIGHT;
    for n in 0..most as u64 {
        assert_eq!(send(&mut pair, ask(n)), Ok(()), "{n}");
    }
    assert_eq!(send(&mut pair, ask(most as u64)), Err(Violation::TooManyFlows(most)));
    // Only look: the other end knows nothing of these flows.
    let end = &mut pair.ends[B];
    let incoming: Vec<SessionEvent> = std::iter::from_fn(|| end.poll_event())
        .filter(|e| matches!(e, SessionEvent::Incoming(_)))
        .collect();
    assert_eq!(incoming.len(), 8);
    assert_eq!(end.flows().filter(|f| f.reset_out.is_some()).count(), most - 8);
}

#[test]
fn an_honest_opener_keeps_to_the_peers_bound() {
    let mut pair = Pair::new(1);
    for _ in 0..8 {
        pair.open(A, Mode::Auto);
    }
    assert_eq!(pair.ends[A].open(pair.now, open(Mode::Auto)), Err(OpenError::TooMany(8)));
}

#[test]
fn acknowledgements_for_a_peer_that_does_not_read_are_bounded() {
    let (mut pair, id) = victim();
    pair.hold(L1);
    pair.drop_both(A, id);
    for version in 0..50_000 {
        // Ids of ours that are finished, or the live one: each asks for an acknowledgement.
        let flow = FlowState { version, ..state(id.0) };
        send(&mut pair, flow).unwrap();
        pair.ends[B].flush_fact_acks();
    }
    assert!(pair.ends[B].lane_backlog(L1) < 8);
}

/// Returns how many flows were scheduled while `messages` arrived on the lane, one every `apart`.
fn scheduled(pair: &mut Pair, apart: Duration, messages: impl Iterator<Item = Message>) -> u64 {
    let before = SCHEDULED.get();
    for message in messages {
        pair.now += apart;
        let end = &mut pair.ends[B];
        if end.next_timeout().is_some_and(|at| at <= pair.now) {
            end.handle_timeout(pair.now);
        }
        end.handle_control(pair.now, L1, message).unwrap();
    }
    SCHEDULED.get() - before
}

#[test]
fn messages_about_lanes_that_come_by_the_thousand_do_not_have_every_flow_looked_at_each_time() {
    let mut pair = Pair::new(2);
    let flows = (0..6).map(|_| pair.joined(A, Mode::Auto)).count() as u64;
    let in_a_row = Duration::ZERO;
    assert_eq!(scheduled(&mut pair, in_a_row, (0..30_000).map(|_| Message::EndOfSync)), 0);
    let uses = (1..5000).map(|version| {
        Message::LaneUse(LaneUse { lane: L1, version, cost: 0, draining: version % 2 == 0 })
    });
    let healths = (1..5000).map(|version| {
        let suspicion = if version % 2 == 0 { Suspicion::Suspected } else { Suspicion::None };
        Message::LaneHealth(LaneHealth { lane: L2, version, suspicion })
    });
    let count = scheduled(&mut pair, in_a_row, uses.chain(healths));
    assert!(count <= 64 * 2 * flows, "{count}");
    // In the long run a hundred a second, and what was said last holds.
    let last = 1_000_000;
    let use_again = |version| LaneUse { lane: L1, version, cost: 0, draining: version == last };
    let flood = (last - 10_000..=last).map(|version| Message::LaneUse(use_again(version)));
    let count = scheduled(&mut pair, Duration::from_micros(100), flood);
    assert!(count <= (64 + 100) * 2 * flows, "{count}");
    pair.now += ms(50);
    pair.ends[B].handle_timeout(pair.now);
    assert!(pair.ends[B].lanes[&L1].is_draining(), "the last advertisement is lost");
    pair.run();
}

#[test]
fn a_peer_that_acknowledges_every_second_byte_does_not_stall_the_session() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Redundant);
    let size = 90_000;
    assert_eq!(pair.ends[B].write(pair.now, id, &mut Bytes::from(vec![1; size])), Ok(size));
    while pair.ends[B].poll_transmit(pair.now, L1, WorkClass::Urgent).is_some() {}
    while pair.ends[B].poll_transmit(pair.now, L1, WorkClass::Bulk).is_some() {}
    let began = Instant::now();
    for (version, top) in (1..size as u64).rev().step_by(64).enumerate() {
        let received =
            (0..32).rev().map(|i| top.saturating_sub(2 * i)..top.saturating_sub(2 * i) + 1);
        let received = received.filter(|r| r.start > 0).collect();
        send(&mut pair, FlowState { version: 100 + version as u64, received, ..state(id.0) })
            .unwrap();
    }
    while pair.ends[B].poll_transmit(pair.now, L2, WorkClass::Urgent).is_some() {}
    while pair.ends[B].poll_transmit(pair.now, L2, WorkClass::Bulk).is_some() {}
    let flow = &pair.ends[B].flows[&id];
    let ranges = flow.tx.lanes.iter().map(|l| l.carried.count()).max();
    assert!(flow.tx.buffer.acked().count() <= 256 && ranges <= Some(600), "{ranges:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn flows_that_come_and_go_leave_nothing_behind_on_a_lane_that_stands_still() {
    let mut pair = Pair::new(2);
    pair.hold(L2);
    for _ in 0..2000 {
        let id = pair.joined(A, Mode::Auto);
        for end in [A, B] {
            pair.ends[end].reset(pair.now, id, CANCELLED);
            pair.ends[end].drop_reader(pair.now, id);
            pair.ends[end].drop_writer(pair.now, id);
        }
        pair.run();
        pair.now += ms(300);
        (A..=B).for_each(|end| pair.ends[end].handle_timeout(pair.now));
        pair.run();
    }
    for end in &pair.ends {
        assert_eq!((end.flows().count(), end.peer_flows), (0, 0));
        let waiting = end.lanes[&L2].outbox.facts.len();
        assert!(waiting < 200, "{waiting} flows wait");
    }
}

#[test]
fn a_peer_whose_flows_hold_its_share_of_the_memory_is_refused_more_and_others_grow() {
    let whole = Arc::new(Memory::new(400_000));
    let end = |part: &Arc<Memory>| {
        let memory = part.clone();
        let (side, params) = (Side::Acceptor, params());
        let config = SessionConfig { side, params, max_flows: 100, first_window: 0, memory };
        let mut end = Session::new(config, params);
        let info = LaneInfo {
            local_risk: 1,
            remote_risk: 1,
            cost: Cost::FREE,
            order: 0,
            version: VERSION,
        };
        end.handle_lane_attached(Instant::now(), L1, info);
        end
    };
    let part = |_| Arc::new(Memory::for_peer(whole.clone(), 400_000));
    let [greedy, other] = [0, 1].map(part);
    let open_in = |end: &mut Session, flow: u64| {
        let state = FlowState { open: Some(open(Mode::Single)), ..state(2 * flow) };
        end.handle_control(Instant::now(), L1, Message::FlowState(state)).unwrap();
        matches!(end.flows[&FlowId(2 * flow)].opening, Opening::Pending)
    };
    // Two sessions of one peer share its part: four flows of 100,000 bytes each.
    let mut sessions = [end(&greedy), end(&greedy)];
    let taken: usize =
        sessions.iter_mut().map(|end| (0..20).filter(|flow| open_in(end, *flow)).count()).sum();
    assert_eq!(taken, 4);
    let mut honest = end(&other);
    assert!(open_in(&mut honest, 0));
    assert!(whole.used() > 400_000);
    assert!(greedy.try_grow(400_000));
    assert!(other.try_grow(100_000), "its part of half of all, whatever the other has");
    drop(sessions);
    greedy.release(0, 400_000);
    assert!(other.try_grow(300_000));
    other.release(0, 400_000);
}
