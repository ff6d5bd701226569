//! Which paths are dialed, when, and when a dial is abandoned.

use super::*;

#[test]
fn with_no_lane_up_every_path_is_dialed_at_a_constant_interval() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let mut planner = Planner::default();
    let first = plan(&mut planner, t, &paths, &[]);
    assert_eq!((first.dial.len(), first.wake_at), (2, Some(t + FAST_DIAL_INTERVAL)));
    assert!(plan(&mut planner, t + 100 * MS, &paths, &[]).dial.is_empty());
    for _ in 0..20 {
        planner.dial_ended(paths[0].key(), false);
    }
    assert_eq!(plan(&mut planner, t + FAST_DIAL_INTERVAL, &paths, &[]).dial.len(), 2);
    let late = t + FAST_DIAL_PERIOD + 10 * FAST_DIAL_INTERVAL;
    assert_eq!(plan(&mut planner, late, &paths, &[]).wake_at, Some(late + SLOW_DIAL_INTERVAL));
}

#[test]
fn dials_under_way_are_bounded() {
    let t = Instant::now();
    let paths = [path(1, 1)];
    let dialing = vec![paths[0].key(); MAX_DIALS_PER_PATH];
    let input = PlanInput { paths: &paths, lanes: &[], dialing: &dialing, has_demand: true };
    assert!(Planner::default().plan(t, &input).dial.is_empty());
    let input = PlanInput { paths: &paths, lanes: &[], dialing: &dialing[..1], has_demand: false };
    assert!(Planner::default().plan(t, &input).dial.is_empty());
}

#[test]
fn a_missing_second_lane_is_dialed_with_growing_delays() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let up = [lane(1, &paths[0])];
    let mut planner = Planner::default();
    let mut now = t;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let plan = plan(&mut planner, now, &paths, &up);
        assert_eq!(plan.dial, [path(2, 1)]);
        planner.dial_ended(paths[1].key(), false);
        let again = planner
            .plan(now, &PlanInput { paths: &paths, lanes: &up, dialing: &[], has_demand: true });
        let next = again.wake_at.unwrap();
        waits.push(next - now);
        now = next;
    }
    assert!(waits.is_sorted());
    assert_eq!(waits.last(), Some(&MAX_RETRY_DELAY));
}

#[test]
fn a_metered_uplink_is_dialed_once_every_lane_was_lost_or_the_others_had_their_head_start() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &[]).dial, [path(1, 1)]);
    assert!(plan(&mut planner, t + PREFERRED_HEAD_START, &paths, &[]).dial.contains(&paths[1]));
    let mut planner = Planner::default();
    plan(&mut planner, t, &paths, &[lane(1, &paths[0])]);
    assert_eq!(plan(&mut planner, t + 10 * MS, &paths, &[]).dial, paths);
}

#[test]
fn after_a_total_outage_the_first_lane_decides_and_the_other_dials_are_abandoned() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let mut planner = Planner::default();
    let first = plan(&mut planner, t, &paths, &[]);
    assert_eq!(first.dial, paths, "all at once");
    let mut dialing: Vec<PathKey> = paths.iter().map(Path::key).collect();
    dialing.push(paths[0].key());
    let up = [lane(1, &paths[0])];
    let input = PlanInput { paths: &paths, lanes: &up, dialing: &dialing, has_demand: true };
    let then = planner.plan(t + 10 * MS, &input);
    let useless = [paths[0].key(), paths[1].key(), paths[2].key(), paths[0].key()];
    assert_eq!((then.abandon, then.dial, then.close), (useless.to_vec(), vec![], vec![]));
}

#[test]
fn where_a_disjoint_path_fails_another_is_dialed_beside_it() {
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
fn of_two_locators_in_a_prefix_the_one_that_failed_less_is_dialed() {
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
fn the_only_path_left_when_an_uplink_and_a_prefix_fail_is_among_those_dialed() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let both = [down(1, &paths[0], t), down(2, &paths[3], t)];
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
fn without_demand_a_lost_second_lane_is_dialed_ever_more_rarely() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let up = [lane(1, &paths[0])];
    let mut planner = Planner::default();
    (0..40).for_each(|_| planner.dial_ended(paths[1].key(), false));
    let idle = |planner: &mut Planner, now| {
        planner.plan(now, &PlanInput { paths: &paths, lanes: &up, dialing: &[], has_demand: false })
    };
    assert_eq!(idle(&mut planner, t).wake_at, Some(t + MAX_IDLE_RETRY_DELAY));
    assert_eq!(
        plan(&mut planner, t + MAX_RETRY_DELAY, &paths, &up).dial,
        [path(2, 1)],
        "with demand"
    );
}
