//! Which of two lanes on a path is closed.

use super::*;

#[test]
fn a_lane_that_is_down_is_dialed_anew_and_closed_once_replaced() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let down = LaneView { suspected_since: Some(t), confirmed: true, ..lane(1, &paths[0]) };
    let lanes = [down.clone(), lane(2, &paths[1])];
    let now = plan(&mut Planner::default(), t, &paths, &lanes);
    assert_eq!((now.dial, now.close), (vec![path(1, 1)], vec![]));
    let lanes = [down, lane(2, &paths[1]), lane(3, &paths[0])];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &lanes).close, [LaneId(1)]);
}

#[test]
fn a_lane_that_is_down_is_not_replaced_by_one_to_another_locator() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1)];
    let down = LaneView { suspected_since: Some(t), confirmed: true, ..lane(1, &paths[0]) };
    let lanes = [down, lane(2, &paths[1]), lane(3, &paths[2])];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &lanes).close, []);
}

#[test]
fn of_two_lanes_on_one_path_the_older_stays() {
    let t = Instant::now();
    let paths = [path(1, 1)];
    let lanes = [lane(1, &paths[0]), lane(2, &paths[0])];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &lanes).close, [LaneId(2)]);
}

#[test]
fn the_replacement_of_a_lane_that_answers_again_is_abandoned_once_that_lane_is_stable() {
    let t = Instant::now();
    let paths = [path(1, 1)];
    let dialing = [paths[0].key()];
    let back = LaneView { last_suspected: Some(t), ..lane(1, &paths[0]) };
    let mut planner = Planner::default();
    let mut plan_at = |at, lanes: &[LaneView], dialing: &[PathKey]| {
        let input = PlanInput { paths: &paths, lanes, dialing, has_demand: true };
        planner.plan(at, &input)
    };
    let (soon, steady) = (t + STABLE_AFTER - MS, t + STABLE_AFTER);
    let (alone, both) = ([back.clone()], [back.clone(), lane(2, &paths[0])]);
    // The replacement is still being dialed, or is up.
    let kept = PlanActions { wake_at: Some(steady), ..PlanActions::default() };
    assert_eq!(plan_at(soon, &alone, &dialing), kept);
    assert_eq!(plan_at(soon, &both, &[]), kept);
    assert_eq!(plan_at(steady, &alone, &dialing).abandon, dialing);
    assert_eq!(plan_at(steady, &both, &[]).close, [LaneId(2)]);
    // The second lane is stable from the start: no third is wanted.
    assert_eq!(plan_at(soon, &both, &dialing).abandon, dialing);
    // Suspect once more: a suspicion closes nothing.
    let again = LaneView { suspected_since: Some(soon), ..back };
    let sure = LaneView { confirmed: true, ..again.clone() };
    assert_eq!(plan_at(soon, &[again, lane(2, &paths[0])], &[]).close, []);
    assert_eq!(plan_at(soon, &[sure, lane(2, &paths[0])], &[]).close, [LaneId(1)]);
}

#[test]
fn a_fresh_dial_races_a_migration_that_does_not_succeed_and_the_loser_is_closed() {
    let t = Instant::now();
    let paths = [metered(path(2, 1))];
    let moved = LaneView { moved_at: Some(t), validated: false, ..lane(1, &paths[0]) };
    let mut planner = Planner::default();
    planner.dials.was_up = true;
    let early = plan(&mut planner, t, &paths, std::slice::from_ref(&moved));
    assert_eq!((early.dial, early.wake_at), (vec![], Some(t + RACE_DIAL_AFTER)));
    let race = plan(&mut planner, t + RACE_DIAL_AFTER, &paths, std::slice::from_ref(&moved));
    assert_eq!(race.dial, paths);
    // The dial succeeds first.
    let both = [moved.clone(), lane(2, &paths[0])];
    assert_eq!(plan(&mut planner, t + 2 * RACE_DIAL_AFTER, &paths, &both).close, [LaneId(1)]);
    // The migration succeeds first: the dial is abandoned, or closed if it got through as well.
    let through = LaneView { validated: true, ..moved };
    let dialing = [paths[0].key()];
    let lanes = [through.clone()];
    let input = PlanInput { paths: &paths, lanes: &lanes, dialing: &dialing, has_demand: true };
    assert_eq!(planner.plan(t + 2 * RACE_DIAL_AFTER, &input).abandon, dialing);
    let both = [through, lane(2, &paths[0])];
    assert_eq!(plan(&mut planner, t + 2 * RACE_DIAL_AFTER, &paths, &both).close, [LaneId(2)]);
}
