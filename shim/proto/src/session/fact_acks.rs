//! Acknowledgements of facts, both ways.

use std::time::{Duration, Instant};

use super::{Session, WorkClass};
use crate::types::FlowId;
use crate::wire::control::MAX_FACT_ACKS;

/// How long an acknowledgement waits for others. The peer retransmits after 250 ms at the earliest.
const BATCH_DELAY: Duration = Duration::from_millis(5);

impl Session {
    /// Acknowledges a version of the peer's facts, together with others.
    pub(super) fn ack_facts(&mut self, now: Instant, id: FlowId, version: u64) {
        let latest = self.fact_acks.entry(id).or_insert(0);
        *latest = version.max(*latest);
        self.fact_acks_at.get_or_insert(now + BATCH_DELAY);
        if self.fact_acks.len() >= MAX_FACT_ACKS {
            self.flush_fact_acks();
        }
    }

    /// Writes the acknowledgements that wait, on the lane with the shortest round trip.
    pub(super) fn flush_fact_acks(&mut self) {
        self.fact_acks_at = None;
        if self.fact_acks.is_empty() {
            return;
        }
        let best = |trusted: bool| {
            let fit = self.lanes.iter().filter(move |(_, l)| !trusted || !l.is_suspect());
            fit.min_by_key(|(_, l)| (l.is_draining(), l.rtt)).map(|(id, _)| *id)
        };
        let Some(id) = best(true).or_else(|| best(false)) else {
            // Without a lane the peer sends all its facts again on the next one.
            self.fact_acks.clear();
            return;
        };
        let acks = std::mem::take(&mut self.fact_acks);
        if let Some(lane) = self.lanes.get_mut(&id) {
            acks.into_iter().for_each(|(flow, version)| lane.outbox.ack_fact(flow, version));
            lane.wake(WorkClass::Urgent, &mut self.events);
        }
    }

    /// Takes note that the peer has this version of our facts.
    pub(super) fn handle_fact_ack(&mut self, id: FlowId, version: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.open_acked = true;
        flow.clock.acked(version);
        self.set_timer(id);
        self.maybe_forget(id);
    }
}
