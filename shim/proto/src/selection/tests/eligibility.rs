//! Tests of the secondary lane, the lane in handover, and bonded lanes.

use super::*;

#[test]
fn a_lane_that_was_left_is_usable_unless_suspect_metered_lossy_mute_or_gone() {
    let left = Candidate { draining: true, ..lane(1) };
    assert!(is_usable_in_handover(&[left, lane(2)], LaneId(1)));
    for bad in [
        Candidate { suspect: true, ..left },
        Candidate { cost: METERED, ..left },
        Candidate { lossy: true, ..left },
        Candidate { synced: false, ..left },
        lane(2),
    ] {
        assert!(!is_usable_in_handover(&[bad], LaneId(1)), "{bad:?}");
    }
}

#[test]
fn the_secondary_lane_is_disjoint_not_metered_and_sticky() {
    let primary = LaneId(1);
    let lanes = [lane(1), Candidate { local_risk: 1, ..lane(2) }, lane(3), lane(4)];
    assert_eq!(secondary(&lanes, primary, None), Some(LaneId(3)));
    assert_eq!(secondary(&lanes, primary, Some(LaneId(4))), Some(LaneId(4)));
    for unfit in [
        Candidate { suspect: true, confirmed: true, ..lane(3) },
        Candidate { draining: true, ..lane(3) },
        Candidate { cost: METERED, ..lane(3) },
        Candidate { synced: false, ..lane(3) },
    ] {
        assert_eq!(secondary(&[lane(1), unfit], primary, None), None, "{unfit:?}");
    }
}

#[test]
fn the_secondary_lane_leads_to_another_address_where_it_can() {
    let primary = LaneId(1);
    let same = Candidate { remote_risk: 1, ..lane(2) };
    assert_eq!(secondary(&[lane(1), same], primary, None), Some(LaneId(2)));
    assert_eq!(secondary(&[lane(1), same, lane(3)], primary, Some(LaneId(2))), Some(LaneId(3)));
    let lossy = Candidate { lossy: true, ..lane(3) };
    assert_eq!(secondary(&[lane(1), same, lossy], primary, None), Some(LaneId(2)));
}

#[test]
fn a_lane_that_may_have_failed_carries_copies_where_no_other_is_up() {
    let suspect = Candidate { suspect: true, ..lane(2) };
    assert_eq!(secondary(&[lane(1), suspect], LaneId(1), None), Some(LaneId(2)));
    assert_eq!(
        secondary(&[lane(1), suspect, lane(3)], LaneId(1), Some(LaneId(2))),
        Some(LaneId(3))
    );
    let confirmed = Candidate { confirmed: true, ..suspect };
    assert_eq!(secondary(&[lane(1), confirmed], LaneId(1), Some(LaneId(2))), None);
}

#[test]
fn a_held_lane_is_secondary_where_there_is_no_better_and_never_a_bond_member() {
    let held_lane = Candidate { cost: held(1), ..lane(2) };
    assert_eq!(secondary(&[lane(1), held_lane], LaneId(1), None), Some(LaneId(2)));
    assert_eq!(secondary(&[lane(1), held_lane, lane(3)], LaneId(1), None), Some(LaneId(3)));
    assert!(!is_bond_member(&[lane(1), held_lane], LaneId(1), LaneId(2)));
    let restoring =
        Candidate { cost: Cost::of_lane(1, false, HoldState::WaitToRestore), ..held_lane };
    assert!(is_bond_member(&[lane(1), restoring], LaneId(1), LaneId(2)));
}

#[test]
fn a_bonding_flow_uses_the_best_lane_of_every_other_uplink() {
    let lanes = [
        lane(1),
        Candidate { local_risk: 1, ..lane(2) },
        Candidate { order: 1, ..lane(3) },
        Candidate { local_risk: 3, ..lane(4) },
        Candidate { suspect: true, ..lane(5) },
        Candidate { local_risk: 5, ..lane(6) },
        lane(7),
    ];
    let used: Vec<u64> =
        (1..=7).filter(|id| is_bond_member(&lanes, LaneId(1), LaneId(*id))).collect();
    assert_eq!(used, [4, 6, 7], "not over the primary lane's uplink, one over each other");
    assert!(
        !is_bond_member(&lanes, LaneId(9), LaneId(7)),
        "without a primary lane nothing is bonded"
    );
    for unfit in [
        Candidate { draining: true, ..lane(7) },
        Candidate { cost: METERED, ..lane(7) },
        Candidate { synced: false, ..lane(7) },
    ] {
        assert!(!is_bond_member(&[lane(1), unfit], LaneId(1), LaneId(7)), "{unfit:?}");
    }
}
