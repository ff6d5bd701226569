//! Facts, both ways: stating ours, merging the peer's, echoing.

use std::time::{Duration, Instant};

use super::{Event, Session, Transmit, Violation};
use crate::flow::{Opening, Urgency};
use crate::types::{FlowId, LaneId};
use crate::wire::control::MAX_FACT_ACKS;
use crate::wire::fact::{FlowState, Outcome, ResetAt};

/// Echoes wait this long for company. The peer restates after 250 ms at the earliest.
const ECHO_AFTER: Duration = Duration::from_millis(5);

impl Session {
    /// Our state of a flow changed.
    pub(super) fn touch(&mut self, now: Instant, id: FlowId, urgency: Urgency) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.clock.touch(now, urgency) {
            self.state_flow(now, id);
        } else {
            self.arm(id);
        }
    }

    /// States a flow on every lane that can be trusted and stays, or on all where there is none.
    pub(super) fn state_flow(&mut self, now: Instant, id: FlowId) {
        let fit = self.lanes.iter().filter(|(_, l)| !l.is_suspect() && !l.draining());
        let mut lanes: smallvec::SmallVec<[LaneId; 8]> = fit.map(|(id, _)| *id).collect();
        if lanes.is_empty() {
            lanes.extend(self.lanes.keys().copied());
        }
        self.state_flow_on(now, id, &lanes);
    }

    pub(super) fn state_flow_on(&mut self, now: Instant, id: FlowId, lanes: &[LaneId]) {
        if self.closed.is_some() {
            return;
        }
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.clock.stated(now, !lanes.is_empty());
        flow.rx.unstated = 0;
        for lane_id in lanes {
            let Some(lane) = self.lanes.get_mut(lane_id) else { continue };
            let carrier = flow.tx.lane(*lane_id);
            if !carrier.fact_queued {
                carrier.fact_queued = true;
                lane.facts.push_back(id);
            }
            lane.wake(*lane_id, &mut self.events);
        }
        self.arm(id);
    }

    /// Merges the peer's state of a flow. Any order and any repetition gives the same.
    pub(super) fn flow_state(&mut self, now: Instant, state: FlowState) -> Result<(), Violation> {
        let id = state.flow;
        let live = self.find_flow(now, id, state.open.as_ref())?;
        let echo = self.echoes.entry(id).or_insert(0);
        *echo = state.version.max(*echo);
        self.echo_at.get_or_insert(now + ECHO_AFTER);
        if self.echoes.len() >= MAX_FACT_ACKS {
            self.flush_echoes();
        }
        if !live {
            return Ok(());
        }
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(()) };
        flow.peer_knows = true;
        flow.peer_version = flow.peer_version.max(state.version);
        let mut freed = 0;
        for range in state.received {
            if range.end > flow.tx.next {
                let sent = flow.tx.next;
                return Err(Violation::NeverSent { flow: id, end: range.end, sent });
            }
            freed += flow.tx.ack(range);
        }
        flow.tx.edge = flow.tx.edge.max(state.max_offset);
        if let Some(size) = state.final_size {
            flow.rx.set_final_size(size).map_err(|_| Violation::FinalSize(id))?;
        }
        if flow.local
            && flow.opening == Opening::Pending
            && let Some(outcome) = state.outcome
        {
            flow.opening = match outcome {
                Outcome::Opened => Opening::Opened,
                Outcome::Failed(failure) => Opening::Failed(failure),
            };
            self.events.push_back(Event::Answered(id));
        }
        self.hedge.earn(freed);
        self.recount(id);
        if let Some(reset) = state.reset {
            self.peer_reset(id, reset)?;
        }
        self.after_peer_state(now, id, freed);
        Ok(())
    }

    /// The peer reset the flow: what we send is of no use, what precedes `at` is still delivered.
    fn peer_reset(&mut self, id: FlowId, reset: ResetAt) -> Result<(), Violation> {
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(()) };
        if flow.reset_in.is_some() {
            return Ok(());
        }
        flow.rx.set_cut(reset.at).map_err(|_| Violation::FinalSize(id))?;
        flow.reset_in = Some(reset);
        flow.tx.buffer.clear();
        flow.tx.next = flow.tx.buffer.end();
        flow.tx.uncovered = false;
        for carrier in &mut flow.tx.lanes {
            carrier.carried = crate::flow::ranges::RangeSet::new();
            for segment in carrier.segments.drain(..) {
                if let Some(lane) = self.lanes.get_mut(&carrier.lane) {
                    lane.chores.push_back(Transmit::Reset { key: segment.key });
                    lane.wake(carrier.lane, &mut self.events);
                }
            }
        }
        if flow.opening == Opening::Pending {
            self.events.push_back(Event::Answered(id));
        }
        self.events.push_back(Event::Broken(id));
        self.recount(id);
        Ok(())
    }

    /// Wakes whoever waits for what the peer's state brought.
    fn after_peer_state(&mut self, now: Instant, id: FlowId, freed: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let room = flow.tx.edge > flow.tx.buffer.end();
        if flow.app.write_waiting && room {
            flow.app.write_waiting = false;
            self.events.push_back(Event::Writable(id));
        }
        let done = flow.rx.at_end();
        if flow.app.read_waiting && done {
            flow.app.read_waiting = false;
            self.events.push_back(Event::Readable(id));
        }
        if flow.app.writer_gone || (flow.tx.fin.is_some() && done) {
            // Whoever waits for the end of both directions learns it here.
            self.events.push_back(Event::Writable(id));
        }
        if freed > 0 {
            self.retire_segments(id);
            for waiting in std::mem::take(&mut self.hedge_waiting) {
                self.schedule(now, waiting);
            }
        }
        self.maybe_forget(id);
    }

    /// The peer has this version of our state.
    pub(super) fn echoed(&mut self, id: FlowId, version: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.peer_knows = true;
        flow.clock.echo(version);
        self.arm(id);
        self.maybe_forget(id);
    }

    /// Writes the echoes that wait, on the lane that answers soonest.
    pub(super) fn flush_echoes(&mut self) {
        self.echo_at = None;
        if self.echoes.is_empty() {
            return;
        }
        let best = |up: bool| {
            let fit = self.lanes.iter().filter(move |(_, l)| !up || !l.is_suspect());
            fit.min_by_key(|(_, l)| (l.draining(), l.rtt)).map(|(id, _)| *id)
        };
        let Some(id) = best(true).or_else(|| best(false)) else {
            // Without a lane the peer states everything anew on the next one.
            self.echoes.clear();
            return;
        };
        let echoes = std::mem::take(&mut self.echoes);
        if let Some(lane) = self.lanes.get_mut(&id) {
            echoes.into_iter().for_each(|(flow, version)| lane.echo(flow, version));
            lane.wake(id, &mut self.events);
        }
    }
}
