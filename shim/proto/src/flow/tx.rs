//! The direction of a flow that we send: what is kept, and which lane carries what.
//!
//! What is to be sent again is not stored anywhere: it is what was sent, is not acknowledged, and
//! is carried by no lane that we trust. A lane that falls under suspicion uncovers its bytes; a
//! lane that proves alive covers them again, and the re-send vanishes by itself.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::handover::Handover;
use crate::flow::ranges::RangeSet;
use crate::flow::send_buffer::SendBuffer;
use crate::types::LaneId;
use crate::wire::segment::MAX_SEGMENT;

/// The most writes into one segment. Each may end up in a packet of its own, and quinn closes a
/// connection whose stream has more than 1024 holes.
const MAX_WRITES: u16 = 512;

/// A flow is thin below this rate, in bytes a second (100 kbit/s).
const THIN_RATE: f64 = 12_500.0;

/// Bytes above the thin rate that a flow may send before it counts as thick: a screenful.
const THIN_BURST: f64 = 32_768.0;

/// A flow of which the peer lacks more than this is thick, however slowly it was written: what has
/// gathered in an outage is bulk, and as a thin flow's would go out past a full window.
const THIN_BACKLOG: u64 = 65_536;

/// A segment we are writing, or have written, on a lane.
#[derive(Debug)]
pub struct Outgoing {
    /// Its number among the lane's segments.
    pub key: u64,
    /// The flow offset of its first byte.
    pub start: u64,
    /// The flow offset behind its last byte.
    pub next: u64,
    /// How often it was written to.
    pub writes: u16,
    /// Marked as re-sent.
    pub resent: bool,
    /// Begun while the flow was thin: QUIC's priority of the stream is set once.
    pub thin: bool,
    /// More may be written to it.
    pub open: bool,
    /// When it was last written to.
    pub used: Instant,
}

impl Outgoing {
    /// Whether `chunk` may continue this segment.
    fn takes(&self, chunk: &Chunk, thin: bool) -> bool {
        self.open
            && self.thin == thin
            && self.next == chunk.range.start
            && self.resent == chunk.resent
            && self.writes < MAX_WRITES
            && self.next - self.start < MAX_SEGMENT
    }
}

/// What a lane carries of a flow.
#[derive(Debug)]
pub struct FlowLane {
    /// The lane.
    pub lane: LaneId,
    /// Given to the lane and not acknowledged by the peer shim.
    pub carried: RangeSet,
    /// The segments, oldest first; only the last may be open.
    pub segments: Vec<Outgoing>,
    /// In the lane's queue of flows with something to send.
    pub queued: bool,
    /// In the lane's queue of flows with something to state.
    pub fact_queued: bool,
}

/// A piece of work for a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// What to send.
    pub range: Range<u64>,
    /// It was sent on another lane, which is in doubt or gone.
    pub resent: bool,
}

/// The sending direction.
#[derive(Debug)]
pub struct Tx {
    /// What the peer shim does not have.
    pub buffer: SendBuffer,
    /// The first offset that was never given to a lane.
    pub next: u64,
    /// How many bytes we send in all, once known.
    pub fin: Option<u64>,
    /// The peer takes what precedes this offset.
    pub edge: u64,
    /// The lanes that carry something.
    pub lanes: Vec<FlowLane>,
    /// The lane that takes new bytes.
    pub home: Option<LaneId>,
    /// The lane it left because that was in doubt: it comes back if the doubt was brief.
    pub aside: Option<LaneId>,
    /// The second lane, where the mode wants two.
    pub second: Option<LaneId>,
    /// The lane it has left and still uses.
    pub handover: Option<Handover>,
    /// From here on bytes go on two lanes.
    pub twice_from: u64,
    /// Something may be uncovered: a lane fell under suspicion or died since we last looked.
    pub uncovered: bool,
    /// Bytes sent again on another lane.
    pub resent: u64,
    /// What the session's count of buffered bytes has of this flow.
    pub counted: u64,
    level: f64,
    level_at: Option<Instant>,
    thick: bool,
}

impl Tx {
    /// A direction in which the peer takes `edge` bytes at first.
    pub fn new(edge: u64) -> Self {
        Self {
            buffer: SendBuffer::default(),
            next: 0,
            fin: None,
            edge,
            lanes: Vec::new(),
            home: None,
            aside: None,
            second: None,
            handover: None,
            twice_from: 0,
            uncovered: false,
            resent: 0,
            counted: 0,
            level: 0.0,
            level_at: None,
            thick: false,
        }
    }

    /// What lane `lane` carries, made on demand.
    pub fn lane(&mut self, lane: LaneId) -> &mut FlowLane {
        let at = self.lanes.iter().position(|l| l.lane == lane).unwrap_or_else(|| {
            self.lanes.push(FlowLane {
                lane,
                carried: RangeSet::new(),
                segments: Vec::new(),
                queued: false,
                fact_queued: false,
            });
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    /// Whether the flow is thin, judged by what the application wrote up to `now`.
    pub fn is_thin(&mut self, now: Instant) -> bool {
        self.meter(now, 0);
        !self.thick
    }

    /// New bytes go to `home` from `now` on. A thick flow leaves its lane bit by bit; `rtt` says what
    /// the round trip of a lane is.
    pub fn settle(&mut self, now: Instant, home: LaneId, rtt: impl Fn(LaneId) -> Duration) {
        let before = self.home.replace(home).filter(|before| *before != home);
        if let Some(from) = before.filter(|_| !self.is_thin(now)) {
            self.handover = Some(Handover::new(now, from, rtt(home).max(rtt(from))));
        }
    }

    /// Counts `bytes` written by the application: a bucket that leaks at the thin rate. A flow
    /// whose bucket overflows is thick until the bucket is empty again and the peer has its bytes.
    pub fn meter(&mut self, now: Instant, bytes: u64) {
        let passed =
            self.level_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.level_at = Some(now);
        self.level = (self.level - passed * THIN_RATE).max(0.0) + bytes as f64;
        // The bucket is not filled far past its brim, or a bulk flow would stay thick for hours.
        self.level = self.level.min(2.0 * THIN_BURST);
        let backlog = self.buffer.retained();
        if self.level > THIN_BURST || backlog > THIN_BACKLOG {
            self.thick = true;
        } else if self.level == 0.0 && self.thick && backlog <= THIN_BURST as u64 {
            self.thick = false;
            self.twice_from = self.next;
        }
    }

    /// The next piece for `lane`, at most `max` bytes.
    ///
    /// `trusted` tells which lanes' bytes need not be sent again; `twice` whether this flow is
    /// carried on two lanes; `may_resend` how many bytes may be sent again now.
    pub fn next_chunk(
        &mut self,
        lane: LaneId,
        max: u64,
        trusted: impl Fn(LaneId) -> bool,
        twice: bool,
        may_resend: u64,
    ) -> Option<Chunk> {
        let base = self.buffer.base();
        if self.uncovered {
            match self.first_uncovered(lane, &trusted) {
                Some(gap) if may_resend > 0 => {
                    let end = gap.end.min(gap.start + max.min(may_resend));
                    return Some(Chunk { range: gap.start..end, resent: true });
                }
                Some(_) => {}
                // A lane in doubt covers its own bytes for itself only: another must still look.
                None if trusted(lane) => self.uncovered = false,
                None => {}
            }
        }
        if twice {
            let from = base.max(self.twice_from);
            let mut had = self.buffer.acked().clone();
            had.union(&self.lane(lane).carried);
            if let Some(gap) = had.first_gap(from..self.next) {
                let end = gap.end.min(gap.start + max);
                return Some(Chunk { range: gap.start..end, resent: false });
            }
        }
        let end = self.buffer.end().min(self.next + max);
        (self.next < end).then_some(Chunk { range: self.next..end, resent: false })
    }

    /// The lowest bytes that were sent, are not acknowledged, and that no trusted lane carries.
    fn first_uncovered(
        &self,
        lane: LaneId,
        trusted: impl Fn(LaneId) -> bool,
    ) -> Option<Range<u64>> {
        let mut covered = self.buffer.acked().clone();
        for carrier in &self.lanes {
            if carrier.lane == lane || trusted(carrier.lane) {
                covered.union(&carrier.carried);
            }
        }
        covered.first_gap(self.buffer.base()..self.next)
    }

    /// Books a chunk on a lane, as the next of its open segment or the first of a new one, which
    /// gets the number `key`. A chunk that does not fit is cut.
    pub fn book(
        &mut self,
        now: Instant,
        lane: LaneId,
        key: u64,
        thin: bool,
        chunk: &mut Chunk,
    ) -> Booking {
        let carrier = self.lane(lane);
        let mut closed = None;
        let mut fresh = false;
        if !carrier.segments.last().is_some_and(|s| s.takes(chunk, thin)) {
            if let Some(last) = carrier.segments.last_mut()
                && last.open
            {
                last.open = false;
                closed = Some(last.key);
            }
            fresh = true;
            carrier.segments.push(Outgoing {
                key,
                start: chunk.range.start,
                next: chunk.range.start,
                writes: 0,
                resent: chunk.resent,
                thin,
                open: true,
                used: now,
            });
        }
        let Some(segment) = carrier.segments.last_mut() else {
            unreachable!("a segment was just pushed");
        };
        let room = MAX_SEGMENT - (segment.next - segment.start);
        chunk.range.end = chunk.range.end.min(chunk.range.start + room);
        segment.next = chunk.range.end;
        segment.writes += 1;
        segment.used = now;
        let full = segment.next - segment.start >= MAX_SEGMENT || segment.writes >= MAX_WRITES;
        segment.open = !full;
        let key = segment.key;
        carrier.carried.insert(chunk.range.clone());
        if chunk.resent {
            self.resent += chunk.range.end - chunk.range.start;
        }
        self.next = self.next.max(chunk.range.end);
        Booking { key, fresh, full, closed }
    }

    /// Books an acknowledged range; returns how many bytes were not acknowledged before.
    pub fn ack(&mut self, range: Range<u64>) -> u64 {
        let new = self.buffer.ack(range.clone());
        if new > 0 {
            for carrier in &mut self.lanes {
                carrier.carried.remove(range.clone());
            }
        }
        new
    }

    /// Removes the segments whose bytes are all acknowledged and that will not be written to;
    /// calls `gone(lane, key, finished)` for each. On a lane that is in doubt (`doubted`) the
    /// open one goes as well: its stale bytes would else go out again when the lane heals.
    pub fn retire(
        &mut self,
        doubted: impl Fn(LaneId) -> bool,
        mut gone: impl FnMut(LaneId, u64, bool),
    ) {
        let Self { buffer, lanes, .. } = self;
        for carrier in lanes {
            let doubted = doubted(carrier.lane);
            carrier.segments.retain(|s| {
                let keep = (s.open && !doubted) || !buffer.is_acked(&(s.start..s.next));
                if !keep {
                    gone(carrier.lane, s.key, !doubted);
                }
                keep
            });
        }
    }
}

/// Where a chunk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    /// The segment.
    pub key: u64,
    /// It begins with this chunk.
    pub fresh: bool,
    /// It ends with this chunk.
    pub full: bool,
    /// The segment that was open before and ends now.
    pub closed: Option<u64>,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_gathers_in_an_outage_is_bulk_until_the_peer_has_it_however_slowly_it_was_written() {
        let (mut now, mut tx) = (Instant::now(), Tx::new(1 << 20));
        for second in 1..=14 {
            now += Duration::from_secs(1);
            tx.meter(now, 5_000);
            tx.buffer.push(Bytes::from(vec![0; 5_000]));
            assert_eq!(tx.is_thin(now), second <= 13, "{second} s");
        }
        now += Duration::from_secs(3600);
        assert!(!tx.is_thin(now), "an hour later");
        tx.ack(0..30_000);
        assert!(!tx.is_thin(now), "most of it is there still");
        tx.ack(30_000..40_000);
        assert!(tx.is_thin(now));
    }
}
