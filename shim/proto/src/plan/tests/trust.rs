//! What a failure leaves behind.

use super::*;
use crate::hold_down::{GRACE, PA_HOLD};

#[test]
fn a_lane_over_an_uplink_that_failed_is_wanted_and_held_down() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 2)];
    let mut planner = Planner::default();
    let failed = [down(1, &paths[0], t), lane(2, &paths[1])];
    plan(&mut planner, t, &paths, &failed);
    assert_eq!(plan(&mut planner, t + GRACE, &paths, &failed).dial, []);
    assert_eq!(plan(&mut planner, t + REDIAL_AFTER, &paths, &failed).dial, [path(1, 1)]);
    let back = t + PA_HOLD / 2;
    let lanes = [lane(2, &paths[1]), lane(3, &paths[0])];
    assert_eq!(plan(&mut planner, back, &paths, &lanes).wake_at, Some(back + PA_HOLD));
    assert_eq!(planner.hold_state(back, &lanes[1]), HoldState::HeldDown);
    assert_eq!(planner.hold_state(back, &lanes[0]), HoldState::Normal);
    assert_eq!(planner.hold_state(back + PA_HOLD, &lanes[1]), HoldState::WaitToRestore);
    assert_eq!(planner.hold_state(back + 2 * PA_HOLD, &lanes[1]), HoldState::Normal);
}

#[test]
fn a_lane_that_vanishes_has_failed_unless_we_closed_it() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 2)];
    let both = [lane(1, &paths[0]), lane(2, &paths[1])];
    for closed in [false, true] {
        let mut planner = Planner::default();
        plan(&mut planner, t, &paths, &both);
        if closed {
            planner.trust.will_close(&[LaneId(1)]);
        }
        plan(&mut planner, t, &paths, &both[1..]);
        plan(&mut planner, t + GRACE, &paths, &both[1..]);
        let hold_state = planner.hold_state(t + GRACE, &both[0]);
        assert_eq!(hold_state, if closed { HoldState::Normal } else { HoldState::HeldDown });
    }
}

#[test]
fn a_metered_lane_is_kept_while_the_unmetered_one_is_held_down() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let mut planner = Planner::default();
    let moved = lane(1, &paths[1]);
    plan(&mut planner, t, &paths, &[down(1, &paths[0], t)]);
    plan(&mut planner, t, &paths, std::slice::from_ref(&moved));
    plan(&mut planner, t + GRACE, &paths, std::slice::from_ref(&moved));
    let lanes = [moved, lane(2, &paths[0])];
    let back = t + Duration::from_secs(30);
    plan(&mut planner, back, &paths, &lanes);
    assert_eq!(
        plan(&mut planner, back + PA_HOLD, &paths, &lanes).drain,
        [],
        "it waits to restore first"
    );
    let due = back + PA_HOLD + STANDBY_AFTER;
    assert_eq!(plan(&mut planner, due, &paths, &lanes).drain, [LaneId(1)]);
}
