//! Looks at bulk flows now and then: whether their lanes are still the right ones, and whether bytes
//! that a lane left to another, or that are late, had better be offered again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Session;
use crate::selection::Demand;
use crate::types::{FlowId, LaneId};

/// How often bulk flows are reviewed: with each measurement of what lanes deliver.
pub(super) const REVIEW_INTERVAL: Duration = Duration::from_millis(100);

/// How often flows are looked at that several lanes carry: about a round trip, since this is how
/// long the end of a transfer may wait for it.
const SPREAD_INTERVAL: Duration = Duration::from_millis(25);

impl Session {
    /// Reviews bulk flows, and comes back while there are any.
    pub(super) fn review(&mut self, now: Instant) {
        self.review_at = None;
        if self.lanes.len() > 1 && self.closed.is_none() {
            let any = self.review_placements(now);
            let spread = self.offer_again(now);
            let after = match (any, spread) {
                (_, true) => Some(SPREAD_INTERVAL),
                (true, false) => Some(REVIEW_INTERVAL),
                (false, false) => None,
            };
            self.review_at = after.map(|after| now + after);
        }
    }

    /// Moves at most one flow whose lane works, since the next one finds less room there; all that
    /// leave a lane that broke down. Returns whether there are bulk flows with bytes under way.
    fn review_placements(&mut self, now: Instant) -> bool {
        let mut on: BTreeMap<LaneId, u32> = BTreeMap::new();
        let Self { flows, bulk, .. } = self;
        bulk.retain(|id| {
            let Some(flow) = flows.get_mut(id) else { return false };
            let is_bulk = flow.tx.buffer.retained() > 0 && !flow.tx.is_thin(now);
            if let Some(primary) = flow.tx.placement.primary.filter(|_| is_bulk) {
                *on.entry(primary).or_default() += 1;
            }
            is_bulk
        });
        let bulk: Vec<FlowId> = bulk.iter().copied().collect();
        for (id, lane) in &mut self.lanes {
            lane.delivery.set_bulk_flows(on.get(id).copied().unwrap_or(0));
        }
        let candidates = self.candidates();
        for id in &bulk {
            let Some(flow) = self.flows.get_mut(id) else { continue };
            let demand = Demand { mode: flow.open.mode, thin: false };
            let before = flow.tx.placement.primary;
            if !flow.tx.placement.review(now, &candidates, demand) {
                continue;
            }
            let left = before.filter(|left| flow.tx.placement.primary != Some(*left));
            let late = candidates.iter().any(|c| Some(c.id) == left && c.evidence.collapsed);
            flow.tx.at_risk |= late;
            self.schedule(now, *id);
            if left.is_some() && !late {
                break;
            }
        }
        !bulk.is_empty()
    }

    /// Offers flows that several lanes carry, or of which a lane declined bytes, to their lanes again.
    /// Returns whether there are any.
    fn offer_again(&mut self, now: Instant) -> bool {
        for id in std::mem::take(&mut self.spread) {
            let Some(flow) = self.flows.get(&id) else { continue };
            let waits = flow.tx.waiting() > 0;
            if flow.tx.carriers() > 1 || waits {
                self.spread.insert(id);
                self.schedule(now, id);
            }
        }
        !self.spread.is_empty()
    }
}
