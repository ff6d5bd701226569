//! Which bytes a lane sends next, of which flow.

use std::time::Instant;

use super::segments::SEGMENT_IDLE;
use super::{Priority, SegmentWrite, Session, StreamOp, WorkClass};
use crate::flow::{Assignment, Chunk, ChunkLimits, Flow};
use crate::types::{FlowId, LaneId};
use crate::wire::segment::SegmentHeader;

/// The most bytes of a chunk: large enough to be cheap, small enough that a lane is never stuck with
/// much.
const MAX_CHUNK: u64 = 64 * 1024;

impl Session {
    /// Returns the next bytes of this class for a lane.
    pub(super) fn next_write(
        &mut self,
        now: Instant,
        id: LaneId,
        class: WorkClass,
    ) -> Option<SegmentWrite> {
        loop {
            let flow_id = self.lanes.get_mut(&id)?.outbox.queue(class).flows.pop_front()?;
            let Some(flow) = self.flows.get_mut(&flow_id) else { continue };
            flow.tx.lane(id).queued = false;
            if class == WorkClass::Urgent && !flow.tx.is_thin(now) {
                // The flow became bulk while it waited.
                self.schedule(now, flow_id);
                continue;
            }
            if let Some(write) = self.write_of(now, id, flow_id, class) {
                self.requeue(id, flow_id, class);
                return Some(write);
            }
        }
    }

    /// Puts a flow back at the end of the queue: the flows of a class take turns.
    fn requeue(&mut self, id: LaneId, flow_id: FlowId, class: WorkClass) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&flow_id), self.lanes.get_mut(&id))
        else {
            return;
        };
        flow.tx.lane(id).queued = true;
        lane.outbox.queue(class).flows.push_back(flow_id);
    }

    /// Returns the next bytes of a flow for a lane, if the flow uses the lane.
    fn write_of(
        &mut self,
        now: Instant,
        id: LaneId,
        flow_id: FlowId,
        class: WorkClass,
    ) -> Option<SegmentWrite> {
        let candidates = self.candidates();
        let flow = self.flows.get_mut(&flow_id)?;
        if !flow.tx.placement.uses(now, id, &candidates, flow.open.mode) {
            return None;
        }
        let guess = self.is_guess(id, flow_id);
        let Self { flows, lanes, hedge, hedge_waiting, events, .. } = self;
        let flow = flows.get_mut(&flow_id)?;
        let may_resend = if guess { hedge.available() } else { u64::MAX };
        let duplicated = flow.tx.placement.secondary.is_some();
        let limits = ChunkLimits { max: MAX_CHUNK, may_resend, duplicated };
        let trusted = |l: LaneId| lanes.get(&l).is_some_and(|l| !l.is_suspect());
        let mut chunk = flow.tx.next_chunk(id, limits, trusted);
        if flow.tx.at_risk && may_resend == 0 {
            hedge_waiting.insert(flow_id);
        }
        let chunk = chunk.as_mut()?;
        let lane = lanes.get_mut(&id)?;
        // Bytes that a suspect lane gets for want of another are at risk: the next lane that is up
        // looks for them.
        flow.tx.at_risk |= lane.is_suspect();
        let thin = class == WorkClass::Urgent;
        let assignment = flow.tx.assign(now, id, lane.next_key, thin, chunk);
        if chunk.resent {
            let bytes = chunk.range.end - chunk.range.start;
            lane.resent += bytes;
            if guess {
                hedge.spend(bytes);
            }
        }
        if assignment.first {
            lane.next_key += 1;
            self.sweep_at.get_or_insert(now + SEGMENT_IDLE);
        }
        if let Some(key) = assignment.finished {
            lane.outbox.stream_ops.push_back((key, StreamOp::Finish));
            lane.wake(WorkClass::Urgent, events);
        }
        Some(segment_write(flow, chunk, assignment, class))
    }

    /// Returns whether what a lane re-sends of a flow is a guess: another lane that carries some of
    /// the flow is suspect and may yet answer.
    fn is_guess(&self, id: LaneId, flow_id: FlowId) -> bool {
        let carriers = self.flows.get(&flow_id).map(|flow| &flow.tx.lanes).into_iter().flatten();
        carriers
            .filter(|c| c.lane != id && !c.carried.is_empty())
            .any(|carrier| self.lanes.get(&carrier.lane).is_some_and(|lane| lane.is_guess()))
    }
}

fn segment_write(
    flow: &Flow,
    chunk: &Chunk,
    assignment: Assignment,
    class: WorkClass,
) -> SegmentWrite {
    let header = assignment.first.then(|| {
        let open = (!flow.open_acked).then(|| flow.open.clone());
        let Chunk { range, resent } = chunk;
        SegmentHeader { flow: flow.id, offset: range.start, resent: *resent, open }.to_bytes()
    });
    let priority = match (class, chunk.resent) {
        (WorkClass::Urgent, _) => Priority::Thin,
        (WorkClass::Bulk, true) => Priority::Resent,
        (WorkClass::Bulk, false) => Priority::Bulk,
    };
    let data = flow.tx.buffer.slice(chunk.range.clone());
    SegmentWrite { key: assignment.key, header, data, last: assignment.last, priority }
}
