//! A lane as selection sees it, and how lanes compare.

use std::time::Duration;

use super::cost::{Cost, CostRange};
use super::evidence::Evidence;
use crate::types::LaneId;

/// A lane as a candidate for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The lane.
    pub id: LaneId,
    /// What the lane shares with others at the initiator's end: its uplink (cf. the shared risk
    /// link groups of RFC 4202).
    pub local_risk: u64,
    /// What the lane shares with others at the acceptor's end: its address.
    pub remote_risk: u64,
    /// The cost that applies, of the two that the ends advertise.
    pub cost: Cost,
    /// The order among lanes of the same cost; lower first.
    pub order: u32,
    /// The round trip time.
    pub rtt: Duration,
    /// The peer has sent the facts of all its flows on the lane, so that it can carry bytes.
    pub synced: bool,
    /// Acknowledgements are late, as is usual for the lane's path.
    pub late: bool,
    /// Either end suspects the lane.
    pub suspect: bool,
    /// The suspicion is no mere guess.
    pub confirmed: bool,
    /// Either end is about to close the lane.
    pub draining: bool,
    /// The lane loses much of what is sent, as its monitor ([`LaneMonitor`](crate::lane::LaneMonitor)) finds.
    pub lossy: bool,
    /// What its deliveries show.
    pub evidence: Evidence,
}

/// What a flow does not put up with where there is better, the most important first. Among lanes
/// of equal defects no other lane is worth a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Defects {
    draining: bool,
    metered: bool,
    lossy: bool,
}

/// How good a lane is for new bytes, compared field by field from the first; the least is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    defects: Defects,
    /// Another lane over the same uplink is suspect.
    local_risk_suspect: bool,
    held: bool,
    /// Another lane to the same address is suspect.
    remote_risk_suspect: bool,
    cost: u8,
    order: u32,
    id: LaneId,
}

impl Candidate {
    /// Returns whether the lane can carry bytes and is not suspect.
    pub(super) fn is_up(&self) -> bool {
        self.synced && !self.suspect
    }

    /// Returns whether the lane can carry bytes, and is suspect on a mere guess at most.
    pub(super) fn is_up_by_guess(&self) -> bool {
        self.synced && !(self.suspect && self.confirmed)
    }

    /// Returns what a flow does not put up with.
    pub(super) fn defects(&self) -> Defects {
        Defects { draining: self.draining, metered: self.cost.is_metered(), lossy: self.lossy }
    }

    /// Returns how good the lane is among `lanes`.
    pub(super) fn rank(&self, lanes: &[Self]) -> Rank {
        let shares_with_suspect = |risk: fn(&Self) -> u64| {
            lanes.iter().any(|l| l.suspect && l.id != self.id && risk(l) == risk(self))
        };
        Rank {
            defects: self.defects(),
            local_risk_suspect: shares_with_suspect(|l| l.local_risk),
            held: self.cost.range() >= CostRange::HeldDown,
            remote_risk_suspect: shares_with_suspect(|l| l.remote_risk),
            cost: self.cost.in_choice(),
            order: self.order,
            id: self.id,
        }
    }
}

/// Returns whether a flow that bonds lanes uses `id` beside its primary lane: up, trusted, not
/// draining, not lossy, and the best over its uplink, which is not the primary lane's.
pub fn is_bond_member(lanes: &[Candidate], primary: LaneId, id: LaneId) -> bool {
    let find = |id| lanes.iter().find(|l| l.id == id);
    let (Some(primary), Some(lane)) = (find(primary), find(id)) else { return false };
    let fit = |l: &&Candidate| l.is_up() && !l.draining && !l.lossy && l.cost.is_trusted();
    let same_uplink = lanes.iter().filter(|l| l.local_risk == lane.local_risk).filter(fit);
    lane.local_risk != primary.local_risk
        && same_uplink.min_by_key(|l| l.rank(lanes)).is_some_and(|best| best.id == id)
}
