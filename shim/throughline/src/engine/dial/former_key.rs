//! Lanes that were dialed with a former key of ours, or of the peer's, are dialed anew: make before break.
//!
//! They are no lanes to the planner, which therefore dials what it wants beside them. As soon as there are as
//! many new ones, or as many as are wanted now, they drain, and each is closed when it is empty.

use std::collections::BTreeSet;
use std::time::Instant;

use super::standby;
use crate::engine::session::SessionHandle;
use throughline_proto::plan::{LaneView, Planner};
use throughline_proto::types::LaneId;

/// The lanes of a session with a former key of either end.
#[derive(Default)]
pub(super) struct FormerKeyLanes {
    /// Those that the planner was told of.
    known: BTreeSet<LaneId>,
}

impl FormerKeyLanes {
    /// Takes the `former` lanes out of the planner's hands.
    pub(super) fn release(&mut self, planner: &mut Planner, former: &[LaneView]) {
        let fresh: Vec<LaneId> =
            former.iter().map(|lane| lane.id).filter(|id| self.known.insert(*id)).collect();
        planner.release(&fresh);
        self.known.retain(|id| former.iter().any(|lane| lane.id == *id));
    }

    /// Retires the `former` lanes when there are enough `lanes` without them, of which `wanted` are to be had;
    /// returns when to come back.
    pub(super) fn retire(
        session: &SessionHandle,
        now: Instant,
        lanes: &[LaneView],
        former: &[LaneView],
        wanted: usize,
    ) -> Option<Instant> {
        let up = |lanes: &[LaneView]| lanes.iter().filter(|lane| lane.is_up()).count();
        let replaced = !former.is_empty() && are_enough(up(lanes), up(former), wanted);
        replaced
            .then(|| standby::retire(session, now, former, "replaced by a lane with another key"))
    }
}

/// Returns whether so many lanes that are up replace the former ones that are up, where `wanted` are to be had:
/// an uplink may be gone since, and with it the lane that would have replaced another.
fn are_enough(up: usize, former_up: usize, wanted: usize) -> bool {
    up > 0 && up >= former_up.min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_lanes_are_replaced_by_as_many_or_by_as_many_as_can_be_had() {
        for (up, former_up, wanted, enough) in [
            (1, 2, 2, false),
            (2, 2, 2, true),
            (1, 1, 2, true),
            (1, 2, 1, true),
            (1, 0, 2, true),
            // Without a path none is to be had, and one is better than a former one all the same.
            (1, 2, 0, true),
            (0, 2, 0, false),
            (0, 0, 2, false),
        ] {
            assert_eq!(are_enough(up, former_up, wanted), enough, "{up} {former_up} {wanted}");
        }
    }
}
