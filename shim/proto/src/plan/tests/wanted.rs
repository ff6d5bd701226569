//! Which lanes there should be.

use super::*;

fn keys(plan: &PlanActions) -> Vec<PathKey> {
    plan.dial.iter().map(Path::key).collect()
}

#[test]
fn wanted_are_as_many_lanes_as_the_better_connected_end_has_providers() {
    let cross = |uplinks: u8, locators: u8| -> Vec<Path> {
        (1..=uplinks).flat_map(|u| (1..=locators).map(move |l| path(u, l))).collect()
    };
    for (uplinks, locators, lanes) in
        [(1, 1, 1), (2, 1, 2), (1, 3, 3), (2, 2, 2), (3, 2, 3), (9, 9, MAX_LANES)]
    {
        assert_eq!(wanted_lanes(&cross(uplinks, locators)), lanes, "{uplinks} uplinks, {locators}");
    }
    assert_eq!(wanted_lanes(&[]), 0);
    assert_eq!(wanted_lanes(&[path(1, 1), metered(path(2, 1))]), 1);
    assert_eq!(wanted_lanes(&[metered(path(1, 1)), metered(path(2, 1))]), 1);
}

#[test]
fn locators_of_one_prefix_want_one_lane() {
    let other = Path { remote: SocketAddr::from(([10, 9, 1, 7], 5443)), ..path(1, 1) };
    assert_eq!(wanted_lanes(&[path(1, 1), other]), 1);
}

#[test]
fn an_ipv4_only_and_an_ipv6_only_pairing_both_get_their_lane() {
    let t = Instant::now();
    let v6 = Path {
        local: "2001:db8:a::1".parse().unwrap(),
        remote: "[2001:db8:b::1]:5443".parse().unwrap(),
        ..path(2, 1)
    };
    let paths = [path(1, 1), v6.clone()];
    assert_eq!(wanted_lanes(&paths), 2);
    assert_eq!(plan(&mut Planner::default(), t, &paths, &[lane(1, &paths[0])]).dial, [v6]);
}

#[test]
fn an_uplink_that_reaches_one_prefix_does_not_lose_it_to_one_that_reaches_both() {
    let t = Instant::now();
    // The first uplink in order reaches both; the second only what the first would take.
    let paths = [path(1, 1), path(1, 2), path(2, 1)];
    let up = [lane(1, &path(2, 1))];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &up).dial, [path(1, 2)]);
    // Also where the lane that is there is in the way: it becomes one too many.
    let up = [lane(1, &path(1, 1))];
    let mut planner = Planner::default();
    assert_eq!(keys(&plan(&mut planner, t, &paths, &up)), [path(1, 2).key(), path(2, 1).key()]);
    let three = [lane(1, &path(1, 1)), lane(2, &path(1, 2)), lane(3, &path(2, 1))];
    plan(&mut planner, t, &paths, &three);
    assert_eq!(plan(&mut planner, t + SURPLUS_AFTER, &paths, &three).drain, [LaneId(1)]);
}

#[test]
fn two_crosswise_lanes_are_as_good_as_two_straight_ones() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let crossed = [lane(1, &paths[1]), lane(2, &paths[2])];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &crossed), PlanActions::default());
}

#[test]
fn after_a_total_outage_the_first_lane_decides_and_the_other_dials_are_abandoned() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let mut planner = Planner::default();
    let first = plan(&mut planner, t, &paths, &[]);
    assert_eq!(first.dial, paths, "all at once");
    let mut dialling: Vec<PathKey> = paths.iter().map(Path::key).collect();
    dialling.push(paths[0].key());
    let up = [lane(1, &paths[0])];
    let input = PlanInput { paths: &paths, lanes: &up, dialling: &dialling, has_demand: true };
    let then = planner.plan(t + 10 * MS, &input);
    let useless = [paths[0].key(), paths[1].key(), paths[2].key(), paths[0].key()];
    assert_eq!((then.abandon, then.dial, then.close), (useless.to_vec(), vec![], vec![]));
}

#[test]
fn of_the_lanes_that_came_together_the_oldest_disjoint_ones_stay() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let all: Vec<LaneView> = (1..).zip(&paths).map(|(id, p)| lane(id, p)).collect();
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &all).wake_at, Some(t + SURPLUS_AFTER));
    let due = plan(&mut planner, t + SURPLUS_AFTER, &paths, &all);
    assert_eq!((due.drain, due.close), (vec![LaneId(2), LaneId(3)], vec![]));
    let closed = plan(&mut planner, t + SURPLUS_AFTER + MIN_DRAIN, &paths, &all);
    assert_eq!(closed.close, [LaneId(2), LaneId(3)]);
}

#[test]
fn a_lane_one_too_many_is_kept_as_soon_as_another_fails() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let mut lanes = vec![lane(1, &paths[0]), lane(2, &paths[3]), lane(3, &paths[2])];
    let mut planner = Planner::default();
    plan(&mut planner, t, &paths, &lanes);
    let now = t + SURPLUS_AFTER;
    assert_eq!(plan(&mut planner, now, &paths, &lanes).drain, [LaneId(3)]);
    lanes[0] = silent(1, &paths[0], now);
    assert_eq!(plan(&mut planner, now, &paths, &lanes).drain, []);
}

#[test]
fn where_a_disjoint_path_fails_another_is_dialled_beside_it() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let up = [lane(1, &paths[3])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &up).dial, [path(1, 1)]);
    for path in [&paths[0], &paths[1]] {
        planner.dial_ended(path.key(), false);
        planner.dial_ended(path.key(), false);
    }
    let later = t + Duration::from_secs(5);
    assert_eq!(plan(&mut planner, later, &paths, &up).dial, [path(1, 1), path(2, 1)]);
}

#[test]
fn of_two_locators_in_a_prefix_the_one_that_failed_less_is_dialled() {
    let t = Instant::now();
    let new = Path { remote: ([10, 9, 1, 2], 5443).into(), ..path(1, 1) };
    let paths = [path(1, 1), new.clone(), path(2, 2)];
    let up = [lane(1, &paths[2])];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &up).dial, [path(1, 1)]);
    planner.dial_ended(paths[0].key(), false);
    assert_eq!(plan(&mut planner, t, &paths, &up).dial, std::slice::from_ref(&new));
    planner.dial_ended(new.key(), false);
    let later = t + Duration::from_secs(5);
    assert_eq!(plan(&mut planner, later, &paths, &up).dial, [path(1, 1)], "in turn");
}

#[test]
fn the_path_that_a_crosswise_failure_leaves_is_among_those_dialled() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let both = [silent(1, &paths[0], t), silent(2, &paths[3], t)];
    let dial = plan(&mut Planner::default(), t, &paths, &both).dial;
    assert!(dial.contains(&path(1, 2)) && dial.contains(&path(2, 1)), "{dial:?}");
}

#[test]
fn dials_are_spread_by_the_seed_and_never_later_than_without() {
    let t = Instant::now();
    let paths = [path(1, 1)];
    let waits: Vec<Duration> = (0..50)
        .map(|seed| plan(&mut Planner::new(seed), t, &paths, &[]).wake_at.unwrap() - t)
        .collect();
    assert!(
        waits.iter().all(|w| *w <= FAST_DIAL_INTERVAL && *w >= FAST_DIAL_INTERVAL.mul_f64(0.8))
    );
    assert!(distinct(waits.iter()).len() > 40);
}

#[test]
fn where_nobody_waits_a_lost_second_lane_is_dialled_ever_more_rarely() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let up = [lane(1, &paths[0])];
    let mut planner = Planner::default();
    (0..40).for_each(|_| planner.dial_ended(paths[1].key(), false));
    let idle = |planner: &mut Planner, now| {
        planner
            .plan(now, &PlanInput { paths: &paths, lanes: &up, dialling: &[], has_demand: false })
    };
    assert_eq!(idle(&mut planner, t).wake_at, Some(t + MAX_IDLE_RETRY_DELAY));
    assert_eq!(
        plan(&mut planner, t + MAX_RETRY_DELAY, &paths, &up).dial,
        [path(2, 1)],
        "somebody does"
    );
}
