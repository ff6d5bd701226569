//! Which paths are dialed, and how often.
//!
//! With no lane up, every plausible path is dialed at once. Of two uplinks and two locators one
//! pairing may be left (the local ISP of one lane failed, and the remote ISP of the other), and to
//! try one after the other would take as long as all the timeouts together. The first dial that
//! gets through decides: the others that are not wanted beside it are abandoned, so that lanes do
//! not replace each other. The replacement of a suspect lane is abandoned only when that lane has
//! answered for [`STABLE_AFTER`].

mod attempts;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use self::attempts::{Attempts, Urgency};
#[cfg(test)]
pub(super) use self::attempts::{
    FAST_DIAL_INTERVAL, FAST_DIAL_PERIOD, MAX_IDLE_RETRY_DELAY, MAX_RETRY_DELAY, SLOW_DIAL_INTERVAL,
};
use super::actions::PlanActions;
use super::input::PlanInput;
use super::pairing::{self, MAX_LANES, Pairing};
use super::view::{LaneView, STABLE_AFTER};
use crate::path::{Path, PathKey, Prefix};

/// The most lanes, dials included, that a session has at once beside a lane that may answer: those
/// wanted, as many that are down, and as many that drain. An acceptor takes 16.
pub const MAX_LANES_AT_ONCE: usize = 3 * MAX_LANES;

/// The most dials under way at once.
pub(super) const MAX_DIALS: usize = 16;

/// The most dials under way per path while no lane is up.
pub(super) const MAX_DIALS_PER_PATH: usize = 5;

/// The most dials under way per path while another lane is up: the next one starts before the last
/// one times out.
const MAX_DIALS_BESIDE_A_LANE: usize = 2;

/// How long unmetered paths that do not drain are dialed alone.
pub(super) const PREFERRED_HEAD_START: Duration = Duration::from_secs(1);

/// How many failures in a row make a path unreliable: then another one that shares more with the
/// existing lanes is dialed as well, until the path answers.
const UNRELIABLE_AFTER: u32 = 2;

/// Decides which paths are dialed; remembers how the dials of each path ended.
#[derive(Debug, Default)]
pub(super) struct Dials {
    /// Spreads the dials of many sessions; 0 spreads nothing.
    seed: u64,
    attempts: HashMap<PathKey, Attempts>,
    /// Since when no lane is up.
    down_since: Option<Instant>,
    /// A lane was up at some time.
    pub(super) was_up: bool,
}

impl Dials {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Notes that a dial ended.
    pub(super) fn ended(&mut self, key: PathKey, succeeded: bool) {
        self.attempts.entry(key).or_default().ended(succeeded);
    }

    /// Forgets all dials.
    pub(super) fn forget(&mut self) {
        self.attempts.clear();
    }

    /// Dials the paths that should have a lane, and abandons dials that are no longer needed.
    pub(super) fn dial(
        &mut self,
        now: Instant,
        input: &PlanInput<'_>,
        reserved: &[IpAddr],
        actions: &mut PlanActions,
    ) {
        if input.any_up() {
            self.down_since = None;
            self.was_up = true;
        } else {
            self.down_since.get_or_insert(now);
        }
        // A lane that is suspect only still counts: a suspicion neither dials nor migrates. So does
        // a lane that just migrated.
        let migrating = |l: &LaneView| !l.validated && reserved.contains(&l.local);
        let expected: Vec<&LaneView> =
            input.lanes.iter().filter(|l| (l.validated || migrating(l)) && !l.is_down()).collect();
        let none_expected = expected.is_empty();
        let wanted: Vec<&Path> = match none_expected {
            true => self.plausible(now, input),
            false => self.missing(input, &expected),
        };
        self.attempts.retain(|key, _| input.paths.iter().any(|p| p.key() == *key));
        if input.any_up() {
            abandon(now, input, &wanted, actions);
        }
        let urgency = self.urgency(now, none_expected, input.has_demand);
        // Without demand one dial at a time is enough.
        let per_path = match (input.has_demand, none_expected) {
            (false, _) => 1,
            (true, true) => MAX_DIALS_PER_PATH,
            (true, false) => MAX_DIALS_BESIDE_A_LANE,
        };
        let mut under_way = input.dialing.len() - actions.abandon.len();
        // A lane that migrates has its new address to itself until it had time to answer there.
        for path in wanted.into_iter().filter(|p| !reserved.contains(&p.local)) {
            let key = path.key();
            let due = self.attempts.get(&key).and_then(|a| a.next(self.seed, key, urgency));
            if let Some(due) = due.filter(|due| *due > now) {
                actions.wake(due);
                continue;
            }
            let here = input.dialing.iter().filter(|d| **d == key).count();
            let full = !none_expected && input.lanes.len() + under_way >= MAX_LANES_AT_ONCE;
            if under_way >= MAX_DIALS || here >= per_path || full {
                // The end of a dial, or of a lane, asks for another plan.
                continue;
            }
            under_way += 1;
            let attempts = self.attempts.entry(key).or_default();
            attempts.started(now);
            actions.dial.push(path.clone());
            actions.wake(now + attempts.delay(self.seed, key, urgency));
        }
    }

    /// Returns how urgent dials are.
    fn urgency(&self, now: Instant, none_expected: bool, has_demand: bool) -> Urgency {
        match (none_expected, has_demand) {
            (true, true) => {
                let since = self.down_since;
                Urgency::Outage(since.map_or(Duration::ZERO, |s| now.saturating_duration_since(s)))
            }
            (false, true) => Urgency::Demand,
            (_, false) => Urgency::Idle,
        }
    }

    /// Returns the paths to dial with no lane up.
    ///
    /// All of them; but metered ones only after every lane was lost, or after the others had their
    /// head start, and draining ones only after the others had theirs.
    fn plausible<'a>(&self, now: Instant, input: &PlanInput<'a>) -> Vec<&'a Path> {
        let waited = self.down_since.is_some_and(|d| now >= d + PREFERRED_HEAD_START);
        let metered = self.was_up || waited || input.paths.iter().all(|p| p.metered || p.draining);
        let draining = waited || input.paths.iter().all(|p| p.draining);
        let fits = |p: &&Path| (metered || !p.metered) && (draining || !p.draining);
        input.paths.iter().filter(fits).collect()
    }

    /// Returns the paths to dial with a lane up: those that bring the lanes to the wanted, disjoint
    /// set; and where these are unreliable, others beside them.
    fn missing<'a>(&self, input: &PlanInput<'a>, expected: &[&LaneView]) -> Vec<&'a Path> {
        let wanted = pairing::wanted_lanes(input.paths);
        let eligible = pairing::eligible(input.paths);
        // A lane that drains, or whose address is deprecated, must not keep its successor from
        // being dialed.
        let leaves = |l: &LaneView| {
            input.address_lost(l) || (input.is_drained(l) && eligible.iter().any(|p| !p.draining))
        };
        let staying: Vec<&LaneView> = expected.iter().filter(|l| !leaves(l)).copied().collect();
        let mut all = pairing::pairings(&eligible, &staying);
        let failures = |path: &Path| self.attempts.get(&path.key()).map_or(0, Attempts::failures);
        for pairing in &mut all {
            // Of several locators in a prefix one may be outdated.
            let here = eligible.iter().filter(|p| pairing.is(&p.uplink, Prefix::of(p.remote)));
            pairing.path = here.min_by_key(|p| failures(p)).unwrap_or(&pairing.path);
        }
        let unreliable = |p: &Pairing<'_>| p.lane.is_none() && failures(p.path) >= UNRELIABLE_AFTER;
        let reliable: Vec<Pairing<'_>> = all.iter().filter(|p| !unreliable(p)).copied().collect();
        let mut missing: Vec<&Path> = Vec::new();
        let chosen = pairing::choose(&all, wanted);
        for pairing in chosen.into_iter().chain(pairing::choose(&reliable, wanted)) {
            if pairing.lane.is_none() && !missing.contains(&pairing.path) {
                missing.push(pairing.path);
            }
        }
        missing
    }
}

/// Abandons the dials that are not wanted beside the lanes that are up.
fn abandon(now: Instant, input: &PlanInput<'_>, wanted: &[&Path], actions: &mut PlanActions) {
    // When the lanes on a path were last suspected, if all of them were recently.
    let unstable_since = |key: &PathKey| {
        let mut here = input.lanes.iter().filter(|l| l.key() == *key && l.is_up());
        let all = here.clone().all(|l| l.recently_suspected(now));
        here.find_map(|l| l.last_suspected).filter(|_| all)
    };
    for key in input.dialing {
        if wanted.iter().any(|p| same_pairing(input.paths, p, key)) {
            continue;
        }
        match unstable_since(key) {
            Some(at) => actions.wake(at + STABLE_AFTER),
            None => actions.abandon.push(*key),
        }
    }
}

/// Returns whether a dial of `key` gives the lane that is wanted on `path`.
fn same_pairing(paths: &[Path], path: &Path, key: &PathKey) -> bool {
    let same =
        |p: &Path| p.uplink == path.uplink && Prefix::of(p.remote) == Prefix::of(path.remote);
    paths.iter().any(|p| p.key() == *key && same(p))
}
