//! Closes lanes that another lane has replaced.

use std::time::Instant;

use super::actions::PlanActions;
use super::dial::REDIAL_AFTER;
use super::input::PlanInput;
use super::view::{LaneView, STABLE_AFTER};

/// Closes lanes that are down and were replaced, and duplicates on one path.
pub(super) fn replace(now: Instant, input: &PlanInput<'_>, actions: &mut PlanActions) {
    let up: Vec<&LaneView> = input.lanes.iter().filter(|l| l.is_up()).collect();
    for lane in input.lanes.iter().filter(|l| l.is_down() || !l.validated) {
        // Only a newer lane on the same path replaces it. A lane on another path of the same
        // uplink was there before, and the silence may last a moment only.
        let newer = |l: &&LaneView| l.key() == lane.key() && l.id > lane.id;
        if !up.iter().any(newer) {
            continue;
        }
        // It may answer yet, and then the newer one goes; but where large packets are lost it will not.
        let waits = lane.validated && !lane.narrow;
        match lane.suspected_since.filter(|_| waits).map(|since| since + REDIAL_AFTER) {
            Some(due) if due > now => actions.wake(due),
            _ => actions.close.push(lane.id),
        }
    }
    // Two lanes on one path: two dials got through, or the older lane answers again. The older one
    // stays, once it is stable.
    for (index, lane) in up.iter().enumerate() {
        let older = || up[..index].iter().filter(|l| l.key() == lane.key());
        if older().any(|l| !l.recently_suspected(now)) {
            actions.close.push(lane.id);
        } else if let Some(at) = older().filter_map(|l| l.last_suspected).min() {
            actions.wake(at + STABLE_AFTER);
        }
    }
}
