//! What tests of the session assume of lanes, whatever their monitors were shown.

use std::time::{Duration, Instant};

use crate::lane::Health;
use crate::session::Session;
use crate::types::LaneId;

impl Session {
    /// Assumes that this end thinks so of a lane.
    pub(super) fn assume_health(
        &mut self,
        now: Instant,
        id: LaneId,
        health: Health,
        rtt: Duration,
        proof: Option<Instant>,
    ) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.rtt = rtt;
        let actions = lane.monitor.assume(now, health, proof);
        self.act(now, id, actions);
    }

    /// Assumes that a lane is lossy, or no longer.
    pub(super) fn assume_loss(&mut self, now: Instant, id: LaneId, lossy: bool) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.monitor.assume_loss(lossy);
            self.schedule_all(now);
        }
    }

    /// Assumes that a lane delivers next to nothing any more.
    pub(super) fn assume_collapse(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.delivery.assume_collapse();
        }
    }

    /// Assumes that our direction of a lane is dead.
    pub(super) fn assume_one_way(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.monitor.assume_one_way();
            self.advertise_health(id);
        }
    }

    /// Assumes that a lane has another path.
    pub(super) fn assume_new_path(&mut self, now: Instant, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.monitor.assume_new_path(now);
        }
    }
}
