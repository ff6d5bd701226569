//! What a lane carries of a flow, and how chunks become segments.

use std::ops::Range;
use std::time::Instant;

use super::ranges::RangeSet;
use crate::types::LaneId;
use crate::wire::segment::MAX_SEGMENT;

/// The most writes into one segment. Each may end up in a packet of its own, and quinn closes a
/// connection whose stream has more than 1024 gaps.
const MAX_WRITES: u16 = 512;

/// The most bytes that are repeated with the next ones: both fit a packet.
const MAX_REPEATED: u64 = 512;

/// Bytes for a lane to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The offsets of the bytes.
    pub range: Range<u64>,
    /// Why they are sent.
    pub cause: Cause,
}

/// Why bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// They are the next, or the second copy of a flow on two lanes.
    New,
    /// They were sent on another lane, which is suspect, late or gone.
    AtRisk,
    /// They were sent on another lane, and all the rest of the flow waits for them.
    Rescue,
}

impl Chunk {
    /// Returns whether the bytes were sent before, and may arrive twice.
    pub fn is_resent(&self) -> bool {
        self.cause != Cause::New
    }
}

/// Where a chunk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The number of the segment on its lane.
    pub key: u64,
    /// The segment begins with this chunk.
    pub first: bool,
    /// The segment ends with this chunk.
    pub last: bool,
    /// The segment that was open before and ends now.
    pub finished: Option<u64>,
}

/// A segment that a lane is sending, or has sent.
#[derive(Debug)]
pub struct OutgoingSegment {
    /// The number of the segment on its lane.
    pub key: u64,
    /// The flow offset of its first byte.
    pub start: u64,
    /// The flow offset behind its last byte.
    pub end: u64,
    /// The number of writes into it.
    pub writes: u16,
    /// The segment is marked as re-sent.
    pub resent: bool,
    /// The segment was begun while the flow was thin. QUIC's priority of a stream is set once.
    pub thin: bool,
    /// More may be written to it.
    pub open: bool,
    /// When it was last written to.
    pub written_at: Instant,
}

impl OutgoingSegment {
    /// Begins a segment with `chunk`.
    fn begin(now: Instant, key: u64, thin: bool, chunk: &Chunk) -> Self {
        Self {
            key,
            start: chunk.range.start,
            end: chunk.range.start,
            writes: 0,
            resent: chunk.is_resent(),
            thin,
            open: true,
            written_at: now,
        }
    }

    /// Returns whether `chunk` may continue this segment.
    fn takes(&self, chunk: &Chunk, thin: bool) -> bool {
        self.open
            && self.thin == thin
            && self.end == chunk.range.start
            && self.resent == chunk.is_resent()
            && self.writes < MAX_WRITES
            && self.len() < MAX_SEGMENT
    }

    /// Appends as much of `chunk` as there is room for, and shortens the chunk to that.
    fn append(&mut self, now: Instant, chunk: &mut Chunk) {
        let room = MAX_SEGMENT - self.len();
        chunk.range.end = chunk.range.end.min(chunk.range.start + room);
        self.end = chunk.range.end;
        self.writes += 1;
        self.written_at = now;
        self.open = self.len() < MAX_SEGMENT && self.writes < MAX_WRITES;
    }

    fn len(&self) -> u64 {
        self.end - self.start
    }
}

/// What a lane carries of a flow.
#[derive(Debug)]
pub struct FlowLane {
    /// The lane.
    pub lane: LaneId,
    /// The bytes that were given to the lane and that the peer shim has not acknowledged.
    pub carried: RangeSet,
    /// In a flow that goes on two lanes, every byte below is acknowledged or carried by this one.
    pub(super) duplicated_to: u64,
    /// The segments, oldest first; only the last may be open.
    pub segments: Vec<OutgoingSegment>,
    /// The bytes that the lane was given last for the first time.
    newest: Range<u64>,
    /// The lane is to be looked at for an idle segment of the flow.
    pub swept: bool,
    /// The flow is in the lane's queue of flows with bytes to send.
    pub queued: bool,
    /// The flow is in the lane's queue of flows with facts to send.
    pub fact_queued: bool,
}

impl FlowLane {
    /// A lane that carries nothing of the flow.
    pub(super) fn new(lane: LaneId) -> Self {
        Self {
            lane,
            carried: RangeSet::new(),
            duplicated_to: 0,
            segments: Vec::new(),
            newest: 0..0,
            swept: false,
            queued: false,
            fact_queued: false,
        }
    }

    /// Returns where a chunk begins whose new bytes begin at `start` and that repeats those before.
    pub(super) fn repeat_from(&self, start: u64) -> u64 {
        let follows = self.newest.end == start && self.newest.start < start;
        let fits = follows && start - self.newest.start <= MAX_REPEATED;
        if fits { self.newest.start } else { start }
    }

    /// Assigns a chunk to the open segment, or to a new one that gets the number `key`. A chunk
    /// that does not fit is shortened.
    pub(super) fn assign(
        &mut self,
        now: Instant,
        key: u64,
        thin: bool,
        chunk: &mut Chunk,
    ) -> Assignment {
        let mut finished = None;
        let first = !self.segments.last().is_some_and(|s| s.takes(chunk, thin));
        if first {
            if let Some(last) = self.segments.last_mut()
                && std::mem::take(&mut last.open)
            {
                finished = Some(last.key);
            }
            self.segments.push(OutgoingSegment::begin(now, key, thin, chunk));
        }
        let Some(segment) = self.segments.last_mut() else {
            unreachable!("a segment was just pushed");
        };
        segment.append(now, chunk);
        let (key, last) = (segment.key, !segment.open);
        self.carried.insert(chunk.range.clone());
        if chunk.range.end > self.newest.end {
            self.newest = self.newest.end.max(chunk.range.start)..chunk.range.end;
        }
        Assignment { key, first, last, finished }
    }
}
