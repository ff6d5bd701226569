//! What came before its turn: pieces by offset, with holes between them.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::{COPY_BELOW, MERGE_UP_TO};
use crate::ranges::RangeSet;

/// A piece, as it is held.
#[derive(Debug)]
enum Held {
    /// A slice of what QUIC received.
    Shared(Bytes),
    /// Small pieces that are next to each other, copied together.
    Copied(BytesMut),
}

/// The pieces above the head. Two copies that are next to each other are together longer than
/// [`MERGE_UP_TO`]: else they are one.
#[derive(Debug, Default)]
pub(super) struct Above {
    /// By offset, disjoint.
    pieces: BTreeMap<u64, Held>,
    /// The offsets in `pieces`.
    ranges: RangeSet,
}

impl Above {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// What is there.
    pub(super) fn ranges(&self) -> &RangeSet {
        &self.ranges
    }

    /// Adds what is not there yet; returns how much that was.
    pub(super) fn insert(&mut self, start: u64, bytes: &Bytes) -> u64 {
        let end = start + bytes.len() as u64;
        let mut from = start;
        while let Some(gap) = self.ranges.first_gap(from..end) {
            let piece = bytes.slice((gap.start - start) as usize..(gap.end - start) as usize);
            self.put(gap.start, piece);
            from = gap.end;
        }
        // At once, after all the gaps: each change may move the whole list.
        self.ranges.insert(start..end)
    }

    /// Gives what comes without a hole from `head` on to `each`; returns where it ends.
    pub(super) fn drain(&mut self, head: u64, mut each: impl FnMut(Bytes)) -> u64 {
        let Some(first) = self.ranges.first().filter(|r| r.start == head) else { return head };
        let mut at = head;
        while at < first.end {
            let Some(held) = self.pieces.remove(&at) else {
                debug_assert!(false, "a range without its bytes");
                break;
            };
            let piece = match held {
                Held::Shared(bytes) => bytes,
                Held::Copied(bytes) => bytes.freeze(),
            };
            at += piece.len() as u64;
            each(piece);
        }
        self.ranges.remove(first);
        at
    }

    /// Holds a piece where nothing is.
    fn put(&mut self, start: u64, piece: Bytes) {
        if piece.len() >= COPY_BELOW {
            self.pieces.insert(start, Held::Shared(piece));
            return;
        }
        let at = match self.pieces.range_mut(..start).next_back() {
            Some((at, Held::Copied(before)))
                if at + before.len() as u64 == start
                    && before.len() + piece.len() <= MERGE_UP_TO =>
            {
                before.extend_from_slice(&piece);
                *at
            }
            _ => {
                self.pieces.insert(start, Held::Copied(BytesMut::from(&piece[..])));
                start
            }
        };
        self.join(at, start + piece.len() as u64);
    }

    /// Joins the copy at `at`, which ends at `end`, with the one that begins there, if they may.
    fn join(&mut self, at: u64, end: u64) {
        let both = match self.pieces.get(&end) {
            Some(Held::Copied(after)) => (end - at) as usize + after.len(),
            _ => return,
        };
        if both <= MERGE_UP_TO
            && let Some(Held::Copied(after)) = self.pieces.remove(&end)
            && let Some(Held::Copied(before)) = self.pieces.get_mut(&at)
        {
            before.extend_from_slice(&after);
        }
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }
}
