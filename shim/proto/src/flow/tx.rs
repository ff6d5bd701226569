//! The sending direction of a flow: the bytes that are kept, and which lane carries which of them.
//!
//! The bytes at risk are not stored anywhere. They are the bytes that were sent, are not
//! acknowledged, and are carried by no lane that is trusted. So a lane that becomes suspect puts its
//! bytes at risk, and a lane that recovers makes them safe again: the retransmission vanishes by
//! itself.

mod room;
mod snapshot;

use std::ops::Range;
use std::time::{Duration, Instant};

use super::ranges::RangeSet;
use super::rate_meter::RateMeter;
use super::segments::{Assignment, Cause, Chunk, FlowLane};
use super::send_buffer::SendBuffer;
use crate::selection::Placement;
use crate::types::LaneId;

/// How long late bytes are sent again without waiting, after some were.
const RESCUE_GOES_ON: Duration = Duration::from_millis(500);

/// Late bytes go before new ones only if so many may be sent again: each turn from the ones to the others begins a
/// segment, and a lane has few streams.
const MIN_RESCUE: u64 = 16 * 1024;

/// How much a lane may be given next.
#[derive(Clone, Copy, Debug)]
pub struct ChunkLimits {
    /// The most bytes of a chunk.
    pub max: u64,
    /// The most bytes that may be re-sent now.
    pub may_resend: u64,
    /// The most bytes that may be sent again because the rest of the flow waits for them.
    pub may_rescue: u64,
    /// The flow's bytes go on two lanes.
    pub duplicated: bool,
    /// New bytes are left to a faster lane.
    pub leaves: bool,
    /// What the lane was given before is given to it once more with the next bytes: its path loses packets.
    pub repeated: bool,
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
    /// Since when the peer has had later bytes and lacked the first ones, and which those are.
    blocked: Option<(u64, Instant)>,
    /// When late bytes were last sent again.
    rescued_at: Option<Instant>,
    /// Up to here late bytes go before new ones.
    rescue_to: u64,
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
            blocked: None,
            rescued_at: None,
            rescue_to: 0,
            accounted_bytes: 0,
            meter: RateMeter::default(),
        }
    }

    /// Returns what `lane` carries; the record is made on demand.
    pub fn lane(&mut self, lane: LaneId) -> &mut FlowLane {
        let at = self.lanes.iter().position(|l| l.lane == lane).unwrap_or_else(|| {
            if self.lanes.is_empty() {
                // Most flows use two at the most.
                self.lanes.reserve_exact(2);
            }
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

    /// Returns whether the flow was thin when that was last judged.
    pub fn was_thin(&self) -> bool {
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
        let ChunkLimits { max, may_resend, may_rescue, duplicated, leaves, repeated } = limits;
        if self.at_risk {
            match self.first_at_risk(lane, &trusted) {
                Some(gap) if may_resend > 0 => {
                    let end = gap.end.min(gap.start + max.min(may_resend));
                    return Some(Chunk { range: gap.start..end, cause: Cause::AtRisk });
                }
                Some(_) => {}
                // A suspect lane carries its own bytes safely only for itself: another must look.
                None if trusted(lane) => self.at_risk = false,
                None => {}
            }
        }
        if duplicated && let Some(gap) = self.first_to_duplicate(lane) {
            let end = gap.end.min(gap.start + max);
            let start = self.begin(lane, gap.start, repeated);
            return Some(Chunk { range: start..end, cause: Cause::New });
        }
        if !leaves && let Some(late) = self.rescue_first(lane, max, may_rescue) {
            return Some(late);
        }
        let end = self.buffer.end().min(self.next + max);
        if self.next < end {
            let range = self.begin(lane, self.next, repeated)..end;
            return (!leaves).then_some(Chunk { range, cause: Cause::New });
        }
        self.rescue(lane, max, may_rescue)
    }

    /// Returns late bytes that go before new ones, if so many may be sent again that it is worth a segment.
    fn rescue_first(&self, lane: LaneId, max: u64, may_rescue: u64) -> Option<Chunk> {
        if self.buffer.base() >= self.rescue_to || may_rescue < MIN_RESCUE {
            return None;
        }
        let late = self.rescue(lane, max, may_rescue)?;
        let range = late.range.start..late.range.end.min(self.rescue_to);
        (!range.is_empty()).then_some(Chunk { range, ..late })
    }

    /// Returns the first late bytes, as many as may be sent again.
    fn rescue(&self, lane: LaneId, max: u64, may_rescue: u64) -> Option<Chunk> {
        let gap = self.first_late(lane).filter(|_| may_rescue > 0)?;
        let end = gap.end.min(gap.start + max.min(may_rescue));
        Some(Chunk { range: gap.start..end, cause: Cause::Rescue })
    }

    /// Returns where a chunk for `lane` begins whose new bytes begin at `start`. Where it is `repeated` it
    /// begins with what the lane was given before, as far as the peer lacks that.
    fn begin(&self, lane: LaneId, start: u64, repeated: bool) -> u64 {
        let carrier = self.lanes.iter().find(|l| l.lane == lane && repeated);
        carrier.map_or(start, |l| l.repeat_from(start)).max(self.buffer.base().min(start))
    }

    /// Returns the lowest bytes that only other lanes carry, and for which later ones wait at the
    /// peer.
    fn first_late(&self, lane: LaneId) -> Option<Range<u64>> {
        let highest = self.buffer.acked().last()?.end;
        let carried = self.lanes.iter().find(|l| l.lane == lane).map(|carrier| &carrier.carried);
        let sets = std::iter::once(self.buffer.acked()).chain(carried);
        RangeSet::first_gap_of(sets, self.buffer.base()..highest)
    }

    /// Takes note of what the peer has by now.
    pub fn observe_head(&mut self, now: Instant) {
        let base = self.buffer.base();
        let waits = !self.buffer.acked().is_empty();
        match self.blocked {
            Some((at, _)) if waits && at == base => {}
            _ => self.blocked = waits.then_some((base, now)),
        }
    }

    /// Returns whether the first bytes that the peer lacks are late: it has had later ones for `patience`.
    /// Where some were late a moment ago, what comes next is late as well: each hole that a lossy lane
    /// left would else cost that time.
    pub fn is_blocked(&self, now: Instant, patience: Duration) -> bool {
        let within = |at: Instant, time| now.saturating_duration_since(at) < time;
        let again = self.rescued_at.is_some_and(|at| within(at, RESCUE_GOES_ON));
        self.blocked.is_some_and(|(_, since)| again || !within(since, patience))
    }

    /// Has late bytes go before new ones if the first bytes that the peer lacks have been late for `patience`: all
    /// that is missing below what the peer has by then.
    pub fn rescue_if_late(&mut self, now: Instant, patience: Duration) {
        let late = |(_, since)| now.saturating_duration_since(since) >= patience;
        if self.blocked.is_some_and(late) {
            self.rescue_to = self.buffer.acked().last().map_or(0, |range| range.end);
        }
    }

    /// Returns how many lanes carry unacknowledged bytes.
    pub fn carriers(&self) -> usize {
        self.lanes.iter().filter(|l| !l.carried.is_empty()).count()
    }

    /// Returns whether another lane than `lane` carries unacknowledged bytes.
    pub fn is_carried_by_others(&self, lane: LaneId) -> bool {
        self.lanes.iter().any(|l| l.lane != lane && !l.carried.is_empty())
    }

    /// Returns the lowest bytes that were sent, are not acknowledged, and that neither `lane` nor a
    /// trusted lane carries.
    fn first_at_risk(&self, lane: LaneId, trusted: impl Fn(LaneId) -> bool) -> Option<Range<u64>> {
        let safely = |carrier: &&FlowLane| carrier.lane == lane || trusted(carrier.lane);
        let carried = self.lanes.iter().filter(safely).map(|carrier| &carrier.carried);
        let sets = std::iter::once(self.buffer.acked()).chain(carried);
        RangeSet::first_gap_of(sets, self.buffer.base()..self.next)
    }

    /// Returns the lowest bytes that go on two lanes, are not acknowledged, and that `lane` does not
    /// carry yet.
    fn first_to_duplicate(&mut self, lane: LaneId) -> Option<Range<u64>> {
        let (from, next) = (self.buffer.base().max(self.duplicate_from), self.next);
        self.lane(lane);
        let Self { buffer, lanes, .. } = self;
        let carrier = lanes.iter_mut().find(|carrier| carrier.lane == lane)?;
        // A lane carries a byte until it is acknowledged: what was looked at once needs no second
        // look.
        let from = from.max(carrier.duplicated_to);
        let gap =
            RangeSet::first_gap_of([buffer.acked(), &carrier.carried].into_iter(), from..next);
        carrier.duplicated_to = gap.as_ref().map_or(next, |gap| gap.start);
        gap
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
        if chunk.cause == Cause::Rescue {
            self.rescued_at = Some(now);
        }
        if chunk.is_resent() {
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
            if carrier.segments.is_empty() {
                // An idle flow keeps no room for segments.
                carrier.segments = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn late_bytes_are_late_at_once_while_others_were_lately() {
        const MS: Duration = Duration::from_millis(1);
        let (now, mut tx) = (Instant::now(), Tx::new(1 << 20));
        tx.buffer.push(Bytes::from(vec![0; 4_000]));
        let give = |tx: &mut Tx, at, lane, range, cause| {
            let mut chunk = Chunk { range, cause };
            tx.assign(now + at, LaneId(lane), lane, false, &mut chunk);
        };
        give(&mut tx, Duration::ZERO, 1, 0..4_000, Cause::New);
        tx.ack(1_000..2_000);
        tx.observe_head(now);
        let late = |tx: &Tx, at| tx.is_blocked(now + at, 10 * MS);
        assert_eq!([9, 10].map(|ms| late(&tx, ms * MS)), [false, true]);
        give(&mut tx, 10 * MS, 2, 0..1_000, Cause::Rescue);
        tx.ack(0..1_000);
        tx.observe_head(now + 20 * MS);
        assert!(!late(&tx, 20 * MS), "nothing is missing");
        tx.ack(3_000..4_000);
        tx.observe_head(now + 30 * MS);
        assert!(late(&tx, 30 * MS));
        tx.ack(2_000..2_500);
        tx.observe_head(now + 600 * MS);
        assert!(!late(&tx, 600 * MS), "that is long ago");
    }

    #[test]
    fn what_a_flow_has_long_waited_for_goes_before_what_is_new() {
        const MS: Duration = Duration::from_millis(1);
        let (now, mut tx) = (Instant::now(), Tx::new(1 << 20));
        tx.buffer.push(Bytes::from(vec![0; 4_000]));
        let mut chunk = Chunk { range: 0..2_000, cause: Cause::New };
        tx.assign(now, LaneId(1), 1, false, &mut chunk);
        tx.ack(1_000..2_000);
        let next = |tx: &mut Tx, lane, leaves, may_rescue| {
            let (max, may_resend, duplicated, repeated) = (1 << 16, 0, false, false);
            let limits = ChunkLimits { max, may_resend, may_rescue, duplicated, leaves, repeated };
            tx.next_chunk(LaneId(lane), limits, |_| true).map(|chunk| (chunk.range, chunk.cause))
        };
        let new = Some((2_000..4_000, Cause::New));
        let late = Some((0..1_000, Cause::Rescue));
        tx.observe_head(now);
        tx.rescue_if_late(now + 499 * MS, 500 * MS);
        assert_eq!(next(&mut tx, 2, false, 1 << 16), new, "it may come yet");
        tx.rescue_if_late(now + 500 * MS, 500 * MS);
        assert_eq!(next(&mut tx, 2, false, 1 << 16), late);
        assert_eq!(next(&mut tx, 2, true, 1 << 16), None, "a faster lane has them to send");
        assert_eq!(next(&mut tx, 2, false, 300), new, "too little to begin a segment for");
        assert_eq!(next(&mut tx, 1, false, 1 << 16), new, "this lane has them under way");
        // What is missing beyond what the peer had then has to be late as well.
        let mut chunk = Chunk { range: 2_000..3_000, cause: Cause::New };
        tx.assign(now, LaneId(1), 1, false, &mut chunk);
        tx.ack(0..1_000);
        let mut chunk = Chunk { range: 3_000..3_500, cause: Cause::New };
        tx.assign(now, LaneId(2), 2, false, &mut chunk);
        tx.ack(3_000..3_500);
        assert_eq!(next(&mut tx, 2, false, 1 << 16), Some((3_500..4_000, Cause::New)));
    }

    #[test]
    fn a_lane_that_loses_packets_is_given_the_last_message_again_with_the_next() {
        let (now, lane, mut tx) = (Instant::now(), LaneId(1), Tx::new(1 << 20));
        let limits = |repeated| ChunkLimits {
            max: 1 << 16,
            may_resend: 0,
            may_rescue: 0,
            duplicated: false,
            leaves: false,
            repeated,
        };
        let send = |tx: &mut Tx, len: usize, repeated| {
            tx.buffer.push(Bytes::from(vec![0; len]));
            let mut chunk = tx.next_chunk(lane, limits(repeated), |_| true).unwrap();
            tx.assign(now, lane, 0, true, &mut chunk);
            chunk.range
        };
        assert_eq!(send(&mut tx, 100, true), 0..100);
        assert_eq!(send(&mut tx, 100, true), 0..200);
        assert_eq!(send(&mut tx, 100, true), 100..300, "once, not for ever");
        assert_eq!(send(&mut tx, 100, false), 300..400);
        tx.ack(0..350);
        assert_eq!(send(&mut tx, 100, true), 350..500, "what the peer has is not repeated");
        assert_eq!(send(&mut tx, 5_000, true), 400..5_500);
        assert_eq!(send(&mut tx, 100, true), 5_500..5_600, "what fills packets is not repeated");
    }
}
