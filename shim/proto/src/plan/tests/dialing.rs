//! Which paths are dialed, when, and when a dial is abandoned.

use super::*;

#[test]
fn with_no_lane_up_every_path_is_dialed_and_then_probed_in_turn() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1)];
    let mut planner = Planner::default();
    let first = plan(&mut planner, t, &paths, &[]);
    assert_eq!((first.dial.len(), first.probe.len()), (3, 0));
    assert_eq!(first.wake_at, Some(t + FAST_PROBE_INTERVAL));
    assert_eq!(plan(&mut planner, t + 100 * MS, &paths, &[]).probe, []);
    let mut probe = |times| plan(&mut planner, t + times * FAST_PROBE_INTERVAL, &paths, &[]).probe;
    assert_eq!(probe(1), [path(1, 1), path(2, 1)]);
    assert_eq!(probe(2), [path(1, 2), path(2, 1)]);
    assert_eq!(probe(3), [path(1, 1), path(2, 1)]);
}

#[test]
fn a_path_that_answers_a_probe_is_dialed_at_once_and_ever_more_rarely_if_that_fails() {
    let t = Instant::now();
    let paths = [path(1, 1)];
    let key = paths[0].key();
    let mut planner = Planner::default();
    for _ in 0..9 {
        planner.dial_ended(key, false);
    }
    assert_eq!(plan(&mut planner, t, &paths, &[]).dial.len(), 1);
    let (mut now, mut waits) = (t + MS, Vec::new());
    for _ in 0..8 {
        planner.path_answered(now, key);
        let asked = now;
        while plan(&mut planner, now, &paths, &[]).dial.is_empty() {
            now += 10 * MS;
        }
        waits.push(now - asked);
        now += MS;
        planner.dial_ended(key, false);
    }
    assert_eq!(waits[0], Duration::ZERO);
    assert!(waits.is_sorted());
    let last = waits[7].as_secs();
    assert!((29..=30).contains(&last), "{waits:?}");
}

#[test]
fn a_path_that_answers_is_dialed_beside_the_dial_that_waits_also_while_no_flow_does() {
    let (mut planner, t, paths) = (Planner::new(0), Instant::now(), [path(1, 1)]);
    let key = paths[0].key();
    let mut ask = |at: Instant, dialing: &[PathKey], answered: bool| {
        if answered {
            planner.path_answered(at, key);
        }
        let input = PlanInput { paths: &paths, lanes: &[], dialing, has_demand: false };
        planner.plan(at, &input).dial.len()
    };
    assert_eq!(ask(t, &[], false), 1);
    assert_eq!(ask(t + 3000 * MS, &[key], false), 0, "one dial at a time");
    assert_eq!(ask(t + 3100 * MS, &[key], true), 1, "the network is back");
    assert_eq!(ask(t + 3200 * MS, &[key, key], true), 0, "two at the most");
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
    let (mut now, mut dials) = (t, Vec::new());
    while now < t + Duration::from_secs(3600) {
        let plan = plan(&mut planner, now, &paths, &up);
        if !plan.dial.is_empty() {
            assert_eq!(plan.dial, [path(2, 1)]);
            planner.dial_ended(paths[1].key(), false);
            dials.push(now);
        }
        now = plan.wake_at.unwrap();
    }
    let waits: Vec<Duration> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.is_sorted(), "{waits:?}");
    // Due at the longest delay, and noticed with the next probe.
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
    let later = t + Duration::from_secs(30);
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
fn the_only_path_left_when_an_uplink_and_a_prefix_fail_is_dialed_at_once() {
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
    let retry = |seed| {
        let mut planner = Planner::new(seed);
        plan(&mut planner, t, &paths, &[]);
        planner.dial_ended(paths[0].key(), false);
        let at = |ms: &u32| !plan(&mut planner, t + *ms * MS, &paths, &[]).dial.is_empty();
        (0..5000).find(at).unwrap()
    };
    let latest = retry(0);
    let waits: Vec<u32> = (1..50).map(retry).collect();
    assert!(waits.iter().all(|ms| *ms <= latest && *ms * 10 >= latest * 8), "{waits:?}");
    assert!(distinct(waits.iter()).len() > 30);
}
