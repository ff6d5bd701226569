//! Feeds random messages and segments that look valid to one session, which never panics and never
//! holds more than its bounds.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::types::{FailureCode, OpenFailure};
use crate::wire::VERSION;
use crate::wire::fact::{FlowState, LaneHealth, LaneUse, Outcome, ResetAt, Suspicion};

fn number(rng: &mut SmallRng) -> u64 {
    match rng.random_range(0..6) {
        0..3 => rng.random_range(0..300),
        3 => rng.random_range(99_000..101_000),
        4 => rng.random_range(0..3_000_000),
        _ => rng.random_range(0..1 << 62),
    }
}

fn maybe<T>(rng: &mut SmallRng, value: T) -> Option<T> {
    rng.random_bool(0.3).then_some(value)
}

fn some_open(rng: &mut SmallRng) -> Option<Open> {
    let modes = [Mode::Auto, Mode::Single, Mode::Bond, Mode::Redundant];
    let mode = modes[rng.random_range(0..4)];
    rng.random_bool(0.8).then(|| open(mode))
}

fn flow(rng: &mut SmallRng) -> FlowId {
    FlowId(if rng.random_bool(0.95) { rng.random_range(0..24) } else { number(rng) })
}

fn message(rng: &mut SmallRng) -> Message {
    let lane = LaneId(rng.random_range(1..5));
    let version = rng.random_range(0..40);
    match rng.random_range(0..12) {
        0..8 => {
            let mut received = Vec::new();
            let mut at = 0;
            for _ in 0..rng.random_range(0..4) {
                let start = at + rng.random_range(1..100);
                at = start + rng.random_range(1..500);
                received.push(start..at);
            }
            let failure = OpenFailure::new(FailureCode::Other, "x");
            let outcome =
                if rng.random_bool(0.5) { Outcome::Opened } else { Outcome::Failed(failure) };
            let (end, code, reset_at) = (number(rng), number(rng), number(rng));
            Message::FlowState(FlowState {
                flow: flow(rng),
                version,
                received: maybe(rng, received).unwrap_or_default(),
                max_offset: number(rng),
                final_size: maybe(rng, end).filter(|_| rng.random_bool(0.3)),
                open: some_open(rng),
                outcome: maybe(rng, outcome),
                reset: maybe(rng, ResetAt { code, at: reset_at }).filter(|_| rng.random_bool(0.2)),
            })
        }
        8 => Message::FactAck((0..rng.random_range(0..9)).map(|_| (flow(rng), version)).collect()),
        9 => Message::EndOfSync,
        10 => {
            let suspicions = [Suspicion::None, Suspicion::Suspected, Suspicion::OneWay];
            let suspicion = suspicions[rng.random_range(0..3)];
            Message::LaneHealth(LaneHealth { lane, version, suspicion })
        }
        _ => {
            let (cost, draining) = (rng.random(), rng.random_bool(0.5));
            Message::LaneUse(LaneUse { lane, version, cost, draining })
        }
    }
}

fn check(end: &Session, memory: &Memory) {
    let windows: u64 = end.flows().map(|f| f.rx.window()).sum();
    assert_eq!(memory.used(), windows);
    assert!(end.flows().filter(|f| !f.local).count() <= 16);
    for flow in end.flows() {
        let held = flow.rx.assembler.highest() - flow.rx.assembler.read_offset();
        assert!(held <= flow.rx.window());
    }
    assert!(end.lanes.values().all(|l| l.outbox.backlog() < 4096 + 100));
}

fn application(rng: &mut SmallRng, end: &mut Session, now: Instant) {
    let ids: Vec<FlowId> = end.flows().map(|f| f.id).collect();
    if ids.is_empty() || rng.random_bool(0.05) {
        let _ = end.open(now, open(Mode::Auto));
        return;
    }
    let id = ids[rng.random_range(0..ids.len())];
    match rng.random_range(0..20) {
        0..6 => {
            let len = rng.random_range(0..5_000);
            let _ = end.write(now, id, &mut vec![7; len].into());
        }
        6..12 => {
            let _ = end.read_at_most(now, id, rng.random_range(1..9_000));
        }
        12 => end.accept(now, id),
        13 => end.refuse(now, id, OpenFailure::new(FailureCode::Other, "y")),
        14 => {
            let _ = end.finish(now, id);
        }
        15 => end.reset(now, id, 5),
        16..18 => end.drop_reader(now, id),
        _ => end.drop_writer(now, id),
    }
}

/// Lets a lane attach, detach or change its health.
fn lane_event(rng: &mut SmallRng, end: &mut Session, now: Instant, lane: LaneId) {
    match rng.random_range(0..3) {
        0 => {
            let (local_risk, remote_risk) = (lane.0 % 3, lane.0 % 2);
            let info =
                LaneInfo { local_risk, remote_risk, cost: Cost::FREE, order: 0, version: VERSION };
            end.handle_lane_attached(now, lane, info);
        }
        1 => end.handle_lane_detached(now, lane),
        _ => {
            let healths = [Health::Alive, Health::Suspect { confirmed: rng.random_bool(0.5) }];
            let health = healths[rng.random_range(0..2)];
            end.assume_health(now, lane, health, ms(20), maybe(rng, now));
        }
    }
}

/// Lets a control message or a segment arrive on a lane.
fn arrival(rng: &mut SmallRng, end: &mut Session, now: Instant, lane: LaneId) {
    if rng.random_bool(5.0 / 8.0) {
        // Through the codec, as from a peer.
        let mut decoder = Decoder::default();
        decoder.push(&message(rng).to_bytes());
        let message = decoder.next_message().unwrap().unwrap();
        let _ = end.handle_control(now, lane, message);
        return;
    }
    let (id, offset) = (flow(rng), number(rng).min(1 << 50));
    let resent = rng.random_bool(0.3);
    let open = some_open(rng);
    let header = SegmentHeader { flow: id, offset, resent, open };
    if end.handle_segment(now, &header) == Ok(SegmentVerdict::Read) {
        let mut data = [0, 1, 2].map(|_| Bytes::from(vec![1; rng.random_range(0..2_000)]));
        let _ = end.handle_segment_data(now, id, offset, resent, &mut data);
    }
}

/// Lets a lane write some of its work.
fn transmit(rng: &mut SmallRng, end: &mut Session, now: Instant, lane: LaneId) {
    for class in [WorkClass::Urgent, WorkClass::Bulk] {
        while rng.random_bool(0.9) && end.poll_transmit(now, lane, class).is_some() {}
    }
}

#[test]
fn whatever_a_peer_sends_the_session_survives_and_stays_within_its_bounds() {
    for seed in 0..400 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut end, memory) = session(Side::Acceptor);
        let mut now = Instant::now();
        for _ in 0..500 {
            now += ms(rng.random_range(0..30));
            let lane = LaneId(rng.random_range(1..5));
            match rng.random_range(0..20) {
                0..3 => lane_event(&mut rng, &mut end, now, lane),
                3..11 => arrival(&mut rng, &mut end, now, lane),
                11..14 => application(&mut rng, &mut end, now),
                14..18 => transmit(&mut rng, &mut end, now, lane),
                _ => end.handle_timeout(now),
            }
            while end.poll_event().is_some() {}
            check(&end, &memory);
        }
        end.handle_session_lost("over");
        for id in end.flows().map(|f| f.id).collect::<Vec<_>>() {
            end.drop_reader(now, id);
            end.drop_writer(now, id);
        }
        assert_eq!((end.flows().count(), memory.used(), end.next_timeout()), (0, 0, None));
    }
}
