//! Puts one direction of a flow back together: any order, overlaps and duplicates in; every byte
//! once, in order, out.
//!
//! A stretch of bytes that has come is never replaced by what comes later for the same offsets.
//!
//! **Bounds**, whatever the peer sends. What lies beyond the granted window is refused by the
//! caller, so at most a window of bytes is held. What holding them costs beside depends on how
//! many pieces they are: pieces of less than 1 KiB are copied together, up to
//! 4 KiB, so that a stretch without holes is at most two pieces per KiB (some 200 bytes,
//! with their allocations), and a buffer of copies is at most twice as large as what is in it.
//! How many stretches there are is bounded by the caller too, who asks
//! [`has_room`](Assembler::has_room) first; each costs about 150 bytes, and some microseconds of
//! moving the list of the others for a piece that makes or fills a hole.

mod above;
mod ready;

use std::ops::Range;

use bytes::Bytes;

use self::above::Above;
use self::ready::Ready;

/// Pieces shorter than this are copied: a slice keeps the whole receive buffer of up to 64 KiB
/// alive, and a slow reader of small messages would hold a hundred times its window. Bulk comes in
/// pieces of a packet, at least 1200 bytes less some headers, and is not copied; it fills the
/// buffers it is a slice of, unless its peer goes out of its way to put other packets between.
const COPY_BELOW: usize = 1024;

/// Copies that are next to each other are joined as long as they are not longer than this. Joining
/// copies again, at worst this much for a single byte (a fraction of a microsecond).
const MERGE_UP_TO: usize = 4096;

/// One direction of a flow at its receiver.
#[derive(Debug, Default)]
pub struct Assembler {
    /// Handed to the application.
    read: u64,
    /// Everything below has come.
    head: u64,
    /// The bytes from `read` to `head`.
    ready: Ready,
    /// What has come above `head`.
    above: Above,
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
        self.above.ranges().last().map_or(self.head, |r| r.end)
    }

    /// Bytes that came more than once.
    pub fn duplicate(&self) -> u64 {
        self.duplicate
    }

    /// What has come, ascending, at most `max` ranges.
    pub fn received(&self, max: usize) -> Vec<Range<u64>> {
        let first = (self.head > 0).then_some(0..self.head);
        first.into_iter().chain(self.above.ranges().iter()).take(max).collect()
    }

    /// Whether bytes at `range` leave at most `most` separate stretches above the head: always,
    /// if they continue one or are the next in line.
    pub fn has_room(&self, range: &Range<u64>, most: usize) -> bool {
        let ranges = self.above.ranges();
        range.is_empty()
            || range.start <= self.head
            || ranges.count() < most
            || ranges.touches(range)
    }

    /// Takes bytes at `offset`; returns how many of them are new.
    pub fn insert(&mut self, offset: u64, mut bytes: Bytes) -> u64 {
        let len = bytes.len() as u64;
        let known = self.head.saturating_sub(offset).min(len);
        let bytes = bytes.split_off(known as usize);
        let new = if offset <= self.head && self.above.is_empty() {
            // The usual case: next in line, nothing waiting above.
            self.head += len - known;
            self.ready.push(bytes);
            len - known
        } else {
            let new = self.above.insert(offset + known, &bytes);
            self.head = self.above.drain(self.head, |piece| self.ready.push(piece));
            new
        };
        self.duplicate += len - new;
        new
    }

    /// Moves up to `out.len()` pieces to the application; returns how many.
    pub fn pop(&mut self, out: &mut [Bytes]) -> usize {
        let count = self.ready.pop(out);
        self.read += out[..count].iter().map(|piece| piece.len() as u64).sum::<u64>();
        count
    }

    /// Moves at most `max` bytes to the application as one piece.
    pub fn pop_at_most(&mut self, max: usize) -> Option<Bytes> {
        let piece = self.ready.pop_at_most(max)?;
        self.read += piece.len() as u64;
        Some(piece)
    }

    /// Throws away what is ready: nobody will read it. What comes later still counts as come.
    pub fn discard(&mut self) {
        self.ready.clear();
        self.read = self.head;
    }
}

#[cfg(test)]
mod tests;
