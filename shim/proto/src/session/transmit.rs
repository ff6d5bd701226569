//! What a lane writes next.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::select::{self, Candidate};
use super::{Event, SEGMENT_IDLE, Session};
use crate::flow::{Booking, Chunk};
use crate::lane::Health;
use crate::types::{FlowId, LaneId, Mode};
use crate::wire::control::{MAX_FACT_ACKS, Message};
use crate::wire::fact::LaneHealth;
use crate::wire::segment::SegmentHeader;

/// A bulk piece: large enough to be cheap, small enough that a lane is never stuck with much.
const BULK_CHUNK: u64 = 64 * 1024;

/// Control messages are packed up to this.
const CONTROL_CHUNK: usize = 16 * 1024;

/// What kind of work a lane asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Control, and the bytes of thin flows: taken even by a lane whose window is full.
    Urgent,
    /// The bytes of thick flows: taken by a lane that has room.
    Bulk,
}

/// The order in which QUIC sends what a lane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Thick flows.
    Bulk = 0,
    /// Thick flows' bytes that another lane may have lost: somebody waits for them.
    Resent = 1,
    /// Thin flows.
    Thin = 2,
}

/// A piece of a segment.
#[derive(Debug)]
pub struct SegmentWrite {
    /// The segment's number on this lane.
    pub key: u64,
    /// Where the segment begins: open a stream and write this first.
    pub header: Option<Bytes>,
    /// The bytes, shared with the flow's send buffer.
    pub data: Vec<Bytes>,
    /// The segment ends here: finish the stream (and keep it until it is released or reset).
    pub full: bool,
    /// When QUIC sends it, among what the lane holds.
    pub priority: Priority,
}

/// A lane's work.
#[derive(Debug)]
pub enum Transmit {
    /// Append this to the control stream.
    Control(Bytes),
    /// The last word: append this to the control stream, end it, and close the lane once the peer
    /// has it.
    Goodbye(Bytes),
    /// Write to a segment.
    Segment(SegmentWrite),
    /// End the segment's stream.
    Finish {
        /// The segment.
        key: u64,
    },
    /// The segment's bytes are acknowledged; forget the stream.
    Release {
        /// The segment.
        key: u64,
    },
    /// The segment is superseded: reset its stream, so that stale bytes do not go out again.
    Reset {
        /// The segment.
        key: u64,
    },
}

impl Session {
    /// The next piece of work for a lane. A lane asks for [`Class::Urgent`] until there is none,
    /// then, if it has room, for [`Class::Bulk`].
    pub fn poll_transmit(&mut self, now: Instant, id: LaneId, class: Class) -> Option<Transmit> {
        let work = match class {
            Class::Urgent => self.urgent(now, id),
            Class::Bulk => self.segment_for(now, id, Class::Bulk).map(Transmit::Segment),
        };
        if work.is_none()
            && let Some(lane) = self.lanes.get_mut(&id)
        {
            lane.rest(class);
        }
        work
    }

    fn urgent(&mut self, now: Instant, id: LaneId) -> Option<Transmit> {
        if std::mem::take(&mut self.lanes.get_mut(&id)?.goodbye) {
            return self.goodbye.clone().map(Transmit::Goodbye);
        }
        if let Some(bytes) = self.control_for(id) {
            return Some(Transmit::Control(bytes));
        }
        if let Some(chore) = self.lanes.get_mut(&id)?.chores.pop_front() {
            return Some(chore);
        }
        self.segment_for(now, id, Class::Urgent).map(Transmit::Segment)
    }

    fn control_for(&mut self, id: LaneId) -> Option<Bytes> {
        let mut out = BytesMut::new();
        self.words_for(id, &mut out);
        let lane = self.lanes.get_mut(&id)?;
        while out.len() < CONTROL_CHUNK && !lane.echoes.is_empty() {
            let batch = lane.echoes.len().min(MAX_FACT_ACKS);
            let echoes = std::iter::from_fn(|| lane.echoes.pop_first()).take(batch).collect();
            Message::FactAck(echoes).encode(&mut out);
        }
        while out.len() < CONTROL_CHUNK
            && let Some(flow) = lane.facts.pop_front()
        {
            if let Some(flow) = self.flows.get_mut(&flow) {
                flow.tx.lane(id).fact_queued = false;
                Message::FlowState(flow.state()).encode(&mut out);
            }
        }
        if lane.sync_end && lane.facts.is_empty() {
            lane.sync_end = false;
            Message::EndOfSync.encode(&mut out);
        }
        (!out.is_empty()).then(|| out.freeze())
    }

    /// What is to be said of lanes, as it is now.
    fn words_for(&mut self, id: LaneId, out: &mut BytesMut) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let (uses, healths) =
            (std::mem::take(&mut lane.use_words), std::mem::take(&mut lane.health_words));
        if std::mem::take(&mut lane.locators_due) {
            Message::Locators(self.locators.clone()).encode(out);
        }
        for word in uses.iter().filter_map(|l| self.lanes.get(l)?.our_use) {
            Message::LaneUse(word).encode(out);
        }
        for (lane, known) in healths.iter().filter_map(|l| Some((*l, self.lanes.get(l)?))) {
            let (version, suspicion) = (known.health_version, known.monitor.advertisement());
            Message::LaneHealth(LaneHealth { lane, version, suspicion }).encode(out);
        }
    }

    fn segment_for(&mut self, now: Instant, id: LaneId, class: Class) -> Option<SegmentWrite> {
        loop {
            let lane = self.lanes.get_mut(&id)?;
            let flow_id = match class {
                Class::Urgent => lane.thin.pop_front()?,
                Class::Bulk => lane.bulk.pop_front()?,
            };
            let Some(flow) = self.flows.get_mut(&flow_id) else { continue };
            flow.tx.lane(id).queued = false;
            if class == Class::Urgent && !flow.tx.is_thin(now) {
                // It grew thick while it waited.
                self.schedule(now, flow_id);
                continue;
            }
            if let Some(write) = self.chunk_for(now, id, flow_id, class) {
                self.requeue(id, flow_id, class);
                return Some(write);
            }
        }
    }

    /// Back to the end of the queue: flows of a class take turns.
    fn requeue(&mut self, id: LaneId, flow_id: FlowId, class: Class) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&flow_id), self.lanes.get_mut(&id))
        else {
            return;
        };
        flow.tx.lane(id).queued = true;
        match class {
            Class::Urgent => lane.thin.push_back(flow_id),
            Class::Bulk => lane.bulk.push_back(flow_id),
        }
    }

    fn chunk_for(
        &mut self,
        now: Instant,
        id: LaneId,
        flow_id: FlowId,
        class: Class,
    ) -> Option<SegmentWrite> {
        let candidates: smallvec::SmallVec<[Candidate; 8]> = self.candidates().collect();
        let Self { flows, lanes, hedge, hedge_waiting, events, .. } = self;
        let flow = flows.get_mut(&flow_id)?;
        let mode = flow.mode();
        let bonds = || {
            let home = flow.tx.home.filter(|_| mode == Mode::Bond);
            home.is_some_and(|home| select::bonds(&candidates, home, id))
        };
        let left = || {
            // What goes on two lanes already needs no third.
            flow.tx.second.is_none()
                && flow.tx.handover.is_some_and(|h| h.uses(now, id))
                && select::serves_beside(&candidates, id)
        };
        if flow.tx.home != Some(id) && flow.tx.second != Some(id) && !left() && !bonds() {
            return None;
        }
        let trusted = |l: LaneId| lanes.get(&l).is_some_and(|l| !l.is_suspect());
        // A guess as long as a lane that carries something is in doubt and may yet answer.
        let guess = flow.tx.lanes.iter().any(|carrier| {
            let health = lanes.get(&carrier.lane).map(|l| (l.health(), l.is_suspect()));
            carrier.lane != id
                && !carrier.carried.is_empty()
                && health
                    .is_some_and(|(h, suspect)| suspect && h != Health::Suspect { confirmed: true })
        });
        let may_resend = if guess { hedge.available() } else { u64::MAX };
        let twice = flow.tx.second.is_some();
        let mut chunk = flow.tx.next_chunk(id, BULK_CHUNK, trusted, twice, may_resend);
        if flow.tx.uncovered && may_resend == 0 {
            hedge_waiting.insert(flow_id);
        }
        let chunk = chunk.as_mut()?;
        let lane = lanes.get_mut(&id)?;
        // Given to a lane in doubt for want of another: the next that is up looks.
        flow.tx.uncovered |= lane.is_suspect();
        let booking = flow.tx.book(now, id, lane.next_key, class == Class::Urgent, chunk);
        if chunk.resent {
            let bytes = chunk.range.end - chunk.range.start;
            lane.resent += bytes;
            if guess {
                hedge.spend(bytes);
            }
        }
        if booking.fresh {
            lane.next_key += 1;
            self.sweep_at.get_or_insert(now + SEGMENT_IDLE);
        }
        if let Some(key) = booking.closed {
            lane.chores.push_back(Transmit::Finish { key });
            lane.wake(id, events);
        }
        Some(segment_write(flow, chunk, booking, class))
    }

    /// Drops the records of segments that are through.
    pub(super) fn retire_segments(&mut self, id: FlowId) {
        let Self { flows, lanes, events, .. } = self;
        let Some(flow) = flows.get_mut(&id) else { return };
        let mut gone: smallvec::SmallVec<[(LaneId, u64, bool); 4]> = smallvec::SmallVec::new();
        flow.tx.retire(
            |lane| lanes.get(&lane).is_some_and(|l| l.is_suspect()),
            |lane, key, finished| gone.push((lane, key, finished)),
        );
        for (lane_id, key, finished) in gone {
            let Some(lane) = lanes.get_mut(&lane_id) else { continue };
            if finished {
                lane.chores.push_back(Transmit::Release { key });
            } else {
                lane.chores.push_back(Transmit::Reset { key });
                lane.wake(lane_id, events);
            }
        }
    }

    /// Corrects the count of buffered bytes after a flow's buffer shrank.
    pub(super) fn recount(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let kept = flow.tx.buffer.retained();
        let counted = std::mem::replace(&mut flow.tx.counted, kept);
        let was_scarce = self.buffered >= self.config.memory.limit() / 2;
        self.buffered = self.buffered + kept - counted;
        if was_scarce && self.buffered < self.config.memory.limit() / 2 {
            // Room for everybody again: whoever waits for it looks.
            let waiting = self.flows.values_mut().filter(|f| f.app.write_waiting);
            self.events.extend(waiting.map(|f| Event::Writable(f.id)));
        }
    }
}

fn segment_write(
    flow: &crate::flow::Flow,
    chunk: &Chunk,
    booking: Booking,
    class: Class,
) -> SegmentWrite {
    let header = booking.fresh.then(|| {
        let open = (!flow.peer_knows).then(|| flow.open.clone());
        let Chunk { range, resent } = chunk;
        SegmentHeader { flow: flow.id, offset: range.start, resent: *resent, open }.to_bytes()
    });
    let priority = match (class, chunk.resent) {
        (Class::Urgent, _) => Priority::Thin,
        (Class::Bulk, true) => Priority::Resent,
        (Class::Bulk, false) => Priority::Bulk,
    };
    let data = flow.tx.buffer.slice(chunk.range.clone());
    SegmentWrite { key: booking.key, header, data, full: booking.full, priority }
}
