//! The bytes that were received before their turn: chunks by offset, with gaps between them.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::super::ranges::RangeSet;
use super::small_chunks::{COPY_BELOW, JOIN_UP_TO};

/// How the bytes of a chunk are stored.
#[derive(Debug)]
enum Storage {
    /// A slice of QUIC's receive buffer.
    Shared(Bytes),
    /// Adjacent small chunks, copied together.
    Copied(BytesMut),
}

/// Holds the chunks above the head. Two adjacent copies are together longer than [`JOIN_UP_TO`];
/// shorter ones are joined.
#[derive(Debug, Default)]
pub(super) struct OutOfOrder {
    /// The chunks by offset, disjoint.
    chunks: BTreeMap<u64, Storage>,
    /// The offsets in `chunks`.
    ranges: RangeSet,
}

impl OutOfOrder {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the offsets of the held bytes.
    pub(super) fn ranges(&self) -> &RangeSet {
        &self.ranges
    }

    /// Returns the chunks with their offsets, in ascending order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.chunks.iter().map(|(start, storage)| match storage {
            Storage::Shared(bytes) => (*start, &bytes[..]),
            Storage::Copied(bytes) => (*start, &bytes[..]),
        })
    }

    /// Adds the bytes that are not held yet and returns how many those are.
    pub(super) fn insert(&mut self, start: u64, bytes: &Bytes) -> u64 {
        let end = start + bytes.len() as u64;
        let mut from = start;
        while let Some(gap) = self.ranges.first_gap(from..end) {
            let chunk = bytes.slice((gap.start - start) as usize..(gap.end - start) as usize);
            self.put(gap.start, chunk);
            from = gap.end;
        }
        // One change after all the gaps: each change may move the whole list.
        self.ranges.insert(start..end)
    }

    /// Passes the chunks that follow `head` without a gap to `each` and returns where they end.
    pub(super) fn drain(&mut self, head: u64, mut each: impl FnMut(Bytes)) -> u64 {
        let Some(first) = self.ranges.first().filter(|r| r.start == head) else { return head };
        let mut at = head;
        while at < first.end {
            let Some(storage) = self.chunks.remove(&at) else {
                debug_assert!(false, "a range without its bytes");
                break;
            };
            let chunk = match storage {
                Storage::Shared(bytes) => bytes,
                Storage::Copied(bytes) => bytes.freeze(),
            };
            at += chunk.len() as u64;
            each(chunk);
        }
        self.ranges.remove(first);
        at
    }

    /// Stores a chunk in a gap.
    fn put(&mut self, start: u64, chunk: Bytes) {
        if chunk.len() >= COPY_BELOW {
            self.chunks.insert(start, Storage::Shared(chunk));
            return;
        }
        let at = match self.chunks.range_mut(..start).next_back() {
            Some((at, Storage::Copied(before)))
                if at + before.len() as u64 == start
                    && before.len() + chunk.len() <= JOIN_UP_TO =>
            {
                before.extend_from_slice(&chunk);
                *at
            }
            _ => {
                self.chunks.insert(start, Storage::Copied(BytesMut::from(&chunk[..])));
                start
            }
        };
        self.join(at, start + chunk.len() as u64);
    }

    /// Joins the copy at `at`, which ends at `end`, with the copy that begins at `end` if the result
    /// is short enough.
    fn join(&mut self, at: u64, end: u64) {
        let both = match self.chunks.get(&end) {
            Some(Storage::Copied(after)) => (end - at) as usize + after.len(),
            _ => return,
        };
        if both <= JOIN_UP_TO
            && let Some(Storage::Copied(after)) = self.chunks.remove(&end)
            && let Some(Storage::Copied(before)) = self.chunks.get_mut(&at)
        {
            before.extend_from_slice(&after);
        }
    }

    #[cfg(test)]
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
}
