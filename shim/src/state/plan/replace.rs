//! Lanes whose place another took.

use super::Planner;
use super::view::{LaneView, Plan, World};

impl Planner {
    /// Closes what is silent and has been replaced, and what came twice.
    #[allow(clippy::unused_self, reason = "one of the planner's steps, called like the others")]
    pub(super) fn replace(&self, world: &World<'_>, plan: &mut Plan) {
        let up: Vec<&LaneView> = world.lanes.iter().filter(|l| l.is_up()).collect();
        for lane in world.lanes.iter().filter(|l| !l.is_up()) {
            // Its path has a newer lane that answers. One on another path of the same uplink is no
            // replacement: it was there before, and the silence may be a moment's.
            let newer = |l: &&LaneView| l.key() == lane.key() && l.id > lane.id;
            if up.iter().any(|l| newer(&l)) {
                plan.close.push(lane.id);
            }
        }
        // More lanes on a path than one: two dials got through. The older stays.
        for (index, lane) in up.iter().enumerate() {
            if up[..index].iter().any(|l| l.key() == lane.key()) {
                plan.close.push(lane.id);
            }
        }
    }
}
