//! Tests of the primary lane: where a flow begins, why it leaves, when it comes back.

use super::*;

#[test]
fn a_new_flow_gets_the_first_lane_by_order() {
    let lanes = [Candidate { order: 1, ..lane(1) }, lane(2)];
    assert_eq!(pick(&lanes, None), Some(2));
    assert_eq!(pick(&[], None), None);
}

#[test]
fn a_flow_stays_although_a_better_lane_is_there() {
    let lanes = [lane(1), Candidate { order: 9, cost: Cost::from_wire(5), ..lane(2) }];
    assert_eq!(pick(&lanes, Some(2)), Some(2));
}

#[test]
fn a_flow_leaves_a_suspect_a_draining_a_metered_and_a_mute_lane() {
    for bad in [
        Candidate { suspect: true, ..lane(1) },
        Candidate { draining: true, ..lane(1) },
        Candidate { cost: METERED, ..lane(1) },
        Candidate { synced: false, ..lane(1) },
    ] {
        assert_eq!(pick(&[bad, lane(2)], Some(1)), Some(2), "{bad:?}");
    }
}

#[test]
fn a_flow_leaves_a_lossy_lane_for_one_that_is_neither_lossy_nor_metered() {
    let lossy = Candidate { lossy: true, ..lane(1) };
    assert_eq!(pick(&[lossy, lane(2)], Some(1)), Some(2));
    assert_eq!(pick(&[lossy, lane(2)], None), Some(2));
    for no_better in [
        Candidate { lossy: true, ..lane(2) },
        Candidate { cost: METERED, ..lane(2) },
        Candidate { draining: true, ..lane(2) },
        Candidate { suspect: true, ..lane(2) },
    ] {
        assert_eq!(pick(&[lossy, Candidate { cost: held(0), ..lane(3) }], Some(1)), Some(3));
        assert_eq!(pick(&[lossy, no_better], Some(1)), Some(1), "{no_better:?}");
    }
    assert!(!is_bond_member(&[lane(2), lossy], LaneId(2), LaneId(1)));
}

#[test]
fn a_draining_lane_is_better_than_none() {
    let lanes = [Candidate { draining: true, ..lane(1) }];
    assert_eq!(pick(&lanes, Some(1)), Some(1));
}

#[test]
fn a_flow_stays_where_every_lane_is_suspect() {
    let suspect = |id| Candidate { suspect: true, ..lane(id) };
    assert_eq!(pick(&[suspect(1), suspect(2)], Some(2)), Some(2));
    assert_eq!(pick(&[suspect(1), suspect(2)], Some(3)), Some(1));
}

#[test]
fn a_lane_over_the_uplink_of_a_suspect_lane_comes_last() {
    let lanes =
        [Candidate { suspect: true, ..lane(1) }, Candidate { local_risk: 1, ..lane(2) }, lane(3)];
    assert_eq!(pick(&lanes, Some(1)), Some(3));
}

#[test]
fn a_lane_to_the_address_of_a_suspect_lane_comes_after_others_that_are_not_held() {
    let suspect = Candidate { suspect: true, ..lane(1) };
    let same = Candidate { remote_risk: 1, ..lane(2) };
    assert_eq!(pick(&[suspect, same, lane(3)], Some(1)), Some(3));
    let held_lane = Candidate { cost: held(0), ..lane(3) };
    assert_eq!(pick(&[suspect, same, held_lane], Some(1)), Some(2));
    let beside = Candidate { local_risk: 1, ..lane(4) };
    assert_eq!(pick(&[suspect, same, beside], Some(1)), Some(2), "our uplink counts more");
}

#[test]
fn a_held_lane_is_chosen_only_where_no_other_is_up() {
    let held_lane = Candidate { cost: held(0), ..lane(1) };
    let other = Candidate { cost: Cost::of_lane(1, false, HoldState::Normal), order: 1, ..lane(2) };
    assert_eq!(pick(&[held_lane, other], None), Some(2));
    assert_eq!(pick(&[held_lane], None), Some(1), "the last path is never held down");
    let also = Candidate { cost: held(1), ..other };
    assert_eq!(pick(&[held_lane, also], None), Some(1), "all alike");
    let metered = Candidate { cost: Cost::of_lane(1, true, HoldState::Normal), ..other };
    assert_eq!(pick(&[held_lane, metered], None), Some(1), "not to a metered lane");
    assert_eq!(pick(&[held_lane, metered], Some(2)), Some(1));
}

#[test]
fn a_flow_on_a_lane_that_is_put_into_hold_down_stays() {
    let held_lane = Candidate { cost: held(0), ..lane(1) };
    assert_eq!(pick(&[held_lane, lane(2)], Some(1)), Some(1));
}

#[test]
fn thin_flows_revert_after_the_hold_down_and_bulk_flows_after_the_wait_to_restore() {
    use Reversion::{All, None, Thin};
    let [preferred, restoring, held] =
        [HoldState::Normal, HoldState::WaitToRestore, HoldState::HeldDown]
            .map(|state| Cost::of_lane(3, false, state));
    let metered = Cost::of_lane(3, true, HoldState::Normal);
    let costs = [preferred, restoring, held, metered];
    for (before, reversions) in costs.into_iter().zip([
        // to:  preferred, restoring, held, metered
        [None, None, None, None],
        [All, None, None, None],
        [All, Thin, None, None],
        [None, None, None, None],
    ]) {
        for (after, expected) in costs.into_iter().zip(reversions) {
            assert_eq!(Reversion::of_change(before, after), expected, "{before} to {after}");
        }
    }
}
