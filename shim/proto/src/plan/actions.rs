//! What the planner wants done.

use std::time::Instant;

use crate::path::{Path, PathKey};
use crate::types::LaneId;

/// What the planner wants done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PlanActions {
    /// Paths to dial.
    pub dial: Vec<Path>,
    /// Paths to probe: one packet asks whether the peer can be reached.
    pub probe: Vec<Path>,
    /// Dials under way that are no longer needed, once for each dial.
    pub abandon: Vec<PathKey>,
    /// Lanes to migrate, and the path each goes to.
    pub migrate: Vec<(LaneId, Path)>,
    /// All lanes that drain, those of [`close`](Self::close) among them: one that was said to drain no more as it
    /// is closed would be given bytes once more. The peer is told of these and of no others.
    pub drain: Vec<LaneId>,
    /// Those of [`drain`](Self::drain) that stay in use because no other lane is up.
    pub last_resort: Vec<LaneId>,
    /// Lanes to close, because they have drained or another has replaced them.
    pub close: Vec<LaneId>,
    /// When to plan again, if nothing changes before.
    pub wake_at: Option<Instant>,
}

impl PlanActions {
    /// Asks for another plan at `at`, or earlier if an earlier one is already asked for.
    pub(super) fn wake(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}
