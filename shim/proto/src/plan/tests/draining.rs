//! Which lanes drain, and when they are closed.

use super::*;

#[test]
fn a_metered_uplink_is_a_standby_while_a_lane_is_up_and_its_lane_drains_later() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let up = [lane(1, &paths[0])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &up), PlanActions::default());
    let both = [lane(1, &paths[0]), lane(2, &paths[1])];
    assert_eq!(plan(&mut planner, t, &paths, &both).wake_at, Some(t + STANDBY_AFTER));
    let due = plan(&mut planner, t + STANDBY_AFTER, &paths, &both);
    assert_eq!((due.drain, due.close), (vec![LaneId(2)], vec![]), "flows leave it first");
    let end = t + STANDBY_AFTER + MIN_DRAIN;
    assert_eq!(plan(&mut planner, end, &paths, &both).close, [LaneId(2)]);
}

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
    assert_eq!((end.drain, end.close), (vec![LaneId(1)], vec![LaneId(1)]), "it is used no more");
    let after = plan(&mut planner, t + MIN_DRAIN, &paths, &both[1..]);
    assert_eq!(after.dial, [], "nothing is dialed on a drained uplink");
}

#[test]
fn resuming_an_uplink_ends_the_drain_of_its_lane() {
    let t = Instant::now();
    let drained = [draining(path(1, 1)), path(2, 1)];
    let lanes = [LaneView { idle: false, ..lane(1, &drained[0]) }, lane(2, &drained[1])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &drained, &lanes).drain, [LaneId(1)]);
    let resumed = [path(1, 1), path(2, 1)];
    assert_eq!(plan(&mut planner, t + 5 * MIN_DRAIN, &resumed, &lanes), PlanActions::default());
    // When it drains again, the time starts anew.
    let again = plan(&mut planner, t + 20 * MIN_DRAIN, &drained, &lanes);
    assert_eq!((again.drain, again.close), (vec![LaneId(1)], vec![]));
}

#[test]
fn the_last_unmetered_uplink_drains_onto_a_metered_one() {
    let t = Instant::now();
    let paths = [draining(path(1, 1)), metered(path(2, 1))];
    let alone = [lane(1, &paths[0])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &alone).dial, [paths[1].clone()]);
    let both = [lane(1, &paths[0]), lane(2, &paths[1])];
    plan(&mut planner, t, &paths, &both);
    let late = plan(&mut planner, t + STANDBY_AFTER, &paths, &both);
    let first = vec![LaneId(1)];
    assert_eq!((late.drain, late.close), (first.clone(), first), "the metered one stays");
}

#[test]
fn an_address_that_the_peer_drains_is_avoided_after_its_lane_is_gone() {
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
    // A lane to the other address stays: it says nothing of the drained one.
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
fn a_lane_that_migrated_to_the_standby_drains_when_the_unmetered_uplink_is_back() {
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
fn an_uplink_that_is_renumbered_again_and_again_does_not_accumulate_lanes() {
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
    // Beside MAX_LANES_AT_ONCE lanes that may answer, no path is dialed.
    let lanes: Vec<LaneView> = (1..=MAX_LANES_AT_ONCE as u64).map(old).collect();
    assert_eq!(plan(&mut Planner::default(), t, &paths, &lanes).dial, []);
    let down: Vec<LaneView> = (1..=20).map(|id| down(id, &paths[0], t)).collect();
    assert_eq!(
        plan(&mut Planner::default(), t + REDIAL_AFTER, &paths, &down).dial,
        paths,
        "none of them may answer"
    );
}
