//! Which lanes a session's initiator dials, moves and closes (rungs 2 and 3 of the ladder).
//!
//! The planner is asked whenever something changed or is due. It wants as many lanes as there are
//! free uplinks (or locators of the peer, if those are more), disjoint at both ends where that
//! can be. It never takes a lane down because it is silent while nothing better is there, and
//! never dials a metered uplink while a lane is up.
//!
//! ```text
//! a lane is missing          → dial the most disjoint path, again with growing patience
//! no lane is up at all       → dial every path at once, at a steady pace
//! a lane is silent, none up  → move it to an uplink that has no lane (a fresh dial races it)
//! a lane was replaced        → close it
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::vocab::class::Class;
use crate::vocab::ids::LaneId;

/// The most lanes a session keeps.
pub const MAX_LANES: usize = 4;

/// Dials under way at once, in all and per path.
const MAX_DIALS: usize = 16;
const MAX_DIALS_PER_PATH: usize = 5;

/// The pace of dialling while flows wait and no lane is up: a healed path is found within this
/// and two round trips.
const PRESSED: Duration = Duration::from_millis(250);

/// After this long without a lane the pace slows to `SLOW`, later to `SLOWEST`.
const PRESSED_FOR: Duration = Duration::from_secs(120);
const SLOW: Duration = Duration::from_secs(1);
const SLOW_FOR: Duration = Duration::from_secs(600);
const SLOWEST: Duration = Duration::from_secs(5);

/// Where nothing waits, or another lane is up, the pace slows by half with every failure.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(5);
const LAST_IDLE_RETRY: Duration = Duration::from_secs(30);

/// A lane is moved when it was silent for this long, and nothing was acknowledged for a probe
/// timeout: so that neither a passing pause nor a full queue moves anything.
const MOVE_AFTER: Duration = Duration::from_millis(40);

/// A lane that was moved gets this long to answer on its new path before it is moved again.
const MOVE_AGAIN: Duration = Duration::from_millis(1000);

/// At the start free uplinks are dialled alone for this long.
const FREE_FIRST: Duration = Duration::from_secs(1);

/// A metered lane is kept this long after a free one is back.
const KEEP_METERED: Duration = Duration::from_secs(10);

/// A local address under an uplink, and a locator of the peer that it can reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The uplink's name.
    pub uplink: String,
    /// The order among uplinks; lower first.
    pub order: u32,
    /// Whose address it is, and so how the uplink fails and heals.
    pub class: Class,
    /// Cold until needed.
    pub metered: bool,
    /// Somebody at this end wants the uplink free of lanes: planned work.
    pub draining: bool,
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// A lane as the planner sees it.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// The lane.
    pub id: LaneId,
    /// The uplink it is on.
    pub uplink: String,
    /// Whether that is metered.
    pub metered: bool,
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Since when its acknowledgements are overdue, if they are.
    pub suspect_since: Option<Instant>,
    /// Nothing at all was acknowledged for a whole probe timeout: no longer a guess.
    pub confirmed: bool,
    /// When it last moved.
    pub moved_at: Option<Instant>,
}

/// What the planner is told.
#[derive(Debug)]
pub struct World<'a> {
    /// Every path there could be.
    pub paths: &'a [Path],
    /// The lanes there are.
    pub lanes: &'a [LaneView],
    /// The paths that are being dialled, once for each dial.
    pub dialling: &'a [(IpAddr, SocketAddr)],
    /// Somebody waits: flows are open, or an application wants one.
    pub pressed: bool,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Paths to dial.
    pub dial: Vec<Path>,
    /// Lanes to move, and where to.
    pub migrate: Vec<(LaneId, Path)>,
    /// Lanes to close: another took their place.
    pub close: Vec<LaneId>,
    /// When to ask again.
    pub wake_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Attempts {
    last: Option<Instant>,
    failures: u32,
}

/// Remembers what was tried.
#[derive(Debug, Default)]
pub struct Planner {
    attempts: HashMap<(IpAddr, SocketAddr), Attempts>,
    down_since: Option<Instant>,
    was_up: bool,
    free_since: Option<Instant>,
}

impl Planner {
    /// A dial ended.
    pub fn dialled(&mut self, local: IpAddr, remote: SocketAddr, up: bool) {
        let attempts = self.attempts.entry((local, remote)).or_default();
        attempts.failures = if up { 0 } else { attempts.failures.saturating_add(1) };
    }

    /// Something changed that makes old failures meaningless (an address came, somebody waits).
    pub fn forget_failures(&mut self) {
        self.attempts.clear();
    }

    /// What to do now.
    pub fn plan(&mut self, now: Instant, world: &World<'_>) -> Plan {
        let mut plan = Plan::default();
        let up: Vec<&LaneView> = world.lanes.iter().filter(|l| l.suspect_since.is_none()).collect();
        if up.is_empty() {
            self.down_since.get_or_insert(now);
        } else {
            self.down_since = None;
            self.was_up = true;
        }
        // A lane that is merely doubted still counts: a guess dials and moves nothing.
        let hoped: Vec<&LaneView> =
            world.lanes.iter().filter(|l| l.suspect_since.is_none() || !l.confirmed).collect();
        let reserved = migrate(now, world, &up, &mut plan);
        self.close(now, world, &up, &mut plan);
        self.dial(now, world, &hoped, &reserved, &mut plan);
        plan
    }

    fn dial(
        &mut self,
        now: Instant,
        world: &World<'_>,
        up: &[&LaneView],
        reserved: &[IpAddr],
        plan: &mut Plan,
    ) {
        let wanted: Vec<&Path> = match up.is_empty() {
            true => world
                .paths
                .iter()
                .filter(|p| !p.metered || self.needs_metered(now, world))
                .collect(),
            false => missing(world.paths, up),
        };
        self.attempts.retain(|key, _| world.paths.iter().any(|p| (p.local, p.remote) == *key));
        let mut under_way = world.dialling.len();
        // A lane that moves gets its new address for itself until it had time to answer there.
        for path in wanted.into_iter().filter(|p| !reserved.contains(&p.local)) {
            let key = (path.local, path.remote);
            let pace = self.pace(now, key, up.is_empty(), world.pressed);
            let due = self.attempts.get(&key).and_then(|a| a.last).map_or(now, |last| last + pace);
            if due > now {
                plan.wake_at = earliest(plan.wake_at, due);
                continue;
            }
            let here = world.dialling.iter().filter(|d| **d == key).count();
            // Without pressure one dial at a time is enough.
            let most = if world.pressed { MAX_DIALS_PER_PATH } else { 1 };
            if under_way >= MAX_DIALS || here >= most {
                // The end of a dial asks again.
                continue;
            }
            under_way += 1;
            self.attempts.entry(key).or_default().last = Some(now);
            plan.dial.push(path.clone());
            let next = now + self.pace(now, key, up.is_empty(), world.pressed);
            plan.wake_at = earliest(plan.wake_at, next);
        }
    }

    /// Whether a metered uplink is to be dialled: every lane was lost, or free uplinks got their
    /// chance, or there are none.
    fn needs_metered(&self, now: Instant, world: &World<'_>) -> bool {
        let waited = self.down_since.is_some_and(|d| now >= d + FREE_FIRST);
        self.was_up || waited || world.paths.iter().all(|p| p.metered)
    }

    /// How long to wait between two dials of a path.
    fn pace(
        &self,
        now: Instant,
        key: (IpAddr, SocketAddr),
        none_up: bool,
        pressed: bool,
    ) -> Duration {
        if none_up && pressed {
            let down = self.down_since.map_or(Duration::ZERO, |d| now.saturating_duration_since(d));
            return match down {
                down if down < PRESSED_FOR => PRESSED,
                down if down < SLOW_FOR => SLOW,
                _ => SLOWEST,
            };
        }
        let failures = self.attempts.get(&key).map_or(0, |a| a.failures.min(32));
        let last = if none_up { LAST_IDLE_RETRY } else { LAST_RETRY };
        FIRST_RETRY.mul_f64(1.5f64.powi(failures as i32).min(1000.0)).min(last)
    }

    fn close(&mut self, now: Instant, world: &World<'_>, up: &[&LaneView], plan: &mut Plan) {
        // A silent lane whose path has a newer one that answers. One on another path of the same
        // uplink is no replacement: it was there before, and the silence may be a moment's.
        for lane in world.lanes.iter().filter(|l| l.suspect_since.is_some()) {
            let replaced = up
                .iter()
                .any(|l| (l.local, l.remote) == (lane.local, lane.remote) && l.id > lane.id);
            if replaced {
                plan.close.push(lane.id);
            }
        }
        // More lanes on a path than one: two dials got through.
        for (index, lane) in up.iter().enumerate() {
            let twin = |l: &&LaneView| l.local == lane.local && l.remote == lane.remote;
            if up[..index].iter().any(twin) {
                plan.close.push(lane.id);
            }
        }
        // A metered lane, some time after a free one is back.
        let free = up.iter().any(|l| !l.metered);
        self.free_since = free.then(|| self.free_since.unwrap_or(now));
        let metered: Vec<LaneId> = up.iter().filter(|l| l.metered).map(|l| l.id).collect();
        let has_free_path = world.paths.iter().any(|p| !p.metered);
        if let (Some(since), true, false) = (self.free_since, has_free_path, metered.is_empty()) {
            if now.saturating_duration_since(since) >= KEEP_METERED {
                plan.close.extend(metered);
            } else {
                plan.wake_at = earliest(plan.wake_at, since + KEEP_METERED);
            }
        }
    }
}

/// Moves silent lanes; returns the addresses that lanes move to now, soon, or have just moved to.
fn migrate(now: Instant, world: &World<'_>, up: &[&LaneView], plan: &mut Plan) -> Vec<IpAddr> {
    let fresh = |l: &&LaneView| l.moved_at.is_some_and(|at| now < at + MOVE_AGAIN);
    let mut reserved: Vec<IpAddr> = world.lanes.iter().filter(fresh).map(|l| l.local).collect();
    if !up.is_empty() {
        return reserved;
    }
    let mut taken: Vec<&str> = Vec::new();
    for lane in world.lanes {
        let gone = !world.paths.iter().any(|p| p.local == lane.local);
        let Some(since) = lane.suspect_since else { continue };
        if !gone && !lane.confirmed {
            // A guess moves nothing. The driver asks again when it is confirmed.
            continue;
        }
        let due = if gone { now } else { since + MOVE_AFTER };
        let due = lane.moved_at.map_or(due, |moved| due.max(moved + MOVE_AGAIN));
        // The best uplink without a lane from which the same locator can be reached.
        let target = world
            .paths
            .iter()
            .filter(|p| p.remote == lane.remote && p.local != lane.local)
            .filter(|p| !taken.contains(&p.uplink.as_str()))
            .filter(|p| !world.lanes.iter().any(|l| l.local == p.local))
            .min_by_key(|p| (p.metered, p.order));
        let Some(target) = target else { continue };
        reserved.push(target.local);
        if due > now {
            plan.wake_at = earliest(plan.wake_at, due);
            continue;
        }
        taken.push(&target.uplink);
        plan.migrate.push((lane.id, target.clone()));
    }
    reserved
}

fn earliest(a: Option<Instant>, b: Instant) -> Option<Instant> {
    Some(a.map_or(b, |a| a.min(b)))
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// How many lanes there should be: as many as free uplinks, or as locators if those are more.
pub fn wanted(paths: &[Path]) -> usize {
    let free = || paths.iter().filter(|p| !p.metered);
    let uplinks = distinct(free().map(|p| p.uplink.as_str())).len();
    if uplinks == 0 {
        return usize::from(!paths.is_empty());
    }
    let locators = distinct(free().map(|p| p.remote)).len();
    uplinks.max(locators).min(MAX_LANES)
}

/// The paths to dial so that there are as many lanes as wanted, the most disjoint first.
fn missing<'a>(paths: &'a [Path], up: &[&LaneView]) -> Vec<&'a Path> {
    let mut used: Vec<(String, IpAddr, SocketAddr)> =
        up.iter().filter(|l| !l.metered).map(|l| (l.uplink.clone(), l.local, l.remote)).collect();
    let mut chosen = Vec::new();
    while used.len() < wanted(paths) {
        let rank = |p: &&Path| {
            let uplink = used.iter().filter(|u| u.0 == p.uplink).count();
            let locator = used.iter().filter(|u| u.2 == p.remote).count();
            (uplink + locator, uplink, p.order)
        };
        let fresh = |p: &&Path| !used.iter().any(|u| u.1 == p.local && u.2 == p.remote);
        let free = paths.iter().filter(|p| !p.metered || paths.iter().all(|p| p.metered));
        let Some(best) = free.filter(fresh).min_by_key(rank) else { break };
        used.push((best.uplink.clone(), best.local, best.remote));
        chosen.push(best);
    }
    chosen
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
