//! The direction of a flow that we receive: the assembler and the window we grant.
//!
//! The window follows the application's reading and grows while the application keeps up with
//! what comes. A granted window is memory set aside; it never shrinks (RFC 9000 §4.1).

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::flow::assembler::Assembler;
use crate::wire::codec::MAX_VARINT;

/// A window that is read through in less than this is too small: it should hold the bytes of a
/// round trip on a far path with a full queue.
const GROW_WITHIN: Duration = Duration::from_millis(250);

/// No flow's window grows past this: a gigabit over 130 ms.
pub(super) const MAX_WINDOW: u64 = 16 << 20;

/// The bytes of a flow may come in so many separate stretches before those that are missing: one
/// per this many bytes of window, …
const BYTES_PER_STRETCH: u64 = 64;

/// … but not fewer (what the smallest window of a node, 16 KiB, gives) …
const FEWEST_STRETCHES: u64 = 256;

/// … nor more than this. A stretch costs about 150 bytes however short it is, so that the
/// assembler's memory stays within some three windows; and a piece that makes or fills a hole
/// moves the list of the others, 256 KiB at this many: microseconds. Our own sender writes
/// segments in order, so that what is out of order is a stretch per segment under way: some tens,
/// or hundreds where a flow that bonds lanes is written in crumbs.
///
/// One more is a breach. Leaving it out, unacknowledged, would not do: a sender sends again only
/// what no lane it trusts carries (`Tx::next_chunk`), and this one's lane has delivered it, so the
/// flow would wait for ever. A breach closes that lane, and what it carried is then sent again over
/// others, the lowest offsets first: whoever came here in good faith goes on.
const MOST_STRETCHES: u64 = 16_384;

/// What a peer did that the protocol does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Bytes beyond the granted window.
    Window {
        /// Where they end.
        end: u64,
        /// What was granted.
        edge: u64,
    },
    /// Bytes beyond the final size, or two final sizes.
    FinalSize,
    /// More separate stretches of bytes than this.
    Scattered(usize),
}

/// The receiving direction.
#[derive(Debug)]
pub struct Rx {
    /// What has come.
    pub assembler: Assembler,
    /// How many bytes come in all, once known.
    pub final_size: Option<u64>,
    /// What precedes this offset is the last that comes: the peer reset the flow.
    cut: Option<u64>,
    /// Nobody reads any more: what comes is thrown away.
    pub discard: bool,
    /// The application has seen the end.
    pub end_seen: bool,
    /// Bytes that came since our state was last stated.
    pub unstated: u64,
    /// Bytes that came a second time because the flow goes on two lanes: that is how it is meant.
    pub copies: u64,
    /// Bytes that came first in segments marked as re-sent: their first sending may still come, and
    /// is no copy then.
    resent_first: u64,
    edge: u64,
    window: u64,
    epoch: Option<(Instant, u64)>,
}

impl Rx {
    /// A direction with this window.
    pub fn new(window: u64) -> Self {
        Self {
            assembler: Assembler::default(),
            final_size: None,
            cut: None,
            discard: false,
            end_seen: false,
            unstated: 0,
            copies: 0,
            resent_first: 0,
            edge: window,
            window,
            epoch: None,
        }
    }

    /// The peer may send what precedes this offset.
    pub fn edge(&self) -> u64 {
        self.edge
    }

    /// The window's size: memory that is set aside.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Takes bytes; returns how many are new.
    pub fn insert(&mut self, offset: u64, bytes: Bytes) -> Result<u64, Breach> {
        let end = offset + bytes.len() as u64;
        if end > self.edge {
            return Err(Breach::Window { end, edge: self.edge });
        }
        if self.end().is_some_and(|size| end > size) {
            return Err(Breach::FinalSize);
        }
        let most = self.most_stretches();
        if !self.assembler.has_room(&(offset..end), most) {
            return Err(Breach::Scattered(most));
        }
        self.unstated += bytes.len() as u64;
        let new = self.assembler.insert(offset, bytes);
        if self.discard {
            self.assembler.discard();
        }
        Ok(new)
    }

    /// Tells copies apart from what was sent again: of a piece of a segment `new` bytes were new and
    /// `known` had come before. `twice`: the flow may go on two lanes.
    pub fn count(&mut self, resent: bool, twice: bool, new: u64, known: u64) {
        if resent {
            self.resent_first += new;
            return;
        }
        let late = known.min(self.resent_first);
        self.resent_first -= late;
        if twice {
            self.copies += known - late;
        }
    }

    /// In how many separate stretches bytes may come before those that are missing.
    fn most_stretches(&self) -> usize {
        (self.window / BYTES_PER_STRETCH).clamp(FEWEST_STRETCHES, MOST_STRETCHES) as usize
    }

    /// The peer says how many bytes come in all.
    pub fn set_final_size(&mut self, size: u64) -> Result<(), Breach> {
        match self.final_size {
            Some(known) if known != size => Err(Breach::FinalSize),
            _ if size < self.assembler.highest() => Err(Breach::FinalSize),
            _ if self.cut.is_some_and(|cut| cut != size) => Err(Breach::FinalSize),
            _ => {
                self.final_size = Some(size);
                Ok(())
            }
        }
    }

    /// The peer reset the flow: what precedes `at` still comes, and nothing else.
    pub fn set_cut(&mut self, at: u64) -> Result<(), Breach> {
        let contradicts = self.end().is_some_and(|end| end != at);
        if contradicts || at < self.assembler.highest() {
            return Err(Breach::FinalSize);
        }
        self.cut = Some(at);
        Ok(())
    }

    /// Where the bytes end, by final size or reset, once known.
    pub fn end(&self) -> Option<u64> {
        self.final_size.or(self.cut)
    }

    /// Whether the application has read all there will be.
    pub fn at_end(&self) -> bool {
        self.final_size.is_some_and(|size| self.assembler.read_offset() >= size)
    }

    /// Moves the window's edge after the application has read; returns whether it moved enough
    /// to be told.
    pub fn open_window(&mut self) -> bool {
        if self.end().is_some_and(|end| end <= self.edge) {
            return false;
        }
        let edge = (self.assembler.read_offset() + self.window).min(MAX_VARINT);
        if edge < self.edge.saturating_add(self.window / 4) || edge == self.edge {
            return false;
        }
        self.edge = edge;
        true
    }

    /// How much more window the flow would like, given what was read by `now`.
    pub fn wanted_growth(&mut self, now: Instant) -> u64 {
        let read = self.assembler.read_offset();
        let Some((since, from)) = self.epoch else {
            self.epoch = Some((now, read));
            return 0;
        };
        if read - from < self.window {
            return 0;
        }
        self.epoch = Some((now, read));
        let quick = now.saturating_duration_since(since) < GROW_WITHIN;
        if quick { self.window.min(MAX_WINDOW.saturating_sub(self.window)) } else { 0 }
    }

    /// Makes the window larger; [`open_window`](Self::open_window) moves the edge.
    pub fn grow(&mut self, by: u64) {
        self.window += by;
    }
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn zeros(len: usize) -> Bytes {
        Bytes::from(vec![0; len])
    }

    #[test]
    fn bytes_beyond_the_window_are_a_breach() {
        let mut rx = Rx::new(10);
        assert_eq!(rx.insert(5, zeros(5)), Ok(5));
        assert_eq!(rx.insert(5, zeros(6)), Err(Breach::Window { end: 11, edge: 10 }));
    }

    #[test]
    fn bytes_in_too_many_stretches_are_a_breach_until_holes_are_filled() {
        for (window, most) in [(16 << 10, 256), (256 << 10, 4096), (MAX_WINDOW, 16_384)] {
            let mut rx = Rx::new(window);
            for stretch in 0..most {
                assert_eq!(rx.insert(2 * stretch + 1, zeros(1)), Ok(1));
            }
            let next = 2 * most + 1;
            assert_eq!(rx.insert(next, zeros(1)), Err(Breach::Scattered(most as usize)));
            assert_eq!(rx.insert(next - 1, zeros(2)), Ok(2), "the last one goes on");
            assert_eq!(rx.insert(next + 2, zeros(1)), Err(Breach::Scattered(most as usize)));
            assert_eq!(rx.insert(4, zeros(1)), Ok(1), "a hole is filled");
            assert_eq!(rx.insert(next + 2, zeros(1)), Ok(1));
            assert_eq!(rx.insert(0, zeros(next as usize + 3)), Ok(most));
            assert_eq!(rx.assembler.head(), next + 3);
        }
    }

    /// Pieces as QUIC gives them, a packet each, of segments of 16 KiB that took turns on two
    /// lanes; all that one lane carries comes before anything of the other.
    #[test]
    fn a_window_in_segments_over_two_lanes_in_any_order_is_never_too_scattered() {
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
    fn the_final_size_is_written_once_and_bounds_what_comes() {
        let mut rx = Rx::new(100);
        rx.insert(0, zeros(10)).unwrap();
        assert_eq!(rx.set_final_size(9), Err(Breach::FinalSize));
        assert_eq!(rx.set_final_size(20), Ok(()));
        assert_eq!(rx.set_final_size(20), Ok(()));
        assert_eq!(rx.set_final_size(21), Err(Breach::FinalSize));
        assert_eq!(rx.insert(15, zeros(6)), Err(Breach::FinalSize));
        assert!(!rx.at_end());
    }

    #[test]
    fn the_window_follows_reading_and_never_shrinks() {
        let mut rx = Rx::new(100);
        rx.insert(0, zeros(100)).unwrap();
        assert!(!rx.open_window(), "nothing has been read");
        rx.assembler.pop_at_most(20);
        assert!(!rx.open_window(), "too little to be worth a word");
        rx.assembler.pop_at_most(80);
        assert!(rx.open_window());
        assert_eq!(rx.edge(), 200);
    }

    #[test]
    fn a_window_that_is_read_quickly_grows_and_a_slow_one_does_not() {
        let t = Instant::now();
        for (pause, window) in [(10, 2000), (400, 1000)] {
            let mut rx = Rx::new(1000);
            rx.wanted_growth(t);
            rx.insert(0, zeros(1000)).unwrap();
            while rx.assembler.pop_at_most(500).is_some() {}
            let growth = rx.wanted_growth(t + Duration::from_millis(pause));
            rx.grow(growth);
            assert!(rx.open_window(), "a window that was read through is opened");
            assert_eq!((rx.window(), rx.edge()), (window, 1000 + window));
        }
    }

    #[test]
    fn a_window_stops_growing_at_its_bound() {
        let t = Instant::now();
        let mut rx = Rx::new(MAX_WINDOW);
        rx.wanted_growth(t);
        rx.insert(0, zeros(MAX_WINDOW as usize)).unwrap();
        rx.assembler.pop_at_most(usize::MAX);
        assert_eq!(rx.wanted_growth(t), 0);
    }

    #[test]
    fn copies_on_a_second_lane_are_told_apart_from_what_was_sent_again() {
        let mut rx = Rx::new(1 << 20);
        // A thin flow on two lanes: all of it comes twice.
        rx.count(false, true, 100, 0);
        rx.count(false, true, 0, 100);
        assert_eq!(rx.copies, 100);
        // Sent again in vain: no copy.
        rx.count(true, true, 0, 50);
        assert_eq!(rx.copies, 100);
        // Sent again, and the first sending comes after all: none either.
        rx.count(true, true, 70, 0);
        rx.count(false, true, 0, 70);
        assert_eq!(rx.copies, 100);
        rx.count(false, true, 0, 1);
        assert_eq!(rx.copies, 101);
        // A flow that is never on two lanes has none.
        rx.count(false, false, 0, 10);
        assert_eq!(rx.copies, 101);
    }
}
