//! The sending direction of a flow: the bytes that are kept, and which lane carries which of them.
//!
//! The bytes at risk are not stored anywhere. They are the bytes that were sent, are not
//! acknowledged, and are carried by no lane that is trusted. So a lane that becomes suspect puts its
//! bytes at risk, and a lane that recovers makes them safe again: the retransmission vanishes by
//! itself.

use std::ops::Range;
use std::time::Instant;

use super::ranges::RangeSet;
use super::rate_meter::RateMeter;
use super::segments::{Assignment, Chunk, FlowLane};
use super::send_buffer::SendBuffer;
use crate::selection::Placement;
use crate::types::LaneId;

/// How much a lane may be given next.
#[derive(Clone, Copy, Debug)]
pub struct ChunkLimits {
    /// The most bytes of a chunk.
    pub max: u64,
    /// The most bytes that may be re-sent now.
    pub may_resend: u64,
    /// The flow's bytes go on two lanes.
    pub duplicated: bool,
}

/// The sending direction.
#[derive(Debug)]
pub struct Tx {
    /// The bytes that the peer shim does not have.
    pub buffer: SendBuffer,
    /// The first offset that was never given to a lane.
    pub next: u64,
    /// The final size, once known.
    pub fin: Option<u64>,
    /// The offset up to which the peer accepts bytes (RFC 9000 §4.1).
    pub max_offset: u64,
    /// The lanes that carry something.
    pub lanes: Vec<FlowLane>,
    /// The lanes that the flow uses.
    pub placement: Placement,
    /// The offset from which on bytes go on two lanes.
    pub duplicate_from: u64,
    /// Some bytes may be at risk: a lane became suspect or was lost since they were last looked for.
    pub at_risk: bool,
    /// The number of bytes that were sent again on another lane.
    pub resent: u64,
    /// What the session's count of buffered bytes has of this flow.
    pub accounted_bytes: u64,
    meter: RateMeter,
}

impl Tx {
    /// Creates a direction in which the peer accepts `max_offset` bytes at first.
    pub fn new(max_offset: u64) -> Self {
        Self {
            buffer: SendBuffer::default(),
            next: 0,
            fin: None,
            max_offset,
            lanes: Vec::new(),
            placement: Placement::default(),
            duplicate_from: 0,
            at_risk: false,
            resent: 0,
            accounted_bytes: 0,
            meter: RateMeter::default(),
        }
    }

    /// Returns what `lane` carries; the record is made on demand.
    pub fn lane(&mut self, lane: LaneId) -> &mut FlowLane {
        let at = self.lanes.iter().position(|l| l.lane == lane).unwrap_or_else(|| {
            self.lanes.push(FlowLane::new(lane));
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    /// Returns whether `lane` carries unacknowledged bytes.
    pub fn is_carried_by(&self, lane: LaneId) -> bool {
        self.lanes.iter().any(|l| l.lane == lane && !l.carried.is_empty())
    }

    /// Returns whether the flow is thin, judged by what the application wrote up to `now`.
    pub fn is_thin(&mut self, now: Instant) -> bool {
        self.meter(now, 0);
        self.meter.is_thin()
    }

    /// Counts `bytes` written by the application.
    pub fn meter(&mut self, now: Instant, bytes: u64) {
        if self.meter.count(now, bytes, self.buffer.retained()) {
            self.duplicate_from = self.next;
        }
    }

    /// Returns the next chunk for `lane`. `trusted` tells which lanes carry their bytes safely.
    pub fn next_chunk(
        &mut self,
        lane: LaneId,
        limits: ChunkLimits,
        trusted: impl Fn(LaneId) -> bool,
    ) -> Option<Chunk> {
        let ChunkLimits { max, may_resend, duplicated } = limits;
        let base = self.buffer.base();
        if self.at_risk {
            match self.first_at_risk(lane, &trusted) {
                Some(gap) if may_resend > 0 => {
                    let end = gap.end.min(gap.start + max.min(may_resend));
                    return Some(Chunk { range: gap.start..end, resent: true });
                }
                Some(_) => {}
                // A suspect lane carries its own bytes safely only for itself: another must look.
                None if trusted(lane) => self.at_risk = false,
                None => {}
            }
        }
        if duplicated {
            let from = base.max(self.duplicate_from);
            let mut sent = self.buffer.acked().clone();
            sent.union(&self.lane(lane).carried);
            if let Some(gap) = sent.first_gap(from..self.next) {
                let end = gap.end.min(gap.start + max);
                return Some(Chunk { range: gap.start..end, resent: false });
            }
        }
        let end = self.buffer.end().min(self.next + max);
        (self.next < end).then_some(Chunk { range: self.next..end, resent: false })
    }

    /// Returns the lowest bytes that were sent, are not acknowledged, and that neither `lane` nor a
    /// trusted lane carries.
    fn first_at_risk(&self, lane: LaneId, trusted: impl Fn(LaneId) -> bool) -> Option<Range<u64>> {
        let mut carried_safely = self.buffer.acked().clone();
        for carrier in &self.lanes {
            if carrier.lane == lane || trusted(carrier.lane) {
                carried_safely.union(&carrier.carried);
            }
        }
        carried_safely.first_gap(self.buffer.base()..self.next)
    }

    /// Assigns a chunk to a segment of a lane: to the open one, or to a new one that gets the number
    /// `key`. A chunk that does not fit is shortened.
    pub fn assign(
        &mut self,
        now: Instant,
        lane: LaneId,
        key: u64,
        thin: bool,
        chunk: &mut Chunk,
    ) -> Assignment {
        let assignment = self.lane(lane).assign(now, key, thin, chunk);
        if chunk.resent {
            self.resent += chunk.range.end - chunk.range.start;
        }
        self.next = self.next.max(chunk.range.end);
        assignment
    }

    /// Takes an acknowledged range; returns how many of its bytes were not acknowledged before.
    pub fn ack(&mut self, range: Range<u64>) -> u64 {
        let new = self.buffer.ack(range.clone());
        if new > 0 {
            for carrier in &mut self.lanes {
                carrier.carried.remove(range.clone());
            }
        }
        new
    }

    /// Gives up everything that is not acknowledged: the peer does not want it any more. Calls
    /// `reset(lane, key)` for each segment.
    pub fn abandon(&mut self, mut reset: impl FnMut(LaneId, u64)) {
        self.buffer.clear();
        self.next = self.buffer.end();
        self.at_risk = false;
        for carrier in &mut self.lanes {
            carrier.carried = RangeSet::new();
            carrier.segments.drain(..).for_each(|segment| reset(carrier.lane, segment.key));
        }
    }

    /// Removes the segments whose bytes are all acknowledged and that will not be written to;
    /// calls `gone(lane, key, finished)` for each. On a suspect lane the open segment goes as well:
    /// otherwise its stale bytes would be sent again when the lane recovers.
    pub fn retire(
        &mut self,
        suspect: impl Fn(LaneId) -> bool,
        mut gone: impl FnMut(LaneId, u64, bool),
    ) {
        let Self { buffer, lanes, .. } = self;
        for carrier in lanes {
            let suspect = suspect(carrier.lane);
            carrier.segments.retain(|s| {
                let keep = (s.open && !suspect) || !buffer.is_acked(&(s.start..s.end));
                if !keep {
                    gone(carrier.lane, s.key, !suspect);
                }
                keep
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_backlog_that_gathers_in_an_outage_is_bulk_until_the_peer_has_it() {
        let (mut now, mut tx) = (Instant::now(), Tx::new(1 << 20));
        for elapsed in 1..=14 {
            now += Duration::from_secs(1);
            tx.meter(now, 5_000);
            tx.buffer.push(Bytes::from(vec![0; 5_000]));
            assert_eq!(tx.is_thin(now), elapsed <= 13, "{elapsed} s");
        }
        now += Duration::from_secs(3600);
        assert!(!tx.is_thin(now), "an hour later");
        tx.ack(0..30_000);
        assert!(!tx.is_thin(now), "most of it is not acknowledged yet");
        tx.ack(30_000..40_000);
        assert!(tx.is_thin(now));
    }
}
