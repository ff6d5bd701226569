//! Tests of the policy: which lanes a flow gets, when it leaves them, when it comes back.

use super::*;
use crate::hold_down::HoldState;

const METERED: Cost = Cost::from_wire(200);

fn held(order: u32) -> Cost {
    Cost::of_lane(order, false, HoldState::HeldDown)
}

fn lane(id: u64) -> Candidate {
    Candidate {
        id: LaneId(id),
        local_risk: id,
        remote_risk: id,
        cost: Cost::FREE,
        order: 0,
        rtt: Duration::ZERO,
        synced: true,
        late: false,
        suspect: false,
        confirmed: false,
        draining: false,
        lossy: false,
        evidence: Evidence::default(),
    }
}

fn pick(lanes: &[Candidate], present: Option<u64>) -> Option<u64> {
    primary(lanes, present.map(LaneId)).map(|l| l.0)
}

mod arrivals;
mod eligibility;
mod moves;
mod overflow;
mod placement;
mod properties;
mod searches;
