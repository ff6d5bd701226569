//! What the application may read: pieces in order.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{COPY_BELOW, MERGE_UP_TO};

/// Pieces without a hole. Of two that are next to each other at least one is not small, save for
/// the rest of one that was read in part.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pieces: VecDeque<Bytes>,
    /// Behind `pieces`: small ones, copied together as they come.
    tail: BytesMut,
}

impl Ready {
    /// Appends.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.len() >= COPY_BELOW {
            self.seal();
            self.pieces.push_back(piece);
            return;
        }
        if self.tail.len() + piece.len() > MERGE_UP_TO {
            self.seal();
        }
        self.tail.extend_from_slice(&piece);
    }

    /// Moves up to `out.len()` pieces out; returns how many.
    pub(super) fn pop(&mut self, out: &mut [Bytes]) -> usize {
        if self.pieces.len() < out.len() {
            self.seal();
        }
        let count = out.len().min(self.pieces.len());
        for (slot, piece) in out.iter_mut().zip(self.pieces.drain(..count)) {
            *slot = piece;
        }
        count
    }

    /// Moves at most `max` bytes out as one piece.
    pub(super) fn pop_at_most(&mut self, max: usize) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.seal();
        }
        let front = self.pieces.front_mut()?;
        let piece = front.split_to(front.len().min(max));
        if front.is_empty() {
            self.pieces.pop_front();
        }
        Some(piece)
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.tail = BytesMut::new();
    }

    /// Makes the tail a piece like the others.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len() + usize::from(!self.tail.is_empty())
    }
}
