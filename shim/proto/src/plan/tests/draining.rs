//! Lanes on their way out, moves and what races them, and what is remembered of failures.

use super::*;
use crate::hold_down::{GRACE, PA_HOLD};

#[test]
fn a_drained_lane_is_replaced_before_it_is_closed() {
    let t = Instant::now();
    let paths = [draining(path(1, 1)), path(2, 1)];
    let busy = LaneView { idle: false, ..lane(1, &paths[0]) };
    let mut planner = Planner::default();
    let alone = plan(&mut planner, t, &paths, std::slice::from_ref(&busy));
    assert_eq!((alone.dial, alone.drain), (vec![path(2, 1)], vec![LaneId(1)]));
    assert_eq!((alone.last_resort, alone.close), (vec![LaneId(1)], vec![]), "it stays in use");
    let both = [busy, lane(2, &paths[1])];
    let since = t + 60 * MIN_DRAIN;
    let beside = plan(&mut planner, since, &paths, &both);
    assert_eq!((beside.last_resort, beside.close), (vec![], vec![]));
    assert_eq!(plan(&mut planner, since + MIN_DRAIN, &paths, &both).close, [], "not empty");
    assert_eq!(plan(&mut planner, since + MAX_DRAIN, &paths, &both).close, [LaneId(1)]);
}

#[test]
fn an_empty_drained_lane_is_closed_when_the_peer_has_heard_of_it() {
    let t = Instant::now();
    let paths = [draining(path(1, 1)), path(2, 1)];
    let both = [lane(1, &paths[0]), lane(2, &paths[1])];
    let mut planner = Planner::default();
    let begin = plan(&mut planner, t, &paths, &both);
    assert_eq!((begin.drain, begin.wake_at), (vec![LaneId(1)], Some(t + MIN_DRAIN)));
    let end = plan(&mut planner, t + MIN_DRAIN, &paths, &both);
    assert_eq!((end.drain, end.close), (vec![], vec![LaneId(1)]));
    let after = plan(&mut planner, t + MIN_DRAIN, &paths, &both[1..]);
    assert_eq!(after.dial, [], "nothing is dialled on a drained uplink");
}

#[test]
fn resuming_an_uplink_takes_the_word_back() {
    let t = Instant::now();
    let drained = [draining(path(1, 1)), path(2, 1)];
    let lanes = [LaneView { idle: false, ..lane(1, &drained[0]) }, lane(2, &drained[1])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &drained, &lanes).drain, [LaneId(1)]);
    let resumed = [path(1, 1), path(2, 1)];
    assert_eq!(plan(&mut planner, t + 5 * MIN_DRAIN, &resumed, &lanes), PlanActions::default());
    // Drained again, it has all its time again.
    let again = plan(&mut planner, t + 20 * MIN_DRAIN, &drained, &lanes);
    assert_eq!((again.drain, again.close), (vec![LaneId(1)], vec![]));
}

#[test]
fn the_last_free_uplink_drains_onto_a_metered_one() {
    let t = Instant::now();
    let paths = [draining(path(1, 1)), metered(path(2, 1))];
    let alone = [lane(1, &paths[0])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &alone).dial, [paths[1].clone()]);
    let both = [lane(1, &paths[0]), lane(2, &paths[1])];
    plan(&mut planner, t, &paths, &both);
    let late = plan(&mut planner, t + STANDBY_AFTER, &paths, &both);
    assert_eq!((late.drain, late.close), (vec![], vec![LaneId(1)]), "the metered one stays");
}

#[test]
fn an_address_that_the_peer_drains_is_left_alone_after_its_lane_is_gone() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 2)];
    let drained = LaneView { peer_drains: true, ..lane(1, &paths[0]) };
    let lanes = [drained, lane(2, &paths[1])];
    let mut planner = Planner::default();
    plan(&mut planner, t, &paths, &lanes);
    planner.trust.will_close(&[LaneId(1)]);
    // Uplink 1 leads only there: it has no lane until the peer may be asked again.
    let alone = plan(&mut planner, t, &paths, &lanes[1..]);
    assert_eq!((alone.dial, alone.wake_at), (vec![], Some(t + PEER_DRAIN_TTL)));
    assert_eq!(plan(&mut planner, t + PEER_DRAIN_TTL / 2, &paths, &lanes[1..]).dial, []);
    assert_eq!(plan(&mut planner, t + PEER_DRAIN_TTL, &paths, &lanes[1..]).dial, [path(1, 1)]);
}

#[test]
fn another_locator_in_the_prefix_of_one_that_the_peer_drains_takes_over() {
    let t = Instant::now();
    // The peer's wired and its wireless address, in one prefix.
    let radio = |uplink| Path { remote: ([10, 9, 1, 2], 5443).into(), ..path(uplink, 1) };
    let paths = [path(1, 1), radio(1), path(2, 1), radio(2)];
    let drained = |id, path: &Path| LaneView { peer_drains: true, ..lane(id, path) };
    let lanes = [drained(1, &paths[0]), drained(2, &paths[2])];
    let mut planner = Planner::default();
    let first = plan(&mut planner, t, &paths, &lanes);
    assert_eq!(
        (first.dial, first.last_resort),
        (vec![radio(1), radio(2)], vec![LaneId(1), LaneId(2)])
    );
    // A lane of the other kind stays: it says nothing of the drained address.
    let lanes = [lanes[0].clone(), lane(3, &radio(2)), lane(4, &radio(1))];
    plan(&mut planner, t, &paths, &lanes);
    assert_eq!(plan(&mut planner, t + MIN_DRAIN, &paths, &lanes).close, [LaneId(1)]);
    let after = plan(&mut planner, t + MIN_DRAIN, &paths, &lanes[1..]);
    assert_eq!((after.dial, after.drain), (vec![], vec![]));
}

#[test]
fn a_deprecated_address_is_left_make_before_break() {
    let t = Instant::now();
    // The uplink has a new address; the lane on the old one still answers.
    let new = Path { local: IpAddr::from([10, 0, 1, 2]), ..path(1, 1) };
    let paths = [new.clone(), path(2, 1)];
    let lanes = [lane(1, &path(1, 1)), lane(2, &paths[1])];
    let mut planner = Planner::default();
    let first = plan(&mut planner, t, &paths, &lanes);
    assert_eq!((first.dial, first.drain), (vec![new.clone()], vec![LaneId(1)]));
    assert_eq!((first.migrate, first.close), (vec![], vec![]));
    let lanes = [lane(1, &path(1, 1)), lane(2, &paths[1]), lane(3, &new)];
    assert_eq!(plan(&mut planner, t + MIN_DRAIN, &paths, &lanes).close, [LaneId(1)]);
}

#[test]
fn a_replaced_address_moves_its_lane_within_the_uplink_although_another_is_up() {
    let t = Instant::now();
    let new = Path { local: IpAddr::from([10, 0, 1, 2]), ..path(1, 1) };
    let paths = [new.clone(), path(2, 1)];
    let lost = LaneView { suspected_since: Some(t), ..lane(1, &path(1, 1)) };
    let plan = plan(&mut Planner::default(), t, &paths, &[lost, lane(2, &paths[1])]);
    assert_eq!((plan.migrate, plan.dial), (vec![(LaneId(1), new)], vec![]));
}

#[test]
fn a_lane_that_is_silent_moves_to_an_uplink_without_a_lane_although_another_is_up() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1), path(3, 1)];
    let lanes = [silent(1, &paths[0], t), lane(2, &paths[1])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &lanes).migrate, []);
    let due = plan(&mut planner, t + MIGRATE_AFTER, &paths, &lanes);
    assert_eq!(due.migrate, [(LaneId(1), path(3, 1))]);
    assert_eq!(due.dial, [], "uplink 1 was dialled when it failed, 3 is where it moves");
    let paths = [path(1, 1), path(2, 1), metered(path(3, 1))];
    let due = plan(&mut Planner::default(), t + MIGRATE_AFTER, &paths, &lanes);
    assert_eq!(due.migrate, [], "not to where it costs");
}

#[test]
fn the_only_lane_moves_to_a_draining_uplink_only_when_it_is_silent_for_a_second() {
    let t = Instant::now();
    let paths = [path(1, 1), Path { draining: true, ..path(2, 1) }];
    let mut planner = Planner::default();
    let lanes = [silent(1, &paths[0], t)];
    for ms in [0, 40, 500, 999] {
        assert_eq!(plan(&mut planner, t + ms * MS, &paths, &lanes).migrate, [], "{ms} ms");
    }
    let late = plan(&mut planner, t + 1000 * MS, &paths, &lanes);
    assert_eq!(late.migrate, [(LaneId(1), paths[1].clone())]);
    // Where everything drains there is nothing to wait for.
    let paths = paths.map(|p| Path { draining: true, ..p });
    let soon = plan(&mut Planner::default(), t + MIGRATE_AFTER, &paths, &lanes);
    assert_eq!(soon.migrate, [(LaneId(1), paths[1].clone())]);
}

#[test]
fn the_cold_standby_takes_over_as_soon_as_the_only_free_lane_is_silent_for_good() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let mut planner = Planner::default();
    plan(&mut planner, t, &paths, &[lane(1, &paths[0])]);
    // Confirmed late: it was silent for long enough by then, and moves in the same breath.
    let plan = plan(&mut planner, t + 100 * MS, &paths, &[silent(1, &paths[0], t)]);
    assert_eq!(plan.migrate, [(LaneId(1), paths[1].clone())]);
}

#[test]
fn a_standby_that_was_moved_to_goes_back_to_cold_by_draining() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let moved = LaneView { moved_at: Some(t), ..lane(1, &paths[1]) };
    let lanes = [moved.clone(), lane(2, &paths[0])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &[moved]).dial, [path(1, 1)]);
    plan(&mut planner, t, &paths, &lanes);
    let due = plan(&mut planner, t + STANDBY_AFTER, &paths, &lanes);
    assert_eq!((due.drain, due.close), (vec![LaneId(1)], vec![]));
    let end = t + STANDBY_AFTER + MIN_DRAIN;
    assert_eq!(plan(&mut planner, end, &paths, &lanes).close, [LaneId(1)]);
}

#[test]
fn a_fresh_dial_races_a_move_that_does_not_get_through_and_the_loser_is_closed() {
    let t = Instant::now();
    let paths = [metered(path(2, 1))];
    let moved = LaneView { moved_at: Some(t), validated: false, ..lane(1, &paths[0]) };
    let mut planner = Planner::default();
    planner.dials.was_up = true;
    let early = plan(&mut planner, t, &paths, std::slice::from_ref(&moved));
    assert_eq!((early.dial, early.wake_at), (vec![], Some(t + RACE_DIAL_AFTER)));
    let race = plan(&mut planner, t + RACE_DIAL_AFTER, &paths, std::slice::from_ref(&moved));
    assert_eq!(race.dial, paths);
    // The dial wins.
    let both = [moved.clone(), lane(2, &paths[0])];
    assert_eq!(plan(&mut planner, t + 2 * RACE_DIAL_AFTER, &paths, &both).close, [LaneId(1)]);
    // The move wins: the dial is abandoned, or closed if it got through as well.
    let through = LaneView { validated: true, ..moved };
    let dialling = [paths[0].key()];
    let lanes = [through.clone()];
    let input = PlanInput { paths: &paths, lanes: &lanes, dialling: &dialling, has_demand: true };
    assert_eq!(planner.plan(t + 2 * RACE_DIAL_AFTER, &input).abandon, dialling);
    let both = [through, lane(2, &paths[0])];
    assert_eq!(plan(&mut planner, t + 2 * RACE_DIAL_AFTER, &paths, &both).close, [LaneId(2)]);
}

#[test]
fn a_lane_over_an_uplink_that_failed_is_wanted_and_on_probation() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 2)];
    let mut planner = Planner::default();
    let failed = [silent(1, &paths[0], t), lane(2, &paths[1])];
    plan(&mut planner, t, &paths, &failed);
    assert_eq!(plan(&mut planner, t + GRACE, &paths, &failed).dial, [path(1, 1)]);
    let back = t + 2 * GRACE;
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
fn a_metered_lane_is_kept_while_the_free_one_is_on_probation() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let mut planner = Planner::default();
    let moved = lane(1, &paths[1]);
    plan(&mut planner, t, &paths, &[silent(1, &paths[0], t)]);
    plan(&mut planner, t, &paths, std::slice::from_ref(&moved));
    plan(&mut planner, t + GRACE, &paths, std::slice::from_ref(&moved));
    let lanes = [moved, lane(2, &paths[0])];
    let back = t + Duration::from_secs(30);
    plan(&mut planner, back, &paths, &lanes);
    assert_eq!(plan(&mut planner, back + PA_HOLD, &paths, &lanes).drain, [], "it settles first");
    let due = back + PA_HOLD + STANDBY_AFTER;
    assert_eq!(plan(&mut planner, due, &paths, &lanes).drain, [LaneId(1)]);
}

#[test]
fn a_lane_to_a_locator_that_is_no_longer_listed_drains_only_with_its_uplink() {
    let t = Instant::now();
    let other = lane(2, &path(2, 2));
    let lanes = [lane(1, &path(1, 9)), other];
    let paths = [path(1, 1), draining(path(1, 2)), path(2, 2)];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &lanes).drain, []);
    let paths = [draining(path(1, 1)), draining(path(1, 2)), path(2, 2)];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &lanes).drain, [LaneId(1)]);
}

#[test]
fn an_uplink_that_is_renumbered_again_and_again_does_not_heap_up_lanes() {
    let t = Instant::now();
    let old = |id: u64| {
        let path = Path { local: IpAddr::from([10, 0, 1, 100 + id as u8]), ..path(1, 1) };
        lane(id, &path)
    };
    let paths = [path(1, 1)];
    let lanes: Vec<LaneView> = (1..=6).map(old).collect();
    let mut planner = Planner::default();
    let first = plan(&mut planner, t, &paths, &lanes);
    assert_eq!((first.dial.len(), first.drain.len()), (1, 6));
    assert_eq!(first.last_resort, [3, 4, 5, 6].map(LaneId), "the others have enough beside them");
    let then = plan(&mut planner, t + MIN_DRAIN, &paths, &lanes);
    assert_eq!(then.close, [1, 2].map(LaneId));
    // Beside so many that may answer nothing more is dialled.
    let lanes: Vec<LaneView> = (1..=MAX_LANES_AT_ONCE as u64).map(old).collect();
    assert_eq!(plan(&mut Planner::default(), t, &paths, &lanes).dial, []);
    let silent: Vec<LaneView> = (1..=20).map(|id| silent(id, &paths[0], t)).collect();
    assert_eq!(plan(&mut Planner::default(), t, &paths, &silent).dial, paths, "none may answer");
}
