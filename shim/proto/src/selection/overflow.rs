//! When bulk also goes over a lane that costs money: while every lane that costs nothing is full.
//!
//! A bulk flow begins with that once bulk has waited for each of them for as long as the lane's cost says
//! ([`Cost::overflow_after`](super::Cost::overflow_after)), and uses the lane beside its own, as if it bonded them. It
//! ends with it when one of them has had room for [`STAY`]: an application that sends a little more than they carry
//! would else begin and end every few seconds.
//!
//! Only who sends knows that a lane is full. So each end decides for what it sends, and all that the other end has to
//! know is in the cost.

use std::time::{Duration, Instant};

use super::candidate::Candidate;
use crate::types::LaneId;

/// How long a cheaper lane must have had room before the overflow ends.
const STAY: Duration = Duration::from_secs(10);

/// The lane that a bulk flow uses beside its own because those that cost nothing are full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    lane: Option<LaneId>,
    /// Since when a lane that costs nothing has room.
    roomy_since: Option<Instant>,
}

impl Overflow {
    /// Returns the lane, if there is one.
    pub fn lane(&self) -> Option<LaneId> {
        self.lane
    }

    /// Begins and ends with it, for a bulk flow on `primary`.
    pub(super) fn step(&mut self, now: Instant, primary: &Candidate, lanes: &[Candidate]) {
        let usable = lanes.iter().filter(|lane| is_usable(lanes, primary.id, lane.id));
        // A flow that is on a lane that costs money has no other.
        let Some(lane) =
            usable.min_by_key(|lane| lane.rank(lanes)).filter(|_| !primary.cost.is_metered())
        else {
            *self = Self::default();
            return;
        };
        let free = || lanes.iter().filter(|lane| lane.id == primary.id || is_free(lane));
        let after = lane.cost.overflow_after().unwrap_or(Duration::MAX);
        if self.lane.is_none() && free().any(|lane| lane.evidence.full_for < after) {
            return;
        }
        let has_room = free().any(|lane| lane.evidence.full_for.is_zero());
        let roomy_since = has_room.then(|| self.roomy_since.unwrap_or(now));
        let is_over = roomy_since.is_some_and(|since| now >= since + STAY);
        *self = if is_over { Self::default() } else { Self { lane: Some(lane.id), roomy_since } };
    }
}

/// Returns whether flows would use the lane before any that costs money: one that is held down or lossy may stay empty.
fn is_free(lane: &Candidate) -> bool {
    lane.is_up() && !lane.draining && !lane.lossy && lane.cost.is_trusted()
}

/// Returns whether a flow on `primary` may use the lane `id` when those that cost nothing are full: over another
/// uplink, and well.
pub(super) fn is_usable(lanes: &[Candidate], primary: LaneId, id: LaneId) -> bool {
    let find = |id| lanes.iter().find(|lane| lane.id == id);
    let (Some(primary), Some(lane)) = (find(primary), find(id)) else { return false };
    let is_well = lane.is_up() && !lane.draining && !lane.lossy;
    lane.cost.overflow_after().is_some() && is_well && lane.local_risk != primary.local_risk
}
