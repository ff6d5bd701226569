//! Lanes whose place another took.

use super::view::{LaneView, Plan, World};

/// Closes what is silent and has been replaced, and what came twice.
pub(super) fn replace(world: &World<'_>, plan: &mut Plan) {
    let up: Vec<&LaneView> = world.lanes.iter().filter(|l| l.is_up()).collect();
    for lane in world.lanes.iter().filter(|l| !l.is_up()) {
        // Its path has a newer lane that answers. One on another path of the same uplink is no
        // replacement: it was there before, and the silence may be a moment's.
        let newer = |l: &&LaneView| l.key() == lane.key() && l.id > lane.id;
        if up.iter().any(newer) {
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
