//! The bytes that the application may read, as chunks in order.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::small_chunks::{COPY_BELOW, JOIN_UP_TO};

/// Holds chunks without a gap. Of two adjacent chunks at least one is not small, except for the
/// rest of a chunk that was read in part.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    chunks: VecDeque<Bytes>,
    /// The bytes behind `chunks`: small chunks, copied together as they are received.
    tail: BytesMut,
}

impl InOrder {
    /// Appends a chunk.
    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.len() >= COPY_BELOW {
            self.seal();
            self.chunks.push_back(chunk);
            return;
        }
        if self.tail.len() + chunk.len() > JOIN_UP_TO {
            self.seal();
        }
        self.tail.extend_from_slice(&chunk);
    }

    /// Moves up to `out.len()` chunks out and returns how many.
    pub(super) fn pop(&mut self, out: &mut [Bytes]) -> usize {
        if self.chunks.len() < out.len() {
            self.seal();
        }
        let count = out.len().min(self.chunks.len());
        for (slot, chunk) in out.iter_mut().zip(self.chunks.drain(..count)) {
            *slot = chunk;
        }
        count
    }

    /// Moves at most `max` bytes out as one chunk.
    pub(super) fn pop_at_most(&mut self, max: usize) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.seal();
        }
        let front = self.chunks.front_mut()?;
        let chunk = front.split_to(front.len().min(max));
        if front.is_empty() {
            self.chunks.pop_front();
        }
        Some(chunk)
    }

    /// Returns the bytes as chunks.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| &chunk[..]).chain(std::iter::once(&self.tail[..]))
    }

    /// Discards everything.
    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.tail = BytesMut::new();
    }

    /// Turns the tail into a chunk.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    #[cfg(test)]
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len() + usize::from(!self.tail.is_empty())
    }
}
