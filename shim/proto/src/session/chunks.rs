//! Which bytes a lane sends next, of which flow.

use std::time::{Duration, Instant};

use super::lane::Lane;
use super::{Priority, SegmentWrite, Session, StreamOp, WorkClass};
use crate::flow::{Assignment, Cause, Chunk, ChunkLimits, Flow};
use crate::selection;
use crate::types::{FlowId, LaneId};
use crate::wire::segment::SegmentHeader;

/// The most bytes of a chunk: large enough to be cheap, small enough that a lane is never stuck with
/// much.
const MAX_CHUNK: u64 = 64 * 1024;

/// How long a flow has been blocked, at the least, before what it waits for is sent again: two
/// reports of the peer, and some jitter.
const MIN_BLOCKED: Duration = Duration::from_millis(10);

/// How long a flow has been blocked, at the least, and in round trips of the lane that could send again what it waits
/// for, before that goes before new bytes. Else a flow with a large window fills it with what nobody can read, for
/// seconds, while a lane that loses most of what it carries holds the first bytes.
const MIN_LONG_BLOCKED: Duration = Duration::from_millis(500);
const LONG_BLOCKED_ROUNDS: u32 = 4;

/// How many segments more than flows a lane may have, so that another message is said again with the next one: that
/// begins a segment, and a lane that has no stream for one waits for a round trip with all that it carries. A peer
/// allows 64 streams beside two for each flow.
const MAX_REPEATING: usize = 48;

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
        let (placement, mode) = (flow.tx.placement, flow.open.mode);
        let uses = |lane| placement.uses(now, lane, &candidates, mode);
        if !uses(id) {
            return None;
        }
        let max = candidates.iter().find(|c| c.id == id)?.chunk(MAX_CHUNK);
        let backlog = flow.tx.backlog(flow.app.write_waiting);
        let duplicated = placement.secondary.is_some();
        let leaves = !duplicated
            && backlog > 0
            && selection::leaves_to_faster(&candidates, id, uses, max, backlog);
        let guess = self.is_guess(id, flow_id);
        let most = self.flows.len() + MAX_REPEATING;
        let repeats = |lane: &Lane| lane.monitor.loses() && lane.open_streams < most;
        let Self { flows, lanes, hedge, hedge_waiting, rescue, spread, .. } = self;
        let flow = flows.get_mut(&flow_id)?;
        let rtt = lanes.get(&id).map(|lane| lane.rtt).unwrap_or_default();
        let blocked = flow.tx.is_blocked(now, rtt.max(MIN_BLOCKED));
        flow.tx.rescue_if_late(now, MIN_LONG_BLOCKED.max(LONG_BLOCKED_ROUNDS * rtt));
        let thin = class == WorkClass::Urgent;
        let limits = ChunkLimits {
            max,
            may_resend: if guess && !thin { hedge.available() } else { u64::MAX },
            may_rescue: if blocked { rescue.available() } else { 0 },
            duplicated,
            leaves,
            repeated: thin && lanes.get(&id).is_some_and(|lane| repeats(lane)),
        };
        let late = |l: &Lane, id| l.has_collapsed() && placement.primary != Some(id);
        let trusted = |id: LaneId| lanes.get(&id).is_some_and(|l| !l.is_suspect() && !late(l, id));
        let mut chunk = flow.tx.next_chunk(id, limits, trusted);
        if leaves || flow.tx.is_carried_by_others(id) {
            spread.insert(flow_id);
        }
        if flow.tx.at_risk && limits.may_resend == 0 {
            hedge_waiting.insert(flow_id);
        }
        let chunk = chunk.as_mut()?;
        let lane = lanes.get_mut(&id)?;
        // Bytes that a suspect lane gets for want of another are at risk: the next lane that is up
        // looks for them.
        flow.tx.at_risk |= lane.is_suspect();
        let assignment = flow.tx.assign(now, id, lane.next_key, thin, chunk);
        let bytes = chunk.range.end - chunk.range.start;
        match chunk.cause {
            Cause::New => {}
            Cause::Rescue => rescue.spend(bytes),
            Cause::AtRisk => {
                lane.resent += bytes;
                if guess {
                    hedge.spend(bytes);
                }
            }
        }
        let write = segment_write(flow, chunk, assignment, class);
        self.note_assignment(now, id, flow_id, assignment);
        self.wake_writer(flow_id);
        Some(write)
    }

    /// Takes note of a segment that begins or ends with a chunk.
    fn note_assignment(&mut self, now: Instant, id: LaneId, flow: FlowId, assignment: Assignment) {
        let Self { flows, lanes, events, .. } = self;
        let (Some(flow), Some(lane)) = (flows.get_mut(&flow), lanes.get_mut(&id)) else { return };
        if let Some(key) = assignment.finished {
            lane.outbox.stream_ops.push_back((key, StreamOp::Finish));
            lane.wake(WorkClass::Urgent, events);
        }
        if assignment.first {
            lane.next_key += 1;
            lane.open_streams += 1;
            if !std::mem::replace(&mut flow.tx.lane(id).swept, true) {
                let flow = flow.id;
                self.note_open_segment(now, flow, id);
            }
        }
    }

    /// Returns whether what a lane re-sends of a flow is a guess: another lane that carries some of
    /// the flow is suspect, or has collapsed, and may yet answer. A confirmed suspicion is no guess,
    /// collapsed or not: where everything waits for a dead lane, nothing earns a budget.
    fn is_guess(&self, id: LaneId, flow_id: FlowId) -> bool {
        let carriers = self.flows.get(&flow_id).map(|flow| &flow.tx.lanes).into_iter().flatten();
        carriers.filter(|c| c.lane != id && !c.carried.is_empty()).any(|carrier| {
            let lane = self.lanes.get(&carrier.lane);
            let confirmed = |lane: &Lane| lane.monitor.condition().confirmed;
            lane.is_some_and(|lane| lane.is_guess() || lane.has_collapsed() && !confirmed(lane))
        })
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
        let resent = chunk.is_resent();
        SegmentHeader { flow: flow.id, offset: chunk.range.start, resent, open }.to_bytes()
    });
    let priority = match (class, chunk.is_resent()) {
        (WorkClass::Urgent, _) => Priority::Thin,
        (_, true) => Priority::Resent,
        (_, false) => Priority::Bulk,
    };
    let data = flow.tx.buffer.slice(chunk.range.clone());
    SegmentWrite { key: assignment.key, header, data, last: assignment.last, priority }
}
