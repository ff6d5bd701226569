//! A lane's place in its session while the lane is set up.

use super::SessionHandle;
use throughline_proto::types::LaneId;

/// A place for a lane that is admitted and not attached yet, so that the bound on lanes holds however
/// many are set up at once. Dropping it frees the place.
pub(crate) struct LaneReservation {
    session: SessionHandle,
    lane: LaneId,
}

impl SessionHandle {
    /// Reserves a place for a lane; `None` where its number or all places are taken.
    pub(crate) fn reserve(&self, lane: LaneId, max_lanes: usize) -> Option<LaneReservation> {
        let free = self.with(|core, _| {
            let known = core.lanes.contains_key(&lane) || core.reserved.contains(&lane);
            let free = !known && core.lane_count() < max_lanes;
            free && core.reserved.insert(lane)
        });
        free.then(|| LaneReservation { session: self.clone(), lane })
    }
}

impl Drop for LaneReservation {
    fn drop(&mut self) {
        self.session.with(|core, _| core.reserved.remove(&self.lane));
    }
}
