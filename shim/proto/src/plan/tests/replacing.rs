//! Which of two lanes on a path is closed.

use super::*;

#[test]
fn a_lane_that_stays_down_is_dialed_anew_and_closed_once_replaced() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let lanes = [down(1, &paths[0], t), lane(2, &paths[1])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &lanes).dial, []);
    assert_eq!(plan(&mut planner, t + REDIAL_AFTER - MS, &paths, &lanes).dial, []);
    let now = plan(&mut planner, t + REDIAL_AFTER, &paths, &lanes);
    assert_eq!((now.dial, now.close), (vec![path(1, 1)], vec![]));
    let lanes = [down(1, &paths[0], t), lane(2, &paths[1]), lane(3, &paths[0])];
    let closed = |lanes, at| plan(&mut Planner::default(), at, &paths, lanes).close;
    assert_eq!(closed(&lanes, t + REDIAL_AFTER), [LaneId(1)]);
    assert_eq!(closed(&lanes, t + REDIAL_AFTER - MS), [], "it may answer yet");
    let narrow = LaneView { narrow: true, ..down(1, &paths[0], t) };
    assert_eq!(closed(&[narrow, lane(3, &paths[0])], t), [LaneId(1)]);
}

#[test]
fn the_last_lane_that_fails_is_dialed_a_twin_at_once_and_again_only_after_seconds() {
    let t = Instant::now();
    let paths = [path(1, 1)];
    let mut planner = Planner::default();
    let mut dials = Vec::new();
    for ms in 0..20_000 {
        let plan = plan(&mut planner, t + ms * MS, &paths, &[down(1, &paths[0], t)]);
        for path in &plan.dial {
            planner.dial_ended(path.key(), false);
            dials.push(ms);
        }
    }
    assert_eq!(dials[0], 0);
    assert!(dials[1] >= 2_000 && dials.len() <= 5, "{dials:?}");
    // The peer's opinion alone may come of our full window, behind which its acknowledgements wait.
    let by_peer = LaneView { conclusive: false, ..down(1, &paths[0], t) };
    let dial = |at| plan(&mut Planner::default(), at, &paths, std::slice::from_ref(&by_peer)).dial;
    assert_eq!(dial(t + REDIAL_AFTER - MS), []);
    assert_eq!(dial(t + REDIAL_AFTER), paths);
}

#[test]
fn a_lane_that_answers_again_and_again_is_not_dialed_a_twin() {
    // Down for 900 ms and up for 300, as in heavy loss; then, once, for longer.
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let mut planner = Planner::default();
    let mut dials = 0;
    for ms in (0..60_000).step_by(10) {
        let (now, since) = (t + ms * MS, t + ms / 1200 * 1200 * MS);
        let first = match ms % 1200 < 900 {
            true => down(1, &paths[0], since),
            false => LaneView { last_suspected: Some(since + 900 * MS), ..lane(1, &paths[0]) },
        };
        dials += plan(&mut planner, now, &paths, &[first, lane(2, &paths[1])]).dial.len();
    }
    assert_eq!(dials, 0);
}

#[test]
fn dials_beside_a_lane_that_always_answers_again_become_rare() {
    // Down for 1.5 s and up for 0.5 s: each dial gets through just before the lane answers.
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let mut planner = Planner::default();
    let mut dials = 0;
    for ms in (0..60_000).step_by(10) {
        let (now, since) = (t + ms * MS, t + ms / 2000 * 2000 * MS);
        let first = match ms % 2000 < 1500 {
            true => down(1, &paths[0], since),
            false => LaneView { last_suspected: Some(since + 1500 * MS), ..lane(1, &paths[0]) },
        };
        let plan = plan(&mut planner, now, &paths, &[first, lane(2, &paths[1])]);
        for path in &plan.dial {
            planner.dial_ended(path.key(), true);
        }
        dials += plan.dial.len();
    }
    assert!(dials <= 2, "{dials} dials");
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
    let lanes = [sure, lane(2, &paths[0])];
    assert_eq!(plan_at(soon, &lanes, &[]).close, [], "it may answer once more");
    assert_eq!(plan_at(soon + REDIAL_AFTER, &lanes, &[]).close, [LaneId(1)]);
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
