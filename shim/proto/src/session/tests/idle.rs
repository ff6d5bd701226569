//! Tests that nothing is done when there is nothing to do.

use super::*;
use crate::session::segments::MANY_OPEN;

#[test]
fn no_timer_runs_when_nothing_is_open() {
    let mut pair = Pair::new(2);
    assert!(pair.ends.iter().all(|end| end.next_timeout().is_none()));
    let id = pair.joined(A, Mode::Auto);
    pair.write(A, id, 10);
    pair.pass(Duration::from_secs(20));
    assert!(pair.ends.iter().all(|end| end.next_timeout().is_none()), "an idle flow wakes nobody");
    pair.drop_both(A, id);
    pair.run();
    pair.drop_both(B, id);
    pair.assert_empty();
}

#[test]
fn no_timer_runs_without_lanes() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Auto);
    pair.detach(L1);
    pair.write(A, id, 10);
    pair.ends[A].finish(pair.now, id).unwrap();
    pair.ends[B].reset(pair.now, id, 1);
    pair.pass(ms(10));
    assert!(pair.ends.iter().all(|end| end.next_timeout().is_none()));
}

#[test]
fn idle_segments_are_finished() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.write(A, id, 10);
    pair.pass(Duration::from_secs(3));
    assert!(pair.finishes.is_empty());
    pair.pass(Duration::from_secs(12));
    assert_eq!(pair.finishes, [(A, L1, 0)]);
    assert!(pair.ends[A].flow(id).unwrap().tx.lanes.iter().all(|l| l.segments.is_empty()));
    // The next byte begins another.
    pair.write(A, id, 10);
    pair.run();
    assert_eq!(pair.read(B, id), (20, Ok(Read::Pending)));
}

#[test]
fn of_many_idle_segments_those_beyond_a_thousand_are_finished_soon() {
    let mut pair = Pair::of_flows(1, 2 * MANY_OPEN as u64);
    let beyond = 50;
    let ids: Vec<_> = (0..MANY_OPEN + beyond).map(|_| pair.joined(A, Mode::Single)).collect();
    pair.pass(Duration::from_secs(12));
    pair.finishes.clear();
    for id in ids {
        pair.write(A, id, 10);
    }
    pair.run();
    pair.pass(Duration::from_secs(2));
    let finished = pair.finishes.iter().filter(|(end, ..)| *end == A).count();
    assert_eq!(finished, beyond);
    pair.pass(Duration::from_secs(12));
    let finished = pair.finishes.iter().filter(|(end, ..)| *end == A).count();
    assert_eq!(finished, MANY_OPEN + beyond);
}

#[test]
fn many_flows_that_write_each_second_take_no_more_streams_than_the_peer_allows() {
    let flows = 2 * MANY_OPEN;
    let mut pair = Pair::of_flows(1, flows as u64);
    let ids: Vec<_> = (0..flows).map(|_| pair.open(A, Mode::Single)).collect();
    pair.run();
    ids.iter().for_each(|id| pair.ends[B].accept(pair.now, *id));
    pair.pass(ms(100));
    // A round trip takes longer than all of this.
    pair.hold(L1);
    for turn in 0..5 {
        for id in &ids {
            pair.write(A, *id, 10);
        }
        pair.pass(Duration::from_secs(1));
        let streams = pair.ends[A].lanes[&L1].open_streams;
        assert!(streams <= 2 * flows + 64, "{streams} streams after {turn} s");
    }
}

#[test]
fn facts_and_acknowledgements_of_many_flows_are_packed_and_end() {
    let mut pair = Pair::new(1);
    let ids: Vec<FlowId> = (0..8).map(|_| pair.joined(A, Mode::Single)).collect();
    for id in &ids {
        pair.write(A, *id, 20_000);
        pair.ends[A].finish(pair.now, *id).unwrap();
        pair.ends[B].finish(pair.now, *id).unwrap();
    }
    pair.pass(ms(50));
    for id in &ids {
        assert_eq!(pair.read(B, *id), (20_000, Ok(Read::End)));
        assert_eq!(pair.read(A, *id), (0, Ok(Read::End)));
        pair.drop_both(A, *id);
        pair.drop_both(B, *id);
    }
    pair.assert_empty();
}

#[test]
fn a_download_that_is_read_as_it_comes_is_reported_three_hundred_times_a_second_at_the_most() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Auto);
    let reports = |pair: &Pair| pair.ends[B].flow(id).unwrap().clock.version();
    let before = reports(&pair);
    // A message is reported at once.
    pair.write(A, id, 64);
    pair.run();
    assert_eq!(pair.read(B, id), (64, Ok(Read::Pending)));
    assert_eq!(reports(&pair), before + 1);
    // 16 Mbit/s, a packet at a time.
    for _ in 0..1667 {
        pair.write(A, id, 1200);
        pair.run();
        assert_eq!(pair.read(B, id).0, 1200);
        pair.pass(Duration::from_micros(600));
    }
    let a_second = reports(&pair) - before;
    assert!((150..=300).contains(&a_second), "{a_second}");
}
