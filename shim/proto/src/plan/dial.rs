//! Which paths are dialled, and how often.
//!
//! With no lane up every plausible path is dialled at once: of two uplinks and two locators just
//! one pairing may be left (the local ISP of one lane and the remote ISP of the other failed), and
//! to try one after the other would take as long as all the failures together. The first that gets
//! through decides: what else is under way and not wanted beside it is abandoned, so that lanes do
//! not replace each other. What stands in for a lane that was in doubt is given up only when that
//! has answered for a while.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::prefix::Prefix;
use super::target::{self, Edge};
use super::view::{Key, LaneView, Path, Plan, STEADY, World};
use super::{MOST_LANES, Planner};

/// Dials under way at once, in all and per path.
pub(super) const MAX_DIALS: usize = 16;
pub(super) const MAX_DIALS_PER_PATH: usize = 5;

/// ... per path while another lane is up: the next begins before the last has run out of patience.
const MAX_DIALS_BESIDE: usize = 2;

/// The pace of dialling while flows wait and no lane is up: a healed path is found within this
/// and two round trips.
pub(super) const PRESSED: Duration = Duration::from_millis(250);

/// After this long without a lane the pace slows to `SLOW`, later to `SLOWEST`.
pub(super) const PRESSED_FOR: Duration = Duration::from_secs(120);
pub(super) const SLOW: Duration = Duration::from_secs(1);
const SLOW_FOR: Duration = Duration::from_secs(600);
const SLOWEST: Duration = Duration::from_secs(5);

/// Where nothing waits, or another lane is up, the pace slows by half with every failure.
const FIRST_RETRY: Duration = Duration::from_millis(250);
pub(super) const LAST_RETRY: Duration = Duration::from_secs(5);
pub(super) const LAST_IDLE_RETRY: Duration = Duration::from_secs(30);

/// At the start free uplinks are dialled alone for this long.
pub(super) const FREE_FIRST: Duration = Duration::from_secs(1);

/// A path that failed so often in a row is not counted on: another that shares more gets a lane
/// as well, until it answers.
const POOR: u32 = 2;

/// The most that a dial is brought forward to spread them: a fifth of its pace.
const JITTER: f64 = 0.2;

/// What became of the dials of a path.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    last: Option<Instant>,
    count: u32,
    failures: u32,
}

impl Attempts {
    pub(super) fn ended(&mut self, up: bool) {
        self.failures = if up { 0 } else { self.failures.saturating_add(1) };
    }
}

impl Planner {
    pub(super) fn dial(
        &mut self,
        now: Instant,
        world: &World<'_>,
        reserved: &[IpAddr],
        plan: &mut Plan,
    ) {
        // A lane that is merely doubted still counts: a guess dials and moves nothing. So does
        // one that has just moved.
        let moving = |l: &LaneView| !l.proven && reserved.contains(&l.local);
        let hoped: Vec<&LaneView> =
            world.lanes.iter().filter(|l| (l.proven || moving(l)) && !l.is_silent()).collect();
        let none = hoped.is_empty();
        let wanted: Vec<&Path> = match none {
            true => self.plausible(now, world),
            false => self.missing(world, &hoped),
        };
        self.attempts.retain(|key, _| world.paths.iter().any(|p| p.key() == *key));
        if world.lanes.iter().any(LaneView::is_up) {
            let wavers = |key: &Key| {
                let mut here = world.lanes.iter().filter(|l| l.key() == *key && l.is_up());
                let all = here.clone().all(|l| l.wavers(now));
                here.find_map(|l| l.wavered).filter(|_| all)
            };
            for key in world.dialling {
                if wanted.iter().any(|p| same_edge(world.paths, p, key)) {
                    continue;
                }
                match wavers(key) {
                    Some(at) => plan.wake(at + STEADY),
                    None => plan.abandon.push(*key),
                }
            }
        }
        let mut under_way = world.dialling.len() - plan.abandon.len();
        // A lane that moves gets its new address for itself until it had time to answer there.
        for path in wanted.into_iter().filter(|p| !reserved.contains(&p.local)) {
            let key = path.key();
            let pace = self.pace(now, key, none, world.pressed);
            let due = self.attempts.get(&key).and_then(|a| a.last).map_or(now, |last| last + pace);
            if due > now {
                plan.wake(due);
                continue;
            }
            let here = world.dialling.iter().filter(|d| **d == key).count();
            // Without pressure one dial at a time is enough.
            let most = match (world.pressed, none) {
                (false, _) => 1,
                (true, true) => MAX_DIALS_PER_PATH,
                (true, false) => MAX_DIALS_BESIDE,
            };
            let full = !none && world.lanes.len() + under_way >= MOST_LANES;
            if under_way >= MAX_DIALS || here >= most || full {
                // The end of a dial, or of a lane, asks again.
                continue;
            }
            under_way += 1;
            let attempts = self.attempts.entry(key).or_default();
            attempts.last = Some(now);
            attempts.count = attempts.count.wrapping_add(1);
            plan.dial.push(path.clone());
            plan.wake(now + self.pace(now, key, none, world.pressed));
        }
    }

    /// With no lane up: every path; but the metered ones only when every lane was lost or free ones
    /// got their chance, and those that drain only when the others got theirs.
    fn plausible<'a>(&self, now: Instant, world: &World<'a>) -> Vec<&'a Path> {
        let waited = self.down_since.is_some_and(|d| now >= d + FREE_FIRST);
        let metered = self.was_up || waited || world.paths.iter().all(|p| p.metered || p.draining);
        let draining = waited || world.paths.iter().all(|p| p.draining);
        let fits = |p: &&Path| (metered || !p.metered) && (draining || !p.draining);
        world.paths.iter().filter(fits).collect()
    }

    /// With a lane up: the paths to dial so that there are as many lanes as wanted, disjoint; and
    /// where those have failed of late, others beside them.
    fn missing<'a>(&self, world: &World<'a>, hoped: &[&LaneView]) -> Vec<&'a Path> {
        let wanted = target::wanted(world.paths);
        let plain = target::plain(world.paths);
        // A lane on an address that is going, or that drains, is no reason not to dial the one that
        // follows it.
        let leaves = |l: &LaneView| {
            world.is_gone(l) || (world.is_drained(l) && plain.iter().any(|p| !p.draining))
        };
        let staying: Vec<&LaneView> = hoped.iter().filter(|l| !leaves(l)).copied().collect();
        let mut all = target::edges(&plain, &staying);
        let failures = |path: &Path| self.attempts.get(&path.key()).map_or(0, |a| a.failures);
        for edge in &mut all {
            // Of several locators in a prefix one may be of yesterday.
            let here = plain.iter().filter(|p| edge.is(&p.uplink, Prefix::of(p.remote)));
            edge.path = here.min_by_key(|p| failures(p)).unwrap_or(&edge.path);
        }
        let poor = |edge: &Edge<'_>| edge.lane.is_none() && failures(edge.path) >= POOR;
        let good: Vec<Edge<'_>> = all.iter().filter(|e| !poor(e)).copied().collect();
        let mut missing: Vec<&Path> = Vec::new();
        for edge in target::choose(&all, wanted).into_iter().chain(target::choose(&good, wanted)) {
            if edge.lane.is_none() && !missing.contains(&edge.path) {
                missing.push(edge.path);
            }
        }
        missing
    }

    /// How long to wait between two dials of a path.
    fn pace(&self, now: Instant, key: Key, none_up: bool, pressed: bool) -> Duration {
        let attempts = self.attempts.get(&key);
        let jitter = self.jitter(key, attempts.map_or(0, |a| a.count));
        if none_up && pressed {
            let down = self.down_since.map_or(Duration::ZERO, |d| now.saturating_duration_since(d));
            let pace = match down {
                down if down < PRESSED_FOR => PRESSED,
                down if down < SLOW_FOR => SLOW,
                _ => SLOWEST,
            };
            return pace.mul_f64(jitter);
        }
        let failures = attempts.map_or(0, |a| a.failures.min(32));
        let last = if pressed { LAST_RETRY } else { LAST_IDLE_RETRY };
        FIRST_RETRY.mul_f64(1.5f64.powi(failures as i32).min(1000.0)).min(last).mul_f64(jitter)
    }

    /// By what the pace of this dial is multiplied: a little less than one, the same for the same
    /// seed, path and attempt.
    fn jitter(&self, key: Key, count: u32) -> f64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        if self.seed == 0 {
            return 1.0;
        }
        let mut hasher = DefaultHasher::new();
        (self.seed, key, count).hash(&mut hasher);
        1.0 - JITTER * (hasher.finish() % 1024) as f64 / 1024.0
    }
}

/// Whether a dial of `key` gives the lane that is wanted on `path`.
fn same_edge(paths: &[Path], path: &Path, key: &Key) -> bool {
    let same =
        |p: &Path| p.uplink == path.uplink && Prefix::of(p.remote) == Prefix::of(path.remote);
    paths.iter().any(|p| p.key() == *key && same(p))
}
