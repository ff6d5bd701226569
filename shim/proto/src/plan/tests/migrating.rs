//! Which lanes migrate, when, and where to.

use super::*;

#[test]
fn the_only_lane_migrates_to_an_uplink_without_a_lane_when_it_is_down() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let down = LaneView { suspected_since: Some(t), confirmed: true, ..lane(1, &paths[0]) };
    let mut planner = Planner::default();
    let early = plan(&mut planner, t + 10 * MS, &paths, std::slice::from_ref(&down));
    assert!(early.migrate.is_empty() && early.wake_at <= Some(t + MIGRATE_AFTER));
    let due = plan(&mut planner, t + MIGRATE_AFTER, &paths, std::slice::from_ref(&down));
    assert_eq!(due.migrate, [(LaneId(1), paths[1].clone())]);
    let moved = LaneView { moved_at: Some(t + MIGRATE_AFTER), ..down };
    let again = plan(&mut planner, t + 2 * MIGRATE_AFTER, &paths, &[moved]);
    assert!(again.migrate.is_empty(), "it gets time to answer on its new path");
}

#[test]
fn a_suspect_lane_whose_address_is_lost_migrates_at_once() {
    let t = Instant::now();
    let paths = [path(2, 1)];
    let down = LaneView { suspected_since: Some(t), ..lane(1, &path(1, 1)) };
    let plan = plan(&mut Planner::default(), t, &paths, &[down]);
    assert_eq!(plan.migrate, [(LaneId(1), path(2, 1))]);
}

#[test]
fn a_lane_that_is_down_stays_where_another_is_up_or_the_other_uplink_is_down_too() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let down = |id, path| LaneView { suspected_since: Some(t), confirmed: true, ..lane(id, path) };
    let late = t + MIGRATE_AGAIN_AFTER;
    let one = [down(1, &paths[0]), lane(2, &paths[1])];
    assert!(plan(&mut Planner::default(), late, &paths, &one).migrate.is_empty());
    let both = [down(1, &paths[0]), down(2, &paths[1])];
    assert!(plan(&mut Planner::default(), late, &paths, &both).migrate.is_empty());
}

#[test]
fn a_suspicion_migrates_and_dials_nothing() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let suspect = LaneView { suspected_since: Some(t), ..lane(1, &paths[0]) };
    let plan = plan(&mut Planner::default(), t + MIGRATE_AGAIN_AFTER, &paths, &[suspect]);
    assert_eq!((plan.migrate, plan.dial), (vec![], vec![]));
}

#[test]
fn a_lane_migrates_to_the_new_address_of_its_uplink_although_another_is_up() {
    let t = Instant::now();
    let new = Path { local: IpAddr::from([10, 0, 1, 2]), ..path(1, 1) };
    let paths = [new.clone(), path(2, 1)];
    let lost = LaneView { suspected_since: Some(t), ..lane(1, &path(1, 1)) };
    let plan = plan(&mut Planner::default(), t, &paths, &[lost, lane(2, &paths[1])]);
    assert_eq!((plan.migrate, plan.dial), (vec![(LaneId(1), new)], vec![]));
}

#[test]
fn a_lane_that_is_down_migrates_to_an_uplink_without_a_lane_although_another_is_up() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1), path(3, 1)];
    let lanes = [down(1, &paths[0], t), lane(2, &paths[1])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &lanes).migrate, []);
    let due = plan(&mut planner, t + MIGRATE_AFTER, &paths, &lanes);
    assert_eq!(due.migrate, [(LaneId(1), path(3, 1))]);
    assert_eq!(due.dial, [], "uplink 1 was dialed when it failed, 3 is where it moves");
    let paths = [path(1, 1), path(2, 1), metered(path(3, 1))];
    let due = plan(&mut Planner::default(), t + MIGRATE_AFTER, &paths, &lanes);
    assert_eq!(due.migrate, [], "not to where it costs");
}

#[test]
fn the_only_lane_migrates_to_a_draining_uplink_only_when_it_is_down_for_a_second() {
    let t = Instant::now();
    let paths = [path(1, 1), Path { draining: true, ..path(2, 1) }];
    let mut planner = Planner::default();
    let lanes = [down(1, &paths[0], t)];
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
fn the_standby_takes_over_as_soon_as_the_only_unmetered_lane_is_down() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let mut planner = Planner::default();
    plan(&mut planner, t, &paths, &[lane(1, &paths[0])]);
    // Confirmed late: it was down for long enough by then, and migrates at once.
    let plan = plan(&mut planner, t + 100 * MS, &paths, &[down(1, &paths[0], t)]);
    assert_eq!(plan.migrate, [(LaneId(1), paths[1].clone())]);
}
