//! The receiving direction of a flow: the assembler and the window that is granted to the peer.
//!
//! The window follows the application's reading and grows while the application keeps up with the
//! peer. A granted window is memory set aside; it never shrinks (RFC 9000 §4.1).

mod snapshot;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::assembler::Assembler;
use super::duplicates::DuplicateCounter;
use crate::wire::codec::MAX_VARINT;

/// A window that is read through in less than this is too small: it should hold the bytes of a
/// round trip on a far path with a full queue.
const GROW_WITHIN: Duration = Duration::from_millis(250);

/// ... or in less than this where windows hold half of the node's memory, and grow only as they need to: it covers
/// what the other end's turns among many flows take.
const GROW_WITHIN_WHEN_SCARCE: Duration = Duration::from_millis(60);

/// ... and in less than so many round trips of the slowest lane. What a window passes in one round
/// trip is all that a sender can have under way (cf. dynamic right-sizing, Fisk and Feng, LACSI 2001),
/// and what a flow that bonds lanes has to wait for is under way on the slowest. Twice of it never binds
/// where nothing is lost. What is lost takes a round trip to be found and another one to be repaired, in
/// which nothing is read; and a sender whose window binds learns nothing of its path: of a radio link that
/// had fallen to a tenth, with 3 s of queue, it knew neither that nor that the queue was its own.
const GROW_WITHIN_ROUND_TRIPS: u32 = 4;

/// The same where windows hold half of the node's memory.
const GROW_WITHIN_ROUND_TRIPS_WHEN_SCARCE: u32 = 2;

/// The largest window of a flow: a gigabit over 130 ms.
pub(super) const MAX_WINDOW: u64 = 16 << 20;

/// The window that allows one more separate range of bytes above the missing ones.
const WINDOW_PER_RANGE: u64 = 64;

/// The ranges that every window allows: what the smallest window of a node, 16 KiB, gives.
const MIN_RANGES: u64 = 256;

/// The most ranges that any window allows.
///
/// A range costs about 150 bytes however short it is, so that the assembler's memory stays within
/// some three windows; and a chunk that makes or fills a gap moves the list of the other ranges,
/// 256 KiB at this many, which takes microseconds. Our own sender writes segments in order, so that
/// each segment in flight is at most one range: some tens, or hundreds where a flow that bonds lanes
/// is written in small chunks.
///
/// One more range is a violation. Leaving it out, unacknowledged, would not do: a sender re-sends
/// only what no trusted lane carries (`Tx::next_chunk`), and this lane has delivered the bytes, so
/// the flow would wait for ever. A violation closes the lane, and what the lane carried is re-sent
/// over others, the lowest offsets first: an honest sender goes on.
const MAX_RANGES: u64 = 16_384;

/// What the peer sent on a flow although the protocol does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxViolation {
    /// Bytes beyond the granted window.
    Window {
        /// The offset at which they end.
        end: u64,
        /// The offset that was granted.
        max_offset: u64,
    },
    /// Bytes beyond the final size, or two final sizes.
    FinalSize,
    /// More separate ranges of bytes than this.
    TooManyRanges(usize),
}

/// The receiving direction.
#[derive(Debug)]
pub struct Rx {
    /// The bytes that were received.
    pub assembler: Assembler,
    /// The number of bytes in all, once known.
    pub final_size: Option<u64>,
    /// The offset at which the peer's reset ends the flow: nothing beyond it is received.
    reset_at: Option<u64>,
    /// Nobody reads any more: received bytes are discarded.
    pub discard: bool,
    /// The application has seen the end.
    pub end_seen: bool,
    /// The bytes that were received since our facts were last sent.
    pub unreported: u64,
    duplicates: DuplicateCounter,
    max_offset: u64,
    window: u64,
    /// When the present measurement of reading began, and at which offset.
    epoch: Option<(Instant, u64)>,
}

impl Rx {
    /// Creates a direction with this window.
    pub fn new(window: u64) -> Self {
        Self {
            assembler: Assembler::default(),
            final_size: None,
            reset_at: None,
            discard: false,
            end_seen: false,
            unreported: 0,
            duplicates: DuplicateCounter::default(),
            max_offset: window,
            window,
            epoch: None,
        }
    }

    /// Returns the offset up to which the peer may send.
    pub fn max_offset(&self) -> u64 {
        self.max_offset
    }

    /// Returns the size of the window: memory that is set aside.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Returns the number of bytes that were received twice because the flow is on two lanes.
    pub fn duplicated_bytes(&self) -> u64 {
        self.duplicates.duplicated()
    }

    /// Takes bytes and returns how many of them are new.
    pub fn insert(&mut self, offset: u64, bytes: Bytes) -> Result<u64, RxViolation> {
        let end = offset + bytes.len() as u64;
        if end > self.max_offset {
            return Err(RxViolation::Window { end, max_offset: self.max_offset });
        }
        if self.end().is_some_and(|size| end > size) {
            return Err(RxViolation::FinalSize);
        }
        let max_ranges = self.max_ranges();
        if !self.assembler.has_room(&(offset..end), max_ranges) {
            return Err(RxViolation::TooManyRanges(max_ranges));
        }
        self.unreported += bytes.len() as u64;
        let new = self.assembler.insert(offset, bytes);
        if self.discard {
            self.assembler.discard();
        }
        Ok(new)
    }

    /// Counts a part of a segment, of which `new` bytes were new and `known` were received before.
    pub fn count(&mut self, resent: bool, on_two_lanes: bool, new: u64, known: u64) {
        self.duplicates.count(resent, on_two_lanes, new, known);
    }

    /// Returns how many separate ranges there may be above the missing bytes.
    fn max_ranges(&self) -> usize {
        (self.window / WINDOW_PER_RANGE).clamp(MIN_RANGES, MAX_RANGES) as usize
    }

    /// Takes the peer's word for the number of bytes in all.
    pub fn set_final_size(&mut self, size: u64) -> Result<(), RxViolation> {
        match self.final_size {
            Some(known) if known != size => Err(RxViolation::FinalSize),
            _ if size < self.assembler.highest() => Err(RxViolation::FinalSize),
            _ if self.reset_at.is_some_and(|at| at != size) => Err(RxViolation::FinalSize),
            _ => {
                self.final_size = Some(size);
                Ok(())
            }
        }
    }

    /// Takes the peer's reset: the bytes before `at` are still received, and nothing else.
    pub fn set_reset_at(&mut self, at: u64) -> Result<(), RxViolation> {
        let contradicts = self.end().is_some_and(|end| end != at);
        if contradicts || at < self.assembler.highest() {
            return Err(RxViolation::FinalSize);
        }
        self.reset_at = Some(at);
        Ok(())
    }

    /// Returns where the bytes end, by final size or reset, once known.
    pub fn end(&self) -> Option<u64> {
        self.final_size.or(self.reset_at)
    }

    /// Returns whether the application has read everything up to the final size.
    pub fn at_end(&self) -> bool {
        self.final_size.is_some_and(|size| self.assembler.read_offset() >= size)
    }

    /// Grants more after the application has read; returns whether it is enough to tell the peer.
    pub fn open_window(&mut self) -> bool {
        if self.end().is_some_and(|end| end <= self.max_offset) {
            return false;
        }
        let max_offset = (self.assembler.read_offset() + self.window).min(MAX_VARINT);
        let worth_sending = self.max_offset.saturating_add(self.window / 4);
        if max_offset < worth_sending || max_offset == self.max_offset {
            return false;
        }
        self.max_offset = max_offset;
        true
    }

    /// Returns how much more window the flow would like, given what was read by `now`; `slowest` is
    /// the longest round trip of the lanes, and `plenty` whether there is memory for more than the flow needs just now.
    pub fn wanted_growth(&mut self, now: Instant, slowest: Duration, plenty: bool) -> u64 {
        let read = self.assembler.read_offset();
        let Some((since, from)) = self.epoch else {
            self.epoch = Some((now, read));
            return 0;
        };
        if read - from < self.window {
            return 0;
        }
        self.epoch = Some((now, read));
        let (least, round_trips) = match plenty {
            true => (GROW_WITHIN, GROW_WITHIN_ROUND_TRIPS),
            false => (GROW_WITHIN_WHEN_SCARCE, GROW_WITHIN_ROUND_TRIPS_WHEN_SCARCE),
        };
        let within = least.max(round_trips * slowest);
        if now.saturating_duration_since(since) < within { self.doubling() } else { 0 }
    }

    /// Returns how much more window the flow would like because what arrived out of order fills the
    /// present one: the reader has read all that it could, and the sender has to stop for what one
    /// lane delivers late.
    pub fn growth_for_reordering(&self) -> u64 {
        let reached = self.assembler.highest() - self.assembler.read_offset();
        let blocked = self.assembler.readable() == 0 && reached >= self.window / 4 * 3;
        // The bytes have to be there: a window must not be had for one byte at its end.
        let grows = blocked && !self.discard && self.assembler.waiting() >= self.window / 2;
        if grows { self.doubling() } else { 0 }
    }

    /// Returns what doubles the window, as far as it may grow.
    fn doubling(&self) -> u64 {
        self.window.min(MAX_WINDOW.saturating_sub(self.window))
    }

    /// Enlarges the window; [`open_window`](Self::open_window) then grants it.
    pub fn grow(&mut self, bytes: u64) {
        self.window += bytes;
    }
}

#[cfg(test)]
mod tests;
