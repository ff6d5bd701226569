//! Tests of which lane leaves bytes to a faster one.

use super::*;

/// A lane with this round trip and rate in Mbit/s, for which bulk waits or not.
fn path(id: u64, rtt: u64, mbit: u64, full: bool) -> Candidate {
    let rtt = Duration::from_millis(rtt);
    let cwnd = mbit * 125_000 * rtt.as_micros() as u64 / 1_000_000;
    let full_for = Duration::from_secs(u64::from(full));
    let evidence = Evidence { full_for, cwnd, ..Evidence::default() };
    Candidate { rtt, evidence, ..lane(id) }
}

fn leaves(lanes: [Candidate; 2], backlog: u64) -> [bool; 2] {
    lanes.map(|l| leaves_to_faster(&lanes, l.id, |_| true, l.chunk(64 << 10), backlog))
}

#[test]
fn a_short_flow_takes_the_lane_where_it_arrives_first() {
    let idle = [path(1, 80, 20, false), path(2, 10, 200, false)];
    assert_eq!(leaves(idle, 1_000), [true, false]);
    assert_eq!(leaves(idle, 64 << 10), [true, false]);
    let full = [path(1, 80, 20, true), path(2, 10, 200, true)];
    assert_eq!(leaves(full, 100_000), [true, false]);
}

#[test]
fn what_a_lane_loses_arrives_later_there() {
    let [mut near, far] = [path(1, 20, 50, false), path(2, 30, 50, false)];
    assert_eq!(leaves([near, far], 64 << 10), [false, true]);
    near.evidence.loss = 200;
    assert_eq!(leaves([near, far], 64 << 10), [true, false]);
    assert_eq!(leaves([near, far], 500), [false, true], "a packet is seldom lost");
}

#[test]
fn while_much_waits_every_lane_takes_some() {
    let full = [path(1, 80, 20, true), path(2, 10, 200, true)];
    assert_eq!(leaves(full, 4 << 20), [false, false]);
    let equal = [path(1, 25, 100, true), path(2, 25, 100, true)];
    assert_eq!(leaves(equal, 64 << 10), [false, false]);
}

#[test]
fn nothing_is_left_to_a_lane_that_the_flow_does_not_use_or_that_is_not_up_or_broke_down() {
    let [slow, fast] = [path(1, 80, 20, false), path(2, 10, 200, false)];
    assert!(!leaves_to_faster(&[slow, fast], slow.id, |id| id == slow.id, 1000, 1000));
    let broken = Evidence { collapsed: true, ..fast.evidence };
    for fast in [
        Candidate { suspect: true, ..fast },
        Candidate { synced: false, ..fast },
        Candidate { evidence: broken, ..fast },
        Candidate { evidence: Evidence::default(), ..fast },
    ] {
        assert!(!leaves_to_faster(&[slow, fast], slow.id, |_| true, 1000, 1000), "{fast:?}");
    }
}

#[test]
fn a_slow_lane_is_given_small_chunks() {
    let chunk = |mbit| path(1, 40, mbit, true).chunk(64 << 10);
    assert_eq!([chunk(1), chunk(10), chunk(100)], [16 << 10, 25_000, 64 << 10]);
    assert_eq!(lane(1).chunk(64 << 10), 64 << 10, "nothing is known");
}

#[test]
fn a_lane_so_quick_that_nobody_notices_is_given_large_chunks() {
    let chunk = |rtt, mbit| path(1, rtt, mbit, true).chunk(64 << 10);
    assert_eq!([chunk(10, 1_000), chunk(10, 2_000)], [64 << 10, 125_000]);
    assert_eq!(chunk(10, 10_000), 256 << 10);
    // A window of 300 kB.
    assert_eq!(chunk(1, 2_400), 75_000, "what waits in QUIC is a quarter of the window");
}
