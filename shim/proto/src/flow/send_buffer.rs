//! The bytes that a flow has written and that the peer shim has not acknowledged.
//!
//! Bytes are pushed in order and leave when acknowledged, in any order. The buffer shares each chunk
//! with QUIC: nothing is copied. Its size is bounded by the peer's window, which the caller checks
//! before it pushes.

mod snapshot;

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::ranges::RangeSet;

/// The most separate ranges that are known to be acknowledged above the first byte that is not. A
/// receiver reports 32 at once, and each is a segment of its own: a lane sends one at a time.
const MAX_ACKED_RANGES: usize = 256;

/// Keeps the unacknowledged bytes of one direction of a flow.
#[derive(Debug, Default)]
pub struct SendBuffer {
    /// Everything below is acknowledged and dropped.
    base: u64,
    /// The offset of the next byte that is pushed.
    end: u64,
    /// The chunks with their offsets, contiguous; the first may begin below `base`.
    chunks: VecDeque<(u64, Bytes)>,
    /// The acknowledged ranges above `base`.
    acked: RangeSet,
}

impl SendBuffer {
    /// Returns the offset below which everything is acknowledged.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Returns the offset of the next byte that is pushed.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Returns how many bytes are kept.
    pub fn retained(&self) -> u64 {
        self.end - self.base
    }

    /// Returns what is acknowledged above [`base`](Self::base).
    pub fn acked(&self) -> &RangeSet {
        &self.acked
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let start = self.end;
        self.end += bytes.len() as u64;
        self.chunks.push_back((start, bytes));
    }

    /// Marks a range as acknowledged; returns how many of its bytes were not before.
    ///
    /// A range that would be one too many is left out: it is acknowledged again with what precedes
    /// it, and until then its bytes are kept.
    ///
    /// The caller has checked that it lies below [`end`](Self::end).
    pub fn ack(&mut self, range: Range<u64>) -> u64 {
        debug_assert!(range.end <= self.end, "acknowledged what was never sent");
        let range = range.start.max(self.base)..range.end.max(self.base);
        let joins = range.start <= self.base || self.acked.touches(&range);
        if self.acked.count() >= MAX_ACKED_RANGES && !joins {
            return 0;
        }
        let added = self.acked.insert(range);
        if let Some(first) = self.acked.first()
            && first.start <= self.base
        {
            self.base = first.end;
            self.acked.remove(first);
            while let Some((start, chunk)) = self.chunks.front()
                && start + chunk.len() as u64 <= self.base
            {
                self.chunks.pop_front();
            }
        }
        added
    }

    /// Returns whether all of `range` is acknowledged.
    pub fn is_acked(&self, range: &Range<u64>) -> bool {
        range.end <= self.base || self.acked.contains(&(range.start.max(self.base)..range.end))
    }

    /// Returns the bytes of a range, which lies within what is retained, as shared chunks.
    pub fn slice(&self, range: Range<u64>) -> Vec<Bytes> {
        debug_assert!(self.base <= range.start && range.end <= self.end);
        let first = self.chunks.partition_point(|(start, p)| start + p.len() as u64 <= range.start);
        let mut out = Vec::new();
        for (start, chunk) in self.chunks.range(first..) {
            if *start >= range.end {
                break;
            }
            let from = range.start.saturating_sub(*start) as usize;
            let to = (range.end - start).min(chunk.len() as u64) as usize;
            out.push(chunk.slice(from..to));
        }
        out
    }

    /// Drops everything that is kept, for a flow that was reset.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.acked = RangeSet::new();
        self.base = self.end;
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn unacknowledged_bytes_can_be_read_again() {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(2);
        for _ in 0..200 {
            let mut buffer = SendBuffer::default();
            let mut model: Vec<u8> = Vec::new();
            let mut acked = RangeSet::new();
            for _ in 0..60 {
                if rng.random_bool(0.5) {
                    let chunk: Vec<u8> =
                        (0..rng.random_range(0..50)).map(|_| rng.random()).collect();
                    model.extend(&chunk);
                    buffer.push(chunk.into());
                } else {
                    let start = rng.random_range(0..=model.len() as u64);
                    let end = rng.random_range(start..=model.len() as u64);
                    let added = buffer.ack(start..end);
                    assert_eq!(added, acked.insert(start..end));
                }
                let base = acked.first().filter(|r| r.start == 0).map_or(0, |r| r.end);
                assert_eq!(buffer.base(), base);
                assert_eq!(buffer.retained(), model.len() as u64 - base);
                let start = rng.random_range(base..=model.len() as u64);
                let end = rng.random_range(start..=model.len() as u64);
                let got = buffer.slice(start..end).concat();
                assert_eq!(got, &model[start as usize..end as usize]);
                assert_eq!(buffer.is_acked(&(start..end)), acked.contains(&(start..end)));
            }
        }
    }

    #[test]
    fn a_peer_that_acknowledges_every_second_byte_makes_no_endless_list() {
        let mut buffer = SendBuffer::default();
        buffer.push(Bytes::from(vec![0; 100_000]));
        for at in (1..100_000).rev().step_by(2) {
            buffer.ack(at..at + 1);
        }
        assert_eq!(buffer.acked.count(), MAX_ACKED_RANGES);
        // What joins a known range, or the base, is always taken, and the end frees everything.
        assert_eq!(buffer.ack(99_998..99_999), 1);
        assert_eq!(buffer.ack(0..10), 10);
        buffer.ack(0..100_000);
        assert_eq!((buffer.base(), buffer.retained(), buffer.acked.count()), (100_000, 0, 0));
    }

    #[test]
    fn acknowledged_chunks_are_freed() {
        let mut buffer = SendBuffer::default();
        for _ in 0..10 {
            buffer.push(Bytes::from_static(&[0; 100]));
        }
        buffer.ack(100..950);
        assert_eq!((buffer.base(), buffer.chunks.len()), (0, 10));
        buffer.ack(0..100);
        assert_eq!((buffer.base(), buffer.chunks.len(), buffer.acked.count()), (950, 1, 0));
    }
}
