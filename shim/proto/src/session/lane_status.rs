//! What a session tells of its lanes.

use super::Session;
use crate::selection::Candidate;
use crate::types::LaneId;

impl Session {
    /// Returns whether any lane is attached.
    pub fn is_attached(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Returns whether no flow uses the lane, and it carries nothing unacknowledged.
    pub fn lane_is_idle(&self, id: LaneId) -> bool {
        !self.flows.values().any(|f| f.tx.placement.is_on(id) || f.tx.is_carried_by(id))
    }

    /// Returns how many control messages wait for a lane.
    pub fn lane_backlog(&self, id: LaneId) -> usize {
        self.lanes.get(&id).map_or(0, |lane| lane.outbox.backlog())
    }

    /// Returns whether a lane can carry bytes and is not suspect.
    pub fn lane_is_up(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(|lane| lane.is_up())
    }

    /// Returns the lane as selection sees it.
    pub fn lane_candidate(&self, id: LaneId) -> Option<Candidate> {
        self.lanes.get(&id).map(|lane| lane.candidate())
    }

    /// Returns whether either end is about to close the lane.
    pub fn lane_is_draining(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(|lane| lane.is_draining())
    }

    /// Returns whether the peer is about to close the lane.
    pub fn peer_drains(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(|lane| lane.usage.peer_drains())
    }
}
