//! Facts, both ways: sends ours, merges the peer's.

use std::ops::Bound;
use std::time::Instant;

use smallvec::SmallVec;

use super::lane::Lane;
use super::{Session, SessionEvent, StreamOp, Violation, WorkClass};
use crate::flow::{Opening, Urgency};
use crate::types::{FlowId, LaneId};
use crate::wire::fact::{FlowState, Outcome, ResetAt};

/// Flows that wait for the budget of hedging and are scheduled at an acknowledgement, however little it
/// earned.
const FEW_WAITING: u64 = 16;
/// The budget for which one more of them is scheduled: a datagram.
const WORTH_SCHEDULING: u64 = 1200;

impl Session {
    /// Takes note that our facts of a flow changed.
    pub(super) fn mark_dirty(&mut self, now: Instant, id: FlowId, urgency: Urgency) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.clock.mark_dirty(now, urgency) {
            self.send_facts(now, id);
        } else {
            self.set_timer(id);
        }
    }

    /// Sends a flow's facts on every lane that is trusted and stays, or on all where there is none.
    pub(super) fn send_facts(&mut self, now: Instant, id: FlowId) {
        let any = self.flows.get(&id).is_none_or(|flow| flow.datagrams.is_none());
        let takes = |lane: &Lane| any || lane.takes_datagrams;
        let fit =
            self.lanes.iter().filter(|(_, l)| takes(l) && !l.is_suspect() && !l.is_draining());
        let mut lanes: SmallVec<[LaneId; 8]> = fit.map(|(id, _)| *id).collect();
        if lanes.is_empty() {
            lanes.extend(self.lanes.iter().filter(|(_, l)| takes(l)).map(|(id, _)| *id));
        }
        self.send_facts_on(now, id, &lanes);
    }

    /// Sends a flow's facts on these lanes.
    pub(super) fn send_facts_on(&mut self, now: Instant, id: FlowId, lanes: &[LaneId]) {
        if self.closed.is_some() {
            return;
        }
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let any = flow.datagrams.is_none();
        let takes = |lane: &&LaneId| any || self.lanes.get(lane).is_some_and(|l| l.takes_datagrams);
        let asked = lanes.len();
        let lanes: SmallVec<[LaneId; 8]> = lanes.iter().filter(takes).copied().collect();
        if lanes.is_empty() && asked > 0 {
            // A lane of an old version has attached; what waits for an acknowledgement on others goes on waiting.
            return;
        }
        flow.clock.sent(now, !lanes.is_empty());
        flow.rx.unreported = 0;
        for lane_id in &lanes {
            let Some(lane) = self.lanes.get_mut(lane_id) else { continue };
            let carrier = flow.tx.lane(*lane_id);
            if !carrier.fact_queued {
                carrier.fact_queued = true;
                lane.outbox.facts.push_back(id);
            }
            lane.wake(WorkClass::Urgent, &mut self.events);
        }
        self.set_timer(id);
    }

    /// Merges the peer's facts of a flow. Any order and any repetition has the same effect.
    pub(super) fn handle_flow_state(
        &mut self,
        now: Instant,
        state: FlowState,
    ) -> Result<(), Violation> {
        let id = state.flow;
        let live = self.find_flow(now, id, state.open.as_ref())?;
        self.ack_facts(now, id, state.version);
        if !live {
            return Ok(());
        }
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(()) };
        flow.open_acked = true;
        flow.peer_version = flow.peer_version.max(state.version);
        let mut freed = 0;
        for range in state.received {
            if range.end > flow.tx.next {
                let sent = flow.tx.next;
                return Err(Violation::NeverSent { flow: id, end: range.end, sent });
            }
            freed += flow.tx.ack(range);
        }
        flow.tx.max_offset = flow.tx.max_offset.max(state.max_offset);
        if let Some(size) = state.final_size {
            flow.rx.set_final_size(size).map_err(|e| Violation::on_flow(id, e))?;
        }
        if flow.local
            && flow.opening == Opening::Pending
            && let Some(outcome) = state.outcome
        {
            flow.opening = match outcome {
                Outcome::Opened => Opening::Opened,
                Outcome::Failed(failure) => Opening::Failed(failure),
            };
            self.events.push_back(SessionEvent::Answered(id));
        }
        flow.tx.observe_head(now);
        self.hedge.earn(freed);
        self.rescue.earn(freed);
        self.account_buffer(id);
        if let Some(reset) = state.reset {
            self.handle_peer_reset(id, reset)?;
        }
        self.after_peer_state(now, id, freed);
        Ok(())
    }

    /// Takes the peer's reset of a flow: our bytes are of no use, those before `at` are still
    /// delivered.
    fn handle_peer_reset(&mut self, id: FlowId, reset: ResetAt) -> Result<(), Violation> {
        let Self { flows, lanes, events, .. } = self;
        let Some(flow) = flows.get_mut(&id) else { return Ok(()) };
        if flow.reset_in.is_some() {
            return Ok(());
        }
        if flow.datagrams.is_some() && reset.at != 0 {
            return Err(Violation::ResetAfterBytes(id, reset.at));
        }
        flow.rx.set_reset_at(reset.at).map_err(|e| Violation::on_flow(id, e))?;
        flow.reset_in = Some(reset);
        flow.tx.abandon(|lane, key| {
            if let Some(lane) = lanes.get_mut(&lane) {
                lane.outbox.stream_ops.push_back((key, StreamOp::Reset));
                lane.wake(WorkClass::Urgent, events);
            }
        });
        if flow.opening == Opening::Pending {
            events.push_back(SessionEvent::Answered(id));
        }
        events.push_back(SessionEvent::Broken(id));
        self.clear_datagrams(id);
        self.account_buffer(id);
        Ok(())
    }

    /// Schedules flows that wait for the budget of hedging, as many as it is worth, in turn: each
    /// acknowledgement earns a little, and must not cost a look at all that wait.
    fn schedule_hedge_waiting(&mut self, now: Instant) {
        for _ in 0..FEW_WAITING.max(self.hedge.available() / WORTH_SCHEDULING) {
            let after = (Bound::Excluded(self.hedge_turn), Bound::Unbounded);
            let next = self.hedge_waiting.range(after).next().or(self.hedge_waiting.first());
            let Some(next) = next.copied() else { break };
            self.hedge_waiting.remove(&next);
            self.hedge_turn = next;
            self.schedule(now, next);
        }
    }

    /// Wakes whoever waits for something that the peer's facts brought.
    fn after_peer_state(&mut self, now: Instant, id: FlowId, freed: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.app.write_waiting && flow.tx.has_much_room() {
            flow.app.write_waiting = false;
            self.events.push_back(SessionEvent::Writable(id));
        }
        let done = flow.rx.at_end();
        if flow.app.read_waiting && done {
            flow.app.read_waiting = false;
            self.events.push_back(SessionEvent::Readable(id));
        }
        if flow.app.writer_gone || (flow.tx.fin.is_some() && done) {
            // This wakes whoever waits for the end of both directions.
            self.events.push_back(SessionEvent::Writable(id));
        }
        if freed > 0 && std::mem::take(&mut flow.app.ack_waiting) {
            self.events.push_back(SessionEvent::Acknowledged(id));
        }
        if freed > 0 {
            self.retire_segments(id);
            self.schedule_hedge_waiting(now);
        }
        self.maybe_forget(id);
    }
}
