//! Puts one direction of a flow back together: any order, overlaps and duplicates in; every byte
//! once, in order, out.
//!
//! What lies beyond the granted window is refused, so the assembler holds at most a window. A
//! stretch of bytes that has come is never replaced by what comes later for the same offsets.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use super::ranges::RangeSet;

/// Pieces shorter than this are copied: a slice keeps the whole receive buffer of up to 64 KiB
/// alive, and a slow reader of small messages would hold a hundred times its window.
const COPY_BELOW: usize = 1024;

/// One direction of a flow at its receiver.
#[derive(Debug, Default)]
pub struct Assembler {
    /// Handed to the application.
    read: u64,
    /// Everything below has come.
    head: u64,
    /// The pieces from `read` to `head`.
    ready: VecDeque<Bytes>,
    /// Pieces above `head` by offset, disjoint.
    above: BTreeMap<u64, Bytes>,
    /// The offsets in `above`.
    above_ranges: RangeSet,
    /// Bytes that came although we had them.
    duplicate: u64,
}

impl Assembler {
    /// How many bytes the application has taken.
    pub fn read_offset(&self) -> u64 {
        self.read
    }

    /// Everything below this offset has come.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Bytes ready for the application.
    pub fn ready(&self) -> u64 {
        self.head - self.read
    }

    /// The highest offset that has come.
    pub fn highest(&self) -> u64 {
        self.above_ranges.iter().last().map_or(self.head, |r| r.end)
    }

    /// Bytes that came more than once.
    pub fn duplicate(&self) -> u64 {
        self.duplicate
    }

    /// What has come, ascending, at most `max` ranges.
    pub fn received(&self, max: usize) -> Vec<Range<u64>> {
        let first = (self.head > 0).then_some(0..self.head);
        first.into_iter().chain(self.above_ranges.iter()).take(max).collect()
    }

    /// Takes bytes at `offset`; returns how many of them are new.
    pub fn insert(&mut self, offset: u64, bytes: Bytes) -> u64 {
        let end = offset + bytes.len() as u64;
        if offset == self.head && self.above.is_empty() {
            // The usual case: next in line, nothing waiting above.
            self.head = end;
            self.push_ready(bytes);
            return end - offset;
        }
        let mut new = 0;
        let mut from = offset.max(self.head);
        self.duplicate += from.min(end) - offset.min(from.min(end));
        while let Some(gap) = self.above_ranges.first_gap(from..end) {
            let piece = bytes.slice((gap.start - offset) as usize..(gap.end - offset) as usize);
            new += gap.end - gap.start;
            self.duplicate += gap.start - from;
            from = gap.end;
            self.above_ranges.insert(gap.clone());
            self.above.insert(gap.start, own(piece));
        }
        self.duplicate += end.saturating_sub(from);
        self.advance();
        new
    }

    /// Moves up to `out.len()` pieces to the application; returns how many.
    pub fn pop(&mut self, out: &mut [Bytes]) -> usize {
        let count = out.len().min(self.ready.len());
        for (slot, piece) in out.iter_mut().zip(self.ready.drain(..count)) {
            self.read += piece.len() as u64;
            *slot = piece;
        }
        count
    }

    /// Moves at most `max` bytes to the application as one piece.
    pub fn pop_at_most(&mut self, max: usize) -> Option<Bytes> {
        let front = self.ready.front_mut()?;
        let piece = front.split_to(front.len().min(max));
        if front.is_empty() {
            self.ready.pop_front();
        }
        self.read += piece.len() as u64;
        Some(piece)
    }

    /// Throws away what is ready: nobody will read it. What comes later still counts as come.
    pub fn discard(&mut self) {
        self.ready.clear();
        self.read = self.head;
    }

    fn advance(&mut self) {
        let Some(first) = self.above_ranges.first().filter(|r| r.start == self.head) else {
            return;
        };
        while self.head < first.end {
            let Some(piece) = self.above.remove(&self.head) else {
                debug_assert!(false, "a range without its bytes");
                break;
            };
            self.head += piece.len() as u64;
            self.ready.push_back(piece);
        }
        self.above_ranges.remove(first);
    }

    fn push_ready(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.ready.push_back(own(bytes));
        }
    }
}

fn own(piece: Bytes) -> Bytes {
    if piece.len() < COPY_BELOW { Bytes::copy_from_slice(&piece) } else { piece }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn any_order_with_overlaps_and_duplicates_gives_every_byte_once_in_order() {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(3);
        for _ in 0..300 {
            let len = rng.random_range(1..3000u64);
            let model: Vec<u8> = (0..len).map(|_| rng.random()).collect();
            let mut assembler = Assembler::default();
            let mut come = RangeSet::new();
            let mut out = Vec::new();
            let mut total = 0;
            while (out.len() as u64) < len {
                let start = rng.random_range(0..len);
                let end = rng.random_range(start..=len.min(start + 400));
                let piece = Bytes::copy_from_slice(&model[start as usize..end as usize]);
                total += end - start;
                assert_eq!(assembler.insert(start, piece), come.insert(start..end));
                assert_eq!(assembler.received(usize::MAX), come.iter().collect::<Vec<_>>());
                assert_eq!(assembler.duplicate(), total - come.len());
                assert_eq!(assembler.highest(), come.iter().last().map_or(0, |r| r.end));
                if rng.random_bool(0.3) {
                    let mut bufs = vec![Bytes::new(); rng.random_range(1..4)];
                    let count = assembler.pop(&mut bufs);
                    bufs[..count].iter().for_each(|b| out.extend_from_slice(b));
                } else if let Some(piece) = assembler.pop_at_most(rng.random_range(1..100)) {
                    out.extend_from_slice(&piece);
                }
                assert_eq!(assembler.read_offset(), out.len() as u64);
            }
            assert_eq!(out, model);
            assert!(assembler.above.is_empty() && assembler.above_ranges.is_empty());
        }
    }

    #[test]
    fn bytes_that_have_come_are_not_replaced() {
        let mut assembler = Assembler::default();
        assembler.insert(2, Bytes::from_static(b"cd"));
        assembler.insert(0, Bytes::from_static(b"abXYe"));
        assert_eq!(assembler.pop_at_most(9).unwrap(), &b"ab"[..]);
        assert_eq!(assembler.pop_at_most(9).unwrap(), &b"cd"[..]);
        assert_eq!(assembler.pop_at_most(9).unwrap(), &b"e"[..]);
    }

    #[test]
    fn discarded_bytes_still_count_as_come() {
        let mut assembler = Assembler::default();
        assembler.insert(0, Bytes::from_static(b"abc"));
        assembler.discard();
        assert_eq!((assembler.ready(), assembler.head(), assembler.read_offset()), (0, 3, 3));
    }
}
