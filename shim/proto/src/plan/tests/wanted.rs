//! Which lanes there should be.

use super::*;
use crate::path::Prefix;

fn keys(plan: &PlanActions) -> Vec<PathKey> {
    plan.dial.iter().map(Path::key).collect()
}

#[test]
fn two_uplinks_and_two_locators_make_two_disjoint_lanes() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    assert_eq!(wanted_lanes(&paths), 2);
    let up = [lane(1, &paths[0])];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &up).dial, [path(2, 2)]);
    let both = [lane(1, &paths[0]), lane(2, &paths[3])];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &both), PlanActions::default());
}

#[test]
fn one_uplink_and_two_locators_make_two_lanes() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2)];
    let up = [lane(1, &paths[0])];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &up).dial, [path(1, 2)]);
}

#[test]
fn as_many_lanes_are_wanted_as_the_better_connected_end_has_providers() {
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
    // Also where the lane that is there is in the way: it becomes surplus.
    let up = [lane(1, &path(1, 1))];
    let mut planner = Planner::default();
    assert_eq!(keys(&plan(&mut planner, t, &paths, &up)), [path(1, 2).key(), path(2, 1).key()]);
    let three = [lane(1, &path(1, 1)), lane(2, &path(1, 2)), lane(3, &path(2, 1))];
    plan(&mut planner, t, &paths, &three);
    assert_eq!(plan(&mut planner, t + SURPLUS_AFTER, &paths, &three).drain, [LaneId(1)]);
}

#[test]
fn of_two_uplinks_and_two_locators_either_pair_of_disjoint_lanes_will_do() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let crossed = [lane(1, &paths[1]), lane(2, &paths[2])];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &crossed), PlanActions::default());
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
fn a_surplus_lane_is_kept_as_soon_as_another_fails() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1), path(2, 2)];
    let mut lanes = vec![lane(1, &paths[0]), lane(2, &paths[3]), lane(3, &paths[2])];
    let mut planner = Planner::default();
    plan(&mut planner, t, &paths, &lanes);
    let now = t + SURPLUS_AFTER;
    assert_eq!(plan(&mut planner, now, &paths, &lanes).drain, [LaneId(3)]);
    lanes[0] = down(1, &paths[0], now);
    assert_eq!(plan(&mut planner, now, &paths, &lanes).drain, []);
}

/// Two dual-stack uplinks to a peer with two dual-stack providers. Each provider's IPv6 comes first.
fn dual_stack() -> Vec<Path> {
    let v6 = |uplink: u8, locator: u16| Path {
        local: IpAddr::from([0x2001, 0xdb8, uplink.into(), 0, 0, 0, 0, 1]),
        remote: SocketAddr::from(([0x2001, 0xdb8, 0x900 + locator, 0, 0, 0, 0, 1], 5443)),
        ..path(uplink, 1)
    };
    (1..=2).flat_map(|u| (1..=2u8).flat_map(move |l| [v6(u, l.into()), path(u, l)])).collect()
}

#[test]
fn a_peer_has_as_many_providers_as_prefixes_in_one_family() {
    assert_eq!(wanted_lanes(&dual_stack()), 2);
    let one: Vec<Path> = dual_stack().into_iter().filter(|p| p.uplink == "isp-1").collect();
    assert_eq!(wanted_lanes(&one), 2);
    // One uplink and one provider, but two families.
    assert_eq!(wanted_lanes(&one[..2]), 2);
    assert_eq!(wanted_lanes(&one[..1]), 1);
}

/// Plans for a minute while the paths that `dead` names lead nowhere; returns the lanes.
fn lanes_after_a_minute(paths: &[Path], dead: impl Fn(&Path) -> bool) -> Vec<LaneView> {
    let (start, mut planner) = (Instant::now(), Planner::default());
    let (mut lanes, mut dialing): (Vec<LaneView>, Vec<(Path, Instant)>) = (Vec::new(), Vec::new());
    let mut next = 1;
    // All is well for 20 s.
    for tick in 0..8_000 {
        let now = start + tick * 10 * MS;
        let is_dead = |path: &Path| tick >= 2_000 && dead(path);
        for lane in &mut lanes {
            let path = paths.iter().find(|p| p.key() == lane.key()).unwrap();
            if is_dead(path) && lane.suspected_since.is_none() {
                (lane.suspected_since, lane.confirmed) = (Some(now), true);
            }
        }
        lanes.retain(|l| l.suspected_since.is_none_or(|s| now < s + Duration::from_secs(10)));
        let ended = dialing.extract_if(.., |(path, began)| {
            now >= *began + if is_dead(path) { 4000 * MS } else { 40 * MS }
        });
        for (path, _) in ended.collect::<Vec<_>>() {
            planner.dial_ended(path.key(), !is_dead(&path));
            if !is_dead(&path) {
                lanes.push(lane(next, &path));
                next += 1;
            }
        }
        let keys: Vec<PathKey> = dialing.iter().map(|(path, _)| path.key()).collect();
        let input = PlanInput { paths, lanes: &lanes, dialing: &keys, has_demand: true };
        let actions = planner.plan(now, &input);
        for path in actions.probe.iter().filter(|p| !is_dead(p)) {
            planner.path_answered(now, path.key());
        }
        dialing.extend(actions.dial.into_iter().map(|path| (path, now)));
        for key in actions.abandon {
            let at = dialing.iter().position(|(path, _)| path.key() == key).unwrap();
            dialing.remove(at);
        }
        lanes.retain(|l| !actions.close.contains(&l.id));
    }
    assert_eq!(dialing, []);
    lanes
}

#[test]
fn when_one_family_dies_each_uplink_has_one_lane_of_the_other() {
    let paths = dual_stack();
    for v4_dies in [false, true] {
        let lanes = lanes_after_a_minute(&paths, |path| path.remote.is_ipv4() == v4_dies);
        let uplinks = distinct(lanes.iter().map(|l| l.uplink.clone()));
        let prefixes = distinct(lanes.iter().map(|l| Prefix::of(l.remote)));
        assert_eq!((lanes.len(), uplinks.len(), prefixes.len()), (2, 2, 2), "{lanes:#?}");
        assert!(lanes.iter().all(|l| l.remote.is_ipv4() != v4_dies && l.is_up()));
    }
}

#[test]
fn when_one_family_of_one_uplink_dies_each_uplink_keeps_one_lane() {
    let paths = dual_stack();
    let dead = |path: &Path| path.uplink == "isp-1" && path.remote.is_ipv6();
    let lanes = lanes_after_a_minute(&paths, dead);
    let uplinks = distinct(lanes.iter().map(|l| l.uplink.clone()));
    assert_eq!((lanes.len(), uplinks.len()), (2, 2), "{lanes:#?}");
}
