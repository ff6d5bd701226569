//! Lanes become suspect and are trusted again; flows follow, and the peer is told.

use std::time::Instant;

use super::{Session, WorkClass};
use crate::types::{FlowId, LaneId};
use crate::wire::fact::LaneHealth;

impl Session {
    /// Takes the peer's advertisement of a lane's health, unless a later one was taken before.
    pub(super) fn handle_peer_health(&mut self, now: Instant, health: LaneHealth) {
        let resent = self.resent_elsewhere(health.lane);
        let Some(lane) = self.lanes.get_mut(&health.lane) else { return };
        if health.version > lane.peer_health_version {
            lane.peer_health_version = health.version;
            let actions = lane.monitor.handle_advertisement(now, health.suspicion, resent);
            self.act(now, health.lane, actions);
        }
    }

    /// Takes the peer's notice, on a lane itself, that it suspects the lane; `narrow`: its large packets are lost
    /// there, and small ones pass.
    pub fn handle_notice(&mut self, now: Instant, id: LaneId, narrow: bool) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let actions = lane.monitor.handle_notice(now, narrow);
        self.act(now, id, actions);
    }

    /// Advertises on every lane what we think of one. On the lane itself as well: perhaps only large
    /// packets, or only the peer's, are lost there, and it may be the only lane.
    pub(super) fn advertise_health(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.health_version += 1;
        for lane in self.lanes.values_mut() {
            lane.outbox.lane_health.insert(id);
            lane.wake(WorkClass::Urgent, &mut self.events);
        }
    }

    /// Sends the bytes of thin flows on another lane as well: those of a late lane may be at risk.
    pub(super) fn copy_thin(&mut self, now: Instant, id: LaneId) {
        let flows = self.flows.values_mut().filter(|f| f.tx.placement.primary == Some(id));
        let thin: Vec<FlowId> = flows.filter_map(|f| f.tx.is_thin(now).then_some(f.id)).collect();
        for flow in thin {
            self.schedule(now, flow);
        }
    }

    /// Puts what a suspect lane carries at risk: it is sent again elsewhere, and what follows too.
    pub(super) fn mark_at_risk(&mut self, now: Instant, id: LaneId) {
        let mut affected = Vec::new();
        for flow in self.flows.values_mut() {
            let carried = flow.tx.is_carried_by(id);
            flow.tx.at_risk |= carried;
            if carried || flow.tx.placement.is_on(id) {
                affected.push(flow.id);
            }
        }
        for flow in affected {
            self.retire_segments(flow);
            self.schedule(now, flow);
        }
    }

    /// Trusts a lane again: displaced flows come back if the suspicion was spurious and the lane is
    /// not in hold-down for another.
    pub(super) fn trust_again(&mut self, now: Instant, id: LaneId, spurious: bool) {
        let Some(lane) = self.lanes.get(&id) else { return };
        let returns = spurious && lane.usage.cost().is_trusted();
        for flow in self.flows.values_mut() {
            flow.tx.placement.suspicion_ended(now, id, returns);
        }
        self.schedule_all(now);
    }
}
