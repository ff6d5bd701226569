//! The planner's rules, one by one; every state and event of a lane in `cells`.

mod cells;
mod draining;
mod wanted;

use std::net::{IpAddr, SocketAddr};

use super::dial::*;
use super::drain::*;
use super::migrate::*;
use super::pairing::distinct;
use super::peer_drains::PEER_DRAIN_TTL;
use super::view::STABLE_AFTER;
use super::*;
use crate::path::Path;
use crate::types::{AddressClass, LaneId};

const MS: Duration = Duration::from_millis(1);

fn path(uplink: u8, locator: u8) -> Path {
    Path {
        uplink: format!("isp-{uplink}"),
        order: uplink.into(),
        class: AddressClass::default(),
        metered: false,
        draining: false,
        local: IpAddr::from([10, 0, uplink, 1]),
        remote: SocketAddr::from(([10, 9, locator, 1], 5443)),
    }
}

fn metered(path: Path) -> Path {
    Path { metered: true, ..path }
}

fn draining(path: Path) -> Path {
    Path { draining: true, ..path }
}

fn lane(id: u64, path: &Path) -> LaneView {
    LaneView {
        id: LaneId(id),
        uplink: path.uplink.clone(),
        metered: path.metered,
        local: path.local,
        remote: path.remote,
        suspected_since: None,
        confirmed: false,
        last_suspected: None,
        moved_at: None,
        validated: true,
        idle: true,
        peer_drains: false,
    }
}

fn silent(id: u64, path: &Path, since: Instant) -> LaneView {
    LaneView { suspected_since: Some(since), confirmed: true, ..lane(id, path) }
}

fn plan(planner: &mut Planner, now: Instant, paths: &[Path], lanes: &[LaneView]) -> PlanActions {
    planner.plan(now, &PlanInput { paths, lanes, dialling: &[], has_demand: true })
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
fn with_no_lane_up_every_path_is_dialled_at_a_steady_pace() {
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
    let dialling = vec![paths[0].key(); MAX_DIALS_PER_PATH];
    let input = PlanInput { paths: &paths, lanes: &[], dialling: &dialling, has_demand: true };
    assert!(Planner::default().plan(t, &input).dial.is_empty());
    let input =
        PlanInput { paths: &paths, lanes: &[], dialling: &dialling[..1], has_demand: false };
    assert!(Planner::default().plan(t, &input).dial.is_empty());
}

#[test]
fn a_missing_second_lane_is_dialled_with_growing_patience() {
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
            .plan(now, &PlanInput { paths: &paths, lanes: &up, dialling: &[], has_demand: true });
        let next = again.wake_at.unwrap();
        waits.push(next - now);
        now = next;
    }
    assert!(waits.is_sorted());
    assert_eq!(waits.last(), Some(&MAX_RETRY_DELAY));
}

#[test]
fn a_metered_uplink_is_cold_while_a_lane_is_up_and_its_lane_goes_some_time_after() {
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
fn a_silent_only_lane_moves_to_an_uplink_without_a_lane() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let silent = LaneView { suspected_since: Some(t), confirmed: true, ..lane(1, &paths[0]) };
    let mut planner = Planner::default();
    let early = plan(&mut planner, t + 10 * MS, &paths, std::slice::from_ref(&silent));
    assert!(early.migrate.is_empty() && early.wake_at <= Some(t + MIGRATE_AFTER));
    let due = plan(&mut planner, t + MIGRATE_AFTER, &paths, std::slice::from_ref(&silent));
    assert_eq!(due.migrate, [(LaneId(1), paths[1].clone())]);
    let moved = LaneView { moved_at: Some(t + MIGRATE_AFTER), ..silent };
    let again = plan(&mut planner, t + 2 * MIGRATE_AFTER, &paths, &[moved]);
    assert!(again.migrate.is_empty(), "it gets time to answer on its new path");
}

#[test]
fn a_lane_whose_address_is_gone_moves_at_once() {
    let t = Instant::now();
    let paths = [path(2, 1)];
    let silent = LaneView { suspected_since: Some(t), ..lane(1, &path(1, 1)) };
    let plan = plan(&mut Planner::default(), t, &paths, &[silent]);
    assert_eq!(plan.migrate, [(LaneId(1), path(2, 1))]);
}

#[test]
fn a_silent_lane_stays_where_another_is_up_or_the_other_uplink_is_silent_too() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let silent =
        |id, path| LaneView { suspected_since: Some(t), confirmed: true, ..lane(id, path) };
    let late = t + MIGRATE_AGAIN_AFTER;
    let one = [silent(1, &paths[0]), lane(2, &paths[1])];
    assert!(plan(&mut Planner::default(), late, &paths, &one).migrate.is_empty());
    let both = [silent(1, &paths[0]), silent(2, &paths[1])];
    assert!(plan(&mut Planner::default(), late, &paths, &both).migrate.is_empty());
}

#[test]
fn a_silent_lane_is_dialled_anew_and_closed_once_replaced() {
    let t = Instant::now();
    let paths = [path(1, 1), path(2, 1)];
    let silent = LaneView { suspected_since: Some(t), confirmed: true, ..lane(1, &paths[0]) };
    let lanes = [silent.clone(), lane(2, &paths[1])];
    let now = plan(&mut Planner::default(), t, &paths, &lanes);
    assert_eq!((now.dial, now.close), (vec![path(1, 1)], vec![]));
    let lanes = [silent, lane(2, &paths[1]), lane(3, &paths[0])];
    assert_eq!(plan(&mut Planner::default(), t, &paths, &lanes).close, [LaneId(1)]);
}

#[test]
fn a_silent_lane_is_not_replaced_by_one_to_another_locator() {
    let t = Instant::now();
    let paths = [path(1, 1), path(1, 2), path(2, 1)];
    let silent = LaneView { suspected_since: Some(t), confirmed: true, ..lane(1, &paths[0]) };
    let lanes = [silent, lane(2, &paths[1]), lane(3, &paths[2])];
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
fn what_was_dialled_for_a_lane_that_answers_again_is_given_up_once_that_is_steady() {
    let t = Instant::now();
    let paths = [path(1, 1)];
    let dialling = [paths[0].key()];
    let back = LaneView { last_suspected: Some(t), ..lane(1, &paths[0]) };
    let mut planner = Planner::default();
    let mut look = |at, lanes: &[LaneView], dialling: &[PathKey]| {
        let input = PlanInput { paths: &paths, lanes, dialling, has_demand: true };
        planner.plan(at, &input)
    };
    let (soon, steady) = (t + STABLE_AFTER - MS, t + STABLE_AFTER);
    let (alone, both) = ([back.clone()], [back.clone(), lane(2, &paths[0])]);
    // Under way, and got through.
    let kept = PlanActions { wake_at: Some(steady), ..PlanActions::default() };
    assert_eq!(look(soon, &alone, &dialling), kept);
    assert_eq!(look(soon, &both, &[]), kept);
    assert_eq!(look(steady, &alone, &dialling).abandon, dialling);
    assert_eq!(look(steady, &both, &[]).close, [LaneId(2)]);
    // The second is steady at once: no third is wanted.
    assert_eq!(look(soon, &both, &dialling).abandon, dialling);
    // In doubt once more: a guess closes nothing.
    let again = LaneView { suspected_since: Some(soon), ..back };
    let sure = LaneView { confirmed: true, ..again.clone() };
    assert_eq!(look(soon, &[again, lane(2, &paths[0])], &[]).close, []);
    assert_eq!(look(soon, &[sure, lane(2, &paths[0])], &[]).close, [LaneId(1)]);
}

#[test]
fn a_guess_moves_and_dials_nothing() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let doubted = LaneView { suspected_since: Some(t), ..lane(1, &paths[0]) };
    let plan = plan(&mut Planner::default(), t + MIGRATE_AGAIN_AFTER, &paths, &[doubted]);
    assert_eq!((plan.migrate, plan.dial), (vec![], vec![]));
}

#[test]
fn a_metered_uplink_is_dialled_once_every_lane_was_lost_or_free_ones_had_their_chance() {
    let t = Instant::now();
    let paths = [path(1, 1), metered(path(2, 1))];
    let mut planner = Planner::default();
    assert_eq!(plan(&mut planner, t, &paths, &[]).dial, [path(1, 1)]);
    assert!(plan(&mut planner, t + PREFERRED_HEAD_START, &paths, &[]).dial.contains(&paths[1]));
    let mut planner = Planner::default();
    plan(&mut planner, t, &paths, &[lane(1, &paths[0])]);
    assert_eq!(plan(&mut planner, t + 10 * MS, &paths, &[]).dial, paths);
}
