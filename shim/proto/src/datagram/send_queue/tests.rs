//! Tests of what lanes take from the queue, and of its bounds.

use super::*;

const L1: LaneId = LaneId(1);
const L2: LaneId = LaneId(2);

fn payload(len: usize) -> Datagram {
    Datagram::from(vec![7; len])
}

fn of_lanes(lanes: &[LaneId]) -> SendQueue {
    let mut queue = SendQueue::new(0);
    queue.set_lanes(lanes.iter().copied());
    queue
}

/// Returns the numbers of all that a lane takes.
fn taken(queue: &mut SendQueue, now: Instant, lane: LaneId) -> Vec<u64> {
    let next = || match queue.take(now, lane, |_, _| true) {
        Taken::Datagram(seq, _) => Some(seq),
        Taken::NoRoom | Taken::Nothing => None,
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn each_lane_takes_everything_once_and_then_it_is_gone() {
    let now = Instant::now();
    let mut queue = of_lanes(&[L1, L2]);
    (0..3).for_each(|_| queue.push(now, payload(10), false));
    assert_eq!(queue.waiting_lanes()[..], [L1, L2]);
    assert_eq!(taken(&mut queue, now, L1), [0, 1, 2]);
    assert!(queue.bytes() > 0 && !queue.has_untaken());
    assert_eq!(queue.waiting_lanes()[..], [L2]);
    assert_eq!(taken(&mut queue, now, L2), [0, 1, 2]);
    assert_eq!((queue.bytes(), queue.sent_bytes(), queue.dropped()), (0, 30, Dropped::default()));
}

#[test]
fn a_lane_that_comes_later_begins_with_what_no_lane_has_taken() {
    let now = Instant::now();
    let mut queue = of_lanes(&[L1]);
    (0..4).for_each(|_| queue.push(now, payload(10), false));
    assert_ne!(queue.take(now, L1, |_, _| true), Taken::Nothing);
    queue.set_lanes([L2].into_iter());
    assert_eq!(taken(&mut queue, now, L2), [1, 2, 3]);
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn without_lanes_datagrams_wait_for_one_and_no_longer_than_allowed() {
    let start = Instant::now();
    let mut queue = of_lanes(&[]);
    queue.push(start, payload(10), false);
    let later = start + MAX_AGE;
    queue.push(later, payload(10), false);
    queue.set_lanes([L1].into_iter());
    assert_eq!(taken(&mut queue, later + Duration::from_millis(1), L1), [1]);
    assert_eq!(queue.dropped(), Dropped { expired: 1, ..Dropped::default() });
}

#[test]
fn the_oldest_go_where_there_is_no_room_and_those_taken_are_not_counted() {
    let now = Instant::now();
    let mut queue = of_lanes(&[L1, L2]);
    queue.push(now, payload(1000), false);
    assert_eq!(taken(&mut queue, now, L1), [0]);
    // However short they are.
    for len in [1000, 0] {
        (0..10_000).for_each(|_| queue.push(now, payload(len), false));
        assert!(queue.bytes() <= MAX_BYTES, "{}", queue.bytes());
        assert!(queue.waiting.len() <= MAX_BYTES / OVERHEAD);
    }
    let last = taken(&mut queue, now, L2);
    assert_eq!((last.first(), last.last()), (Some(&(20_001 - last.len() as u64)), Some(&20_000)));
    assert_eq!(queue.dropped().overflow, 20_000 - last.len() as u64);
    (0..100).for_each(|_| queue.push(now, payload(1000), true));
    assert!(queue.bytes() <= MAX_BYTES_IF_SCARCE);
}

#[test]
fn one_that_is_longer_than_all_the_room_is_kept_alone() {
    let now = Instant::now();
    let mut queue = of_lanes(&[L1]);
    queue.push(now, payload(60_000), true);
    assert_eq!(taken(&mut queue, now, L1), [0]);
}

#[test]
fn what_a_lane_has_no_room_for_waits_in_its_place() {
    let now = Instant::now();
    let mut queue = of_lanes(&[L1, L2]);
    queue.push(now, payload(1400), false);
    queue.push(now, payload(1200), false);
    assert_eq!(queue.take(now, L1, |_, next| next.payload.len() <= 1300), Taken::NoRoom);
    assert_eq!(taken(&mut queue, now, L2), [0, 1]);
    assert_eq!(taken(&mut queue, now, L1), [0, 1]);
    assert_eq!((queue.sent_bytes(), queue.bytes()), (2600, 0));
}

#[test]
fn a_queue_that_was_cleared_goes_on_counting() {
    let now = Instant::now();
    let mut queue = of_lanes(&[]);
    queue.push(now, payload(1), false);
    queue.clear();
    assert_eq!((queue.bytes(), queue.next(), queue.has_untaken()), (0, 1, false));
}
