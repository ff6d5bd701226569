//! What the planner decides from.

use super::view::LaneView;
use crate::path::{Path, PathKey};

/// What the planner decides from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// Every possible path.
    pub paths: &'a [Path],
    /// The session's lanes.
    pub lanes: &'a [LaneView],
    /// The paths being dialed, once for each dial.
    pub dialing: &'a [PathKey],
    /// There is traffic: flows are open, or an application wants to open one.
    pub has_demand: bool,
}

impl PlanInput<'_> {
    /// Returns whether the lane's path is drained at this end.
    ///
    /// Where the lane's locator is no longer listed, every path from its address must be drained.
    pub(super) fn is_drained(&self, lane: &LaneView) -> bool {
        let from_here = || self.paths.iter().filter(|p| p.local == lane.local);
        match from_here().find(|p| p.remote == lane.remote) {
            Some(path) => path.draining,
            None => from_here().next().is_some() && from_here().all(|p| p.draining),
        }
    }

    /// Returns whether the lane's local address was removed or deprecated.
    pub(super) fn address_lost(&self, lane: &LaneView) -> bool {
        !self.paths.iter().any(|p| p.local == lane.local)
    }

    /// Returns whether more than the peer's opinion speaks against every lane that is suspect.
    pub(super) fn is_conclusive(&self) -> bool {
        self.lanes.iter().filter(|l| l.suspected_since.is_some()).all(|l| l.conclusive)
    }

    /// Returns whether any lane is up.
    pub(super) fn any_up(&self) -> bool {
        self.lanes.iter().any(LaneView::is_up)
    }
}
