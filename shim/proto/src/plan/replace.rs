//! Lanes whose place another took.

use std::time::Instant;

use super::view::{LaneView, Plan, STEADY, World};

/// Closes what is silent and has been replaced, and what came twice.
pub(super) fn replace(now: Instant, world: &World<'_>, plan: &mut Plan) {
    let up: Vec<&LaneView> = world.lanes.iter().filter(|l| l.is_up()).collect();
    for lane in world.lanes.iter().filter(|l| l.is_silent() || !l.proven) {
        // Its path has a newer lane that answers. One on another path of the same uplink is no
        // replacement: it was there before, and the silence may be a moment's.
        let newer = |l: &&LaneView| l.key() == lane.key() && l.id > lane.id;
        if up.iter().any(newer) {
            plan.close.push(lane.id);
        }
    }
    // More lanes on a path than one: two dials got through, or the older answers again. It stays,
    // once it has done so for a while.
    for (index, lane) in up.iter().enumerate() {
        let older = || up[..index].iter().filter(|l| l.key() == lane.key());
        if older().any(|l| !l.wavers(now)) {
            plan.close.push(lane.id);
        } else if let Some(at) = older().filter_map(|l| l.wavered).min() {
            plan.wake(at + STEADY);
        }
    }
}
