//! Reassembles one direction of a flow: bytes in any order, with overlaps and duplicates, go in;
//! every byte comes out once and in order.
//!
//! Received bytes are never replaced by later bytes for the same offsets.
//!
//! **Bounds**, whatever the peer sends. The caller refuses bytes beyond the granted window, so at
//! most a window of bytes is held. The overhead depends on the number of chunks: chunks of less
//! than 1 KiB are copied together, up to 4 KiB, so that a range without gaps takes at most two
//! chunks per KiB (some 200 bytes, with their allocations), and a buffer of copies is at most twice
//! as large as its content. The caller also bounds the number of separate ranges by asking
//! [`has_room`](Assembler::has_room) first. Each range costs about 150 bytes, and a chunk that makes
//! or fills a gap moves the list of the other ranges, which takes some microseconds.

mod in_order;
mod out_of_order;
mod small_chunks;
mod snapshot;

use std::ops::Range;

use bytes::Bytes;

use self::in_order::InOrder;
use self::out_of_order::OutOfOrder;

/// Reassembles one direction of a flow at its receiver.
#[derive(Debug, Default)]
pub struct Assembler {
    /// The application has taken everything below.
    read: u64,
    /// Everything below has been received.
    head: u64,
    /// The bytes from `read` to `head`.
    in_order: InOrder,
    /// The bytes above `head`.
    out_of_order: OutOfOrder,
    /// The number of bytes that were received again.
    duplicate: u64,
}

impl Assembler {
    /// Returns how many bytes the application has taken.
    pub fn read_offset(&self) -> u64 {
        self.read
    }

    /// Returns the offset below which everything has been received.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Returns how many bytes the application may read now.
    pub fn readable(&self) -> u64 {
        self.head - self.read
    }

    /// Returns the highest offset that has been received.
    pub fn highest(&self) -> u64 {
        self.out_of_order.ranges().last().map_or(self.head, |r| r.end)
    }

    /// Returns how many bytes wait for others that precede them.
    pub fn waiting(&self) -> u64 {
        self.out_of_order.ranges().len()
    }

    /// Returns how many bytes were received more than once.
    pub fn duplicate(&self) -> u64 {
        self.duplicate
    }

    /// Returns the received ranges in ascending order, at most `max` of them.
    pub fn received(&self, max: usize) -> Vec<Range<u64>> {
        let first = (self.head > 0).then_some(0..self.head);
        first.into_iter().chain(self.out_of_order.ranges().iter()).take(max).collect()
    }

    /// Returns whether inserting `range` leaves at most `max` separate ranges above the head.
    ///
    /// A range that starts at or below the head, or touches a received one, always has room.
    pub fn has_room(&self, range: &Range<u64>, max: usize) -> bool {
        let ranges = self.out_of_order.ranges();
        range.is_empty()
            || range.start <= self.head
            || ranges.count() < max
            || ranges.touches(range)
    }

    /// Takes bytes at `offset` and returns how many of them are new.
    pub fn insert(&mut self, offset: u64, mut bytes: Bytes) -> u64 {
        let len = bytes.len() as u64;
        let known = self.head.saturating_sub(offset).min(len);
        let bytes = bytes.split_off(known as usize);
        let new = if offset <= self.head && self.out_of_order.is_empty() {
            // The usual case: the next bytes in order, with nothing above them.
            self.head += len - known;
            self.in_order.push(bytes);
            len - known
        } else {
            let new = self.out_of_order.insert(offset + known, &bytes);
            self.head = self.out_of_order.drain(self.head, |chunk| self.in_order.push(chunk));
            new
        };
        self.duplicate += len - new;
        new
    }

    /// Moves up to `out.len()` chunks to the application and returns how many.
    pub fn pop(&mut self, out: &mut [Bytes]) -> usize {
        let count = self.in_order.pop(out);
        self.read += out[..count].iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        count
    }

    /// Moves at most `max` bytes to the application as one chunk.
    pub fn pop_at_most(&mut self, max: usize) -> Option<Bytes> {
        let chunk = self.in_order.pop_at_most(max)?;
        self.read += chunk.len() as u64;
        Some(chunk)
    }

    /// Discards the readable bytes, for a flow without a reader. Later bytes still count as received.
    pub fn discard(&mut self) {
        self.in_order.clear();
        self.read = self.head;
    }
}

#[cfg(test)]
mod tests;
