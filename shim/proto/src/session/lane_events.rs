//! Lanes attach, detach and migrate; flows follow.

use std::time::Instant;

use super::lane::{Lane, LaneInfo};
use super::{Session, WorkClass};
use crate::lane::Health;
use crate::types::LaneId;
use crate::wire::version::has_datagram_flows;

impl Session {
    /// Takes a lane that has been set up. All flows' facts are sent on it; it carries bytes once the
    /// peer has sent its own ([`Message::EndOfSync`](crate::wire::control::Message::EndOfSync)).
    pub fn handle_lane_attached(&mut self, now: Instant, id: LaneId, info: LaneInfo) {
        self.handle_lane_detached(now, id);
        self.resume_datagram_flows(now, has_datagram_flows(info.version));
        let mut lane = Lane::new(id, info);
        // Advertisements on other lanes may have been lost with them.
        for (other, known) in &self.lanes {
            if known.usage.advertised().is_some() {
                lane.outbox.lane_use.insert(*other);
            }
            if known.monitor.health() != Health::Alive {
                lane.outbox.lane_health.insert(*other);
            }
        }
        lane.outbox.locators = self.locators.generation > 0;
        if self.closed.is_some() {
            lane.outbox.clear();
            lane.outbox.close_message = self.close_message.is_some();
        }
        self.lanes.insert(id, Box::new(lane));
        for flow in self.flow_ids() {
            let dirty = self.flows.get_mut(&flow).is_some_and(|f| {
                f.clock.expedite();
                f.clock.is_dirty()
            });
            match dirty {
                // A change is for every lane: it becomes a version of its own.
                true => self.send_facts(now, flow),
                false => self.send_facts_on(now, flow, &[id]),
            }
        }
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.wake(WorkClass::Urgent, &mut self.events);
        }
    }

    /// Takes note that a lane is gone, with everything that it had not delivered.
    pub fn handle_lane_detached(&mut self, now: Instant, id: LaneId) {
        let Some(gone) = self.lanes.remove(&id) else { return };
        for (flow, seq) in gone.long.under_way() {
            self.end_copy(now, flow, seq, false);
        }
        for lane in self.lanes.values_mut() {
            lane.outbox.forget_lane(id);
        }
        let mut affected = Vec::new();
        for flow in self.flows.values_mut() {
            let Some(at) = flow.tx.lanes.iter().position(|l| l.lane == id) else { continue };
            flow.tx.lanes.swap_remove(at);
            flow.tx.at_risk = true;
            flow.tx.placement.lane_removed(id);
            flow.clock.expedite();
            affected.push(flow.id);
        }
        for flow in affected {
            self.schedule(now, flow);
            // Facts that were sent on that lane may be lost with it.
            if self.flows.get(&flow).is_some_and(|f| !f.clock.is_acked()) {
                self.send_facts(now, flow);
            }
        }
    }

    /// Takes note that a lane migrated to another path: what it shares with others, and its order,
    /// are new. Its cost is advertised by [`advertise_use`](Self::advertise_use).
    pub fn handle_lane_migrated(&mut self, now: Instant, id: LaneId, local_risk: u64, order: u32) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && (lane.local_risk, lane.order) != (local_risk, order)
        {
            (lane.local_risk, lane.order) = (local_risk, order);
            self.schedule_all(now);
        }
    }
}
