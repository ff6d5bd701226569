//! What a failure that lasts costs each uplink, and how soon a lane is back, in virtual time.

use std::collections::BTreeMap;

use super::*;

/// A probe over IPv6: 1,200 bytes and headers.
const PROBE_BYTES: u64 = 1_248;

/// A lane is probed each 100 ms, with packets as large as the path takes.
const LANE_PROBE_INTERVAL: Duration = Duration::from_millis(100);
const LANE_PROBE_BYTES: u64 = 1_500;

/// A suspect lane is closed after this.
const LANE_LIFE: Duration = Duration::from_secs(10);

/// A round trip of the lab.
const RTT: Duration = Duration::from_millis(20);

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What is to be kept within: per uplink, in the first hour of a total outage.
const HOUR_BYTES: u64 = 2_000_000;

/// Returns what a dial costs that is given up after so long: its first flight is two packets, sent
/// again after 0.3, 0.9 and 2.1 s (RFC 9002 §6.2.1), and a close is as large.
fn dial_bytes(lasted: Duration) -> u64 {
    let flights = [0, 300, 900, 2100].iter().filter(|ms| lasted >= **ms * MS).count() as u64;
    2 * PROBE_BYTES * (flights + 1)
}

/// A host, its peer, and a network that is out for a while.
struct World {
    planner: Planner,
    paths: Vec<Path>,
    lanes: Vec<LaneView>,
    /// When each dial began, and ends.
    dials: Vec<(Path, Instant, Instant)>,
    /// When the answers to probes arrive.
    answers: Vec<(Path, Instant)>,
    start: Instant,
    heals_at: Instant,
    /// The uplinks that never fail.
    alive: Vec<String>,
    has_demand: bool,
    spent: BTreeMap<String, u64>,
    most_dials: usize,
    moves: usize,
    dialed: usize,
    /// When a lane came back over an uplink that had failed.
    back_at: Option<Instant>,
}

impl World {
    fn new(paths: &[Path], outage: Duration, seed: u64) -> Self {
        let start = Instant::now();
        Self {
            planner: Planner::new(seed),
            paths: paths.to_vec(),
            lanes: Vec::new(),
            dials: Vec::new(),
            answers: Vec::new(),
            start,
            heals_at: start + outage,
            alive: Vec::new(),
            has_demand: true,
            spent: BTreeMap::new(),
            most_dials: 0,
            moves: 0,
            dialed: 0,
            back_at: None,
        }
    }

    fn is_open(&self, now: Instant, uplink: &str) -> bool {
        now >= self.heals_at || self.alive.iter().any(|name| name == uplink)
    }

    fn spend(&mut self, now: Instant, uplink: &str, bytes: u64) {
        if !self.is_open(now, uplink) {
            *self.spent.entry(uplink.to_owned()).or_default() += bytes;
        }
    }

    /// Begins with disjoint lanes over the uplinks, all of which fail.
    fn with_lanes(mut self) -> Self {
        let (paths, start) = (self.paths.clone(), self.start);
        let all: Vec<LaneView> = (1..).zip(&paths).map(|(id, p)| lane(id, p)).collect();
        let input = PlanInput { paths: &paths, lanes: &all, dialing: &[], has_demand: true };
        self.planner.plan(start, &input);
        let mut taken: Vec<(String, SocketAddr)> = Vec::new();
        for lane in all {
            if taken.iter().any(|(u, r)| *u == lane.uplink || *r == lane.remote) {
                continue;
            }
            taken.push((lane.uplink.clone(), lane.remote));
            self.lanes.push(lane);
        }
        for lane in &mut self.lanes {
            if !self.alive.contains(&lane.uplink) {
                (lane.suspected_since, lane.confirmed) = (Some(start), true);
            }
        }
        self
    }

    /// Runs for `duration`, with `noise` every 10 ms.
    fn run(&mut self, duration: Duration, mut noise: impl FnMut(&mut Planner, Instant, u64)) {
        let mut plan_at = self.start;
        for tick in 0..duration.as_millis() as u64 / 10 {
            let now = self.start + tick as u32 * (10 * MS);
            let mut changed = self.lanes_live(now, tick);
            changed |= self.dials_end(now);
            let (due, later) = self.answers.iter().cloned().partition(|(_, at)| *at <= now);
            self.answers = later;
            for (path, _) in due {
                self.planner.path_answered(now, path.key());
                changed = true;
            }
            noise(&mut self.planner, now, tick);
            if changed || now >= plan_at || tick % 100 == 0 {
                plan_at = self.plan(now).unwrap_or(now + HOUR);
            }
            if self.back_at.is_some() {
                return;
            }
        }
    }

    fn plan(&mut self, now: Instant) -> Option<Instant> {
        let dialing: Vec<PathKey> = self.dials.iter().map(|(path, ..)| path.key()).collect();
        let input = PlanInput {
            paths: &self.paths,
            lanes: &self.lanes,
            dialing: &dialing,
            has_demand: self.has_demand,
        };
        let actions = self.planner.plan(now, &input);
        for path in actions.probe {
            self.spend(now, &path.uplink, PROBE_BYTES);
            if self.is_open(now, &path.uplink) {
                self.answers.push((path, now + RTT));
            }
        }
        for path in actions.dial {
            self.dialed += 1;
            let open = self.is_open(now, &path.uplink);
            let failures = self.planner.dial_failures(path.key());
            let timeout = (SECOND * 2u32.pow(failures.min(2))).min(4 * SECOND);
            self.dials.push((path, now, now + if open { 2 * RTT } else { timeout }));
        }
        self.most_dials = self.most_dials.max(self.dials.len());
        for key in actions.abandon {
            let at = self.dials.iter().position(|(path, ..)| path.key() == key).unwrap();
            self.dials.swap_remove(at);
        }
        for (id, path) in actions.migrate {
            self.moves += 1;
            let lane = self.lanes.iter_mut().find(|l| l.id == id).unwrap();
            (lane.uplink, lane.local, lane.validated) = (path.uplink, path.local, false);
            (lane.moved_at, lane.suspected_since) = (Some(now), Some(now));
        }
        self.lanes.retain(|l| !actions.close.contains(&l.id));
        actions.wake_at
    }

    /// Probes the suspect lanes, and closes those that were suspect for long.
    fn lanes_live(&mut self, now: Instant, tick: u64) -> bool {
        let suspects: Vec<LaneView> =
            self.lanes.iter().filter(|l| l.suspected_since.is_some()).cloned().collect();
        let mut changed = false;
        for lane in suspects {
            if u128::from(tick) * 10 % LANE_PROBE_INTERVAL.as_millis() == 0 {
                self.spend(now, &lane.uplink, LANE_PROBE_BYTES);
                if self.is_open(now, &lane.uplink) {
                    self.back_at = Some(now + RTT);
                }
            }
            if lane.suspected_since.is_some_and(|since| now >= since + LANE_LIFE) {
                self.lanes.retain(|l| l.id != lane.id);
                changed = true;
            }
        }
        changed
    }

    fn dials_end(&mut self, now: Instant) -> bool {
        let (ended, under_way) = self.dials.drain(..).partition(|(_, _, ends_at)| *ends_at <= now);
        self.dials = under_way;
        let ended: Vec<(Path, Instant, Instant)> = ended;
        for (path, began, ends) in &ended {
            let succeeded = self.is_open(*began, &path.uplink);
            self.spend(*began, &path.uplink, dial_bytes(*ends - *began));
            self.planner.dial_ended(path.key(), succeeded);
            if succeeded && self.alive.contains(&path.uplink) {
                let id = self.dialed as u64 + 100;
                self.lanes.push(lane(id, path));
            } else if succeeded {
                self.back_at = Some(now);
            }
        }
        !ended.is_empty()
    }

    fn most_spent(&self) -> u64 {
        self.spent.values().copied().max().unwrap_or_default()
    }
}

fn cross(uplinks: u8, locators: u8) -> Vec<Path> {
    (1..=uplinks).flat_map(|u| (1..=locators).map(move |l| path(u, l))).collect()
}

const NO_NOISE: fn(&mut Planner, Instant, u64) = |_, _, _| {};

#[test]
fn an_hour_of_total_outage_costs_each_uplink_less_than_two_megabytes() {
    for paths in [cross(1, 1), cross(2, 1), cross(2, 2), cross(1, 4), cross(2, 4), cross(4, 2)] {
        for seed in 0..5 {
            let mut world = World::new(&paths, 2 * HOUR, seed).with_lanes();
            world.run(HOUR, NO_NOISE);
            let (spent, dials) = (world.most_spent(), world.most_dials);
            assert!(spent < HOUR_BYTES, "{} paths: {spent} bytes", paths.len());
            assert!(dials <= MAX_DIALS, "{} paths: {dials} dials at once", paths.len());
            assert!(world.moves <= 12, "{} moves", world.moves);
        }
    }
}

#[test]
fn whatever_happens_meanwhile_an_outage_costs_no_more() {
    type Noise = fn(&mut Planner, Instant, u64);
    let noises: [(&str, Noise); 4] = [
        ("an application writes all the time", |planner, now, _| planner.application_waits(now)),
        ("the kernel reports a change each second", |planner, now, tick| {
            if tick % 100 == 0 {
                planner.network_changed(now);
            }
        }),
        ("a route comes and goes each second", |planner, now, tick| {
            if tick % 100 == 0 {
                planner.forget_failures(now);
            }
        }),
        ("all of it", |planner, now, tick| {
            planner.application_waits(now);
            if tick % 10 == 0 {
                planner.forget_failures(now);
            }
        }),
    ];
    for (name, noise) in noises {
        let mut world = World::new(&cross(2, 2), 2 * HOUR, 1).with_lanes();
        world.run(HOUR, noise);
        assert!(world.most_spent() < HOUR_BYTES, "{name}: {}", world.most_spent());
    }
}

#[test]
fn a_lane_is_back_half_a_second_after_an_outage_of_a_minute_and_five_after_a_longer_one() {
    for (outage, bar) in [(1, 500), (5, 500), (12, 500), (40, 500), (59, 500)].into_iter().chain([
        (61, 5000),
        (90, 5000),
        (600, 5000),
        (3500, 5000),
    ]) {
        for paths in [cross(1, 1), cross(2, 2), cross(1, 4)] {
            for seed in 0..5u32 {
                let outage = Duration::from_secs(outage) + seed * 77 * MS;
                let mut world = World::new(&paths, outage, seed.into()).with_lanes();
                world.run(outage + 10 * SECOND, NO_NOISE);
                let back_after = world.back_at.unwrap() - world.heals_at;
                assert!(
                    back_after <= bar * MS,
                    "{outage:?}, {} paths: {back_after:?}",
                    paths.len()
                );
            }
        }
    }
}

#[test]
fn after_a_long_outage_a_change_that_the_kernel_reports_brings_a_lane_at_once() {
    let outage = Duration::from_secs(1000);
    let mut world = World::new(&cross(2, 2), outage, 3).with_lanes();
    let heals_at = world.heals_at;
    world.run(outage + 10 * SECOND, |planner, now, _| {
        if now == heals_at {
            planner.network_changed(now);
        }
    });
    let back_after = world.back_at.unwrap() - world.heals_at;
    assert!(back_after <= 350 * MS, "{back_after:?}");
}

#[test]
fn after_a_long_outage_an_application_that_writes_brings_a_lane_at_once() {
    let outage = Duration::from_secs(1000);
    let mut world = World::new(&cross(2, 2), outage, 3).with_lanes();
    let heals_at = world.heals_at;
    world.run(outage + 10 * SECOND, |planner, now, _| {
        if now == heals_at {
            planner.application_waits(now);
        }
    });
    let back_after = world.back_at.unwrap() - world.heals_at;
    assert!(back_after <= 350 * MS, "{back_after:?}");
}

#[test]
fn an_uplink_that_is_dead_while_another_works_costs_as_little() {
    let mut world = World::new(&cross(2, 2), 2 * HOUR, 1);
    world.alive = vec!["isp-2".to_owned()];
    let mut world = world.with_lanes();
    world.run(HOUR, NO_NOISE);
    assert!(world.most_spent() < HOUR_BYTES, "{}", world.most_spent());
}

#[test]
fn an_idle_session_costs_less_than_half_of_that() {
    let mut world = World::new(&cross(2, 2), 2 * HOUR, 1);
    world.has_demand = false;
    world.run(HOUR, NO_NOISE);
    assert!(world.most_spent() < HOUR_BYTES / 2, "{}", world.most_spent());
}

#[test]
fn a_peer_that_is_stopped_for_twenty_seconds_is_dialed_a_few_times() {
    let mut world = World::new(&cross(2, 2), 20 * SECOND, 1).with_lanes();
    world.run(20 * SECOND, NO_NOISE);
    assert!(world.dialed <= 20, "{} dials", world.dialed);
}
