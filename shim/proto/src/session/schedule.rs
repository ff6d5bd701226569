//! Puts flows into the queues of the lanes that [`selection`](crate::selection) chooses for them.

use std::time::Instant;

use smallvec::SmallVec;

use super::review::REVIEW_INTERVAL;
use super::{Session, WorkClass};
use crate::selection::{Candidate, Demand};
use crate::types::FlowId;

#[cfg(test)]
thread_local! {
    /// How often a flow was scheduled: what a peer can cause of it is bounded.
    pub(super) static SCHEDULED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

impl Session {
    /// Schedules every flow: a lane came up or changed, and flows with bytes to send may use it.
    pub(super) fn schedule_all(&mut self, now: Instant) {
        for flow in self.flow_ids() {
            self.schedule(now, flow);
        }
    }

    /// Chooses a flow's lanes and puts the flow into their queues.
    pub(super) fn schedule(&mut self, now: Instant, id: FlowId) {
        if self.closed.is_some() {
            return;
        }
        #[cfg(test)]
        SCHEDULED.set(SCHEDULED.get() + 1);
        if self.flows.get(&id).is_some_and(|flow| flow.datagrams.is_some()) {
            return self.schedule_datagrams(now, id);
        }
        let candidates = self.candidates();
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let demand = Demand { mode: flow.open.mode, thin: flow.tx.is_thin(now) };
        if !flow.tx.placement.select(now, &candidates, demand) {
            return;
        }
        let placement = flow.tx.placement;
        let used = |c: &&Candidate| placement.uses(now, c.id, &candidates, demand.mode);
        if candidates.len() > 1 && !demand.thin {
            self.review_at.get_or_insert(now + REVIEW_INTERVAL);
            self.bulk.insert(id);
        }
        let class = if demand.thin { WorkClass::Urgent } else { WorkClass::Bulk };
        for candidate in candidates.iter().filter(used) {
            let carrier = flow.tx.lane(candidate.id);
            if carrier.queued {
                continue;
            }
            carrier.queued = true;
            if let Some(lane) = self.lanes.get_mut(&candidate.id) {
                lane.outbox.queue(class).flows.push_back(id);
                lane.wake(class, &mut self.events);
            }
        }
    }

    /// Returns the lanes as candidates for a flow.
    pub(super) fn candidates(&self) -> SmallVec<[Candidate; 8]> {
        self.lanes.values().map(|lane| lane.candidate()).collect()
    }
}
