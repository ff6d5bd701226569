//! Tests of the receiving direction.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;

fn zeros(len: usize) -> Bytes {
    Bytes::from(vec![0; len])
}

#[test]
fn bytes_beyond_the_window_are_a_violation() {
    let mut rx = Rx::new(10);
    assert_eq!(rx.insert(5, zeros(5)), Ok(5));
    assert_eq!(rx.insert(5, zeros(6)), Err(RxViolation::Window { end: 11, max_offset: 10 }));
}

#[test]
fn bytes_in_too_many_ranges_are_a_violation_until_gaps_are_filled() {
    for (window, max) in [(16 << 10, 256), (256 << 10, 4096), (MAX_WINDOW, 16_384)] {
        let mut rx = Rx::new(window);
        for range in 0..max {
            assert_eq!(rx.insert(2 * range + 1, zeros(1)), Ok(1));
        }
        let next = 2 * max + 1;
        assert_eq!(rx.insert(next, zeros(1)), Err(RxViolation::TooManyRanges(max as usize)));
        assert_eq!(rx.insert(next - 1, zeros(2)), Ok(2), "the last range goes on");
        assert_eq!(rx.insert(next + 2, zeros(1)), Err(RxViolation::TooManyRanges(max as usize)));
        assert_eq!(rx.insert(4, zeros(1)), Ok(1), "a gap is filled");
        assert_eq!(rx.insert(next + 2, zeros(1)), Ok(1));
        assert_eq!(rx.insert(0, zeros(next as usize + 3)), Ok(max));
        assert_eq!(rx.assembler.head(), next + 3);
    }
}

/// Inserts chunks as QUIC gives them, a packet each, of segments of 16 KiB that took turns on two
/// lanes. Everything that one lane carries comes before anything of the other.
#[test]
fn a_window_in_segments_over_two_lanes_in_any_order_never_has_too_many_ranges() {
    const SEGMENT: u64 = 16 << 10;
    for window in [256 << 10, MAX_WINDOW] {
        for seed in 0..4 {
            let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
            let mut segments: Vec<u64> = (0..window / SEGMENT).collect();
            segments.sort_by_key(|segment| segment % 2 == 0);
            if seed > 0 {
                segments.shuffle(&mut rng);
            }
            // Up to eight segments are read at once, and each takes its turn.
            let mut rx = Rx::new(window);
            let mut reading: Vec<(u64, u64)> = Vec::new();
            let mut rest = segments.into_iter();
            loop {
                while reading.len() < 8
                    && let Some(segment) = rest.next()
                {
                    reading.push((segment * SEGMENT, (segment + 1) * SEGMENT));
                }
                if reading.is_empty() {
                    break;
                }
                let turn = rng.random_range(0..reading.len());
                let (at, end) = &mut reading[turn];
                let len = (*end - *at).min(1180);
                assert_eq!(rx.insert(*at, zeros(len as usize)), Ok(len));
                *at += len;
                if at == end {
                    reading.swap_remove(turn);
                }
            }
            assert_eq!(rx.assembler.readable(), window);
        }
    }
}

#[test]
fn the_final_size_is_written_once_and_bounds_the_bytes() {
    let mut rx = Rx::new(100);
    rx.insert(0, zeros(10)).unwrap();
    assert_eq!(rx.set_final_size(9), Err(RxViolation::FinalSize));
    assert_eq!(rx.set_final_size(20), Ok(()));
    assert_eq!(rx.set_final_size(20), Ok(()));
    assert_eq!(rx.set_final_size(21), Err(RxViolation::FinalSize));
    assert_eq!(rx.insert(15, zeros(6)), Err(RxViolation::FinalSize));
    assert!(!rx.at_end());
}

#[test]
fn the_window_follows_reading_and_never_shrinks() {
    let mut rx = Rx::new(100);
    rx.insert(0, zeros(100)).unwrap();
    assert!(!rx.open_window(), "nothing has been read");
    rx.assembler.pop_at_most(20);
    assert!(!rx.open_window(), "too little to tell the peer");
    rx.assembler.pop_at_most(80);
    assert!(rx.open_window());
    assert_eq!(rx.max_offset(), 200);
}

#[test]
fn a_window_that_is_read_quickly_grows_and_a_slow_one_does_not() {
    let t = Instant::now();
    // Where memory is scarce a window of 200 ms is large enough.
    for (pause, plenty, window) in [
        (10, true, 2000),
        (200, true, 2000),
        (400, true, 1000),
        (10, false, 2000),
        (200, false, 1000),
    ] {
        let mut rx = Rx::new(1000);
        rx.wanted_growth(t, Duration::ZERO, plenty);
        rx.insert(0, zeros(1000)).unwrap();
        while rx.assembler.pop_at_most(500).is_some() {}
        let growth = rx.wanted_growth(t + Duration::from_millis(pause), Duration::ZERO, plenty);
        rx.grow(growth);
        assert!(rx.open_window(), "a window that was read through is opened");
        assert_eq!((rx.window(), rx.max_offset()), (window, 1000 + window));
    }
}

#[test]
fn a_window_stops_growing_at_its_bound() {
    let t = Instant::now();
    let mut rx = Rx::new(MAX_WINDOW);
    rx.wanted_growth(t, Duration::ZERO, true);
    rx.insert(0, zeros(MAX_WINDOW as usize)).unwrap();
    rx.assembler.pop_at_most(usize::MAX);
    assert_eq!(rx.wanted_growth(t, Duration::ZERO, true), 0);
}

#[test]
fn a_window_that_is_read_through_in_four_round_trips_of_the_slowest_lane_grows() {
    let growth = |plenty: bool, pause: u64, rtt: u64| {
        let (t, mut rx) = (Instant::now(), Rx::new(1000));
        let rtt = Duration::from_millis(rtt);
        rx.wanted_growth(t, rtt, plenty);
        rx.insert(0, zeros(1000)).unwrap();
        while rx.assembler.pop_at_most(500).is_some() {}
        rx.wanted_growth(t + Duration::from_millis(pause), rtt, plenty)
    };
    assert_eq!([20, 150, 200].map(|rtt| growth(true, 700, rtt)), [0, 0, 1000]);
    assert_eq!([300, 400].map(|rtt| growth(false, 700, rtt)), [0, 1000], "two where it is scarce");
}

#[test]
fn a_window_that_reordering_fills_grows_and_one_that_a_slow_reader_fills_does_not() {
    let mut rx = Rx::new(1000);
    rx.insert(100, zeros(600)).unwrap();
    assert_eq!(rx.growth_for_reordering(), 0);
    rx.insert(700, zeros(100)).unwrap();
    assert_eq!(rx.growth_for_reordering(), 1000);
    rx.insert(0, zeros(100)).unwrap();
    assert_eq!(rx.growth_for_reordering(), 0, "what is there can be read");
}
