//! When and why a flow last moved to another lane: what a person asks of a flow, kept with it in 32 bytes.

use std::time::Instant;

use super::Candidate;
use crate::types::LaneId;

/// Why a flow left a lane for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MoveReason {
    /// The lane was gone.
    Gone,
    /// The lane was suspect.
    Suspect,
    /// The lane could not carry bytes yet.
    Unready,
    /// The lane drained.
    Draining,
    /// The lane was metered, and another one was not.
    Metered,
    /// The lane lost much of what was sent.
    Lossy,
    /// The other lane gave a bulk flow much more.
    MoreElsewhere,
    /// The other lane, which it would rather have, was restored.
    Restored,
    /// The suspicion for which it had left the other lane was spurious.
    Spurious,
}

/// The last move of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The lane that it left.
    pub from: LaneId,
    /// When.
    pub at: Instant,
    /// Why.
    pub reason: MoveReason,
}

/// Returns why a flow leaves a lane for one that is chosen: the first of the reasons for which it may.
pub(super) fn reason_to_leave(lanes: &[Candidate], from: LaneId) -> MoveReason {
    match lanes.iter().find(|lane| lane.id == from) {
        None => MoveReason::Gone,
        Some(lane) if lane.suspect => MoveReason::Suspect,
        Some(lane) if !lane.synced => MoveReason::Unready,
        Some(lane) if lane.draining => MoveReason::Draining,
        Some(lane) if lane.cost.is_metered() => MoveReason::Metered,
        Some(_) => MoveReason::Lossy,
    }
}
