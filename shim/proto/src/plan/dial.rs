//! Which paths are dialed, and how often.
//!
//! With no lane up, every plausible path is dialed at once. Of two uplinks and two locators one
//! pairing may be left (the local ISP of one lane failed, and the remote ISP of the other), and to
//! try one after the other would take as long as all the timeouts together. The first dial that
//! gets through decides: the others that are not wanted beside it are abandoned, so that lanes do
//! not replace each other. The replacement of a suspect lane is abandoned only when that lane has
//! answered for [`STABLE_AFTER`](super::view::STABLE_AFTER).
//!
//! What fails is dialed ever more rarely, and probed meanwhile ([`patience`]): a probe that is
//! answered brings the next dial at once.
//!
//! A suspect lane is its own probe, and a cheaper one than a dial. So its path is dialed only when
//! the lane has been suspect for [`REDIAL_AFTER`], and later still where such dials were for nothing. Where no lane
//! is left that may answer the first such dial in a minute is made at once: if the path has begun to drop large
//! packets, a fresh lane, which begins with small ones, carries what waits, and the old one does not recover.

mod abandon;
mod attempts;
mod patience;
mod rate_limit;
mod reachability;
mod wanted;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

#[cfg(test)]
pub(super) use self::attempts::MAX_RETRY_DELAY;
use self::attempts::{Attempts, Urgency};
#[cfg(test)]
pub(super) use self::patience::FAST_PROBE_INTERVAL;
use self::patience::Patience;
use super::actions::PlanActions;
use super::input::PlanInput;
use super::pairing::MAX_LANES;
use super::view::LaneView;
use crate::path::{Path, PathKey, Prefix};

/// The most lanes, dials included, that a session has at once beside a lane that may answer: those
/// wanted, as many that are down, and as many that drain. An acceptor takes 16.
pub const MAX_LANES_AT_ONCE: usize = 3 * MAX_LANES;

/// The most dials under way at once: every path between two dual-stack hosts with two providers
/// each. Each dial has a socket and, in QUIC, buffers of up to 3 MB.
pub(super) const MAX_DIALS: usize = 8;

/// The most dials under way per path: the next one may start before the last one times out.
pub(super) const MAX_DIALS_PER_PATH: usize = 2;

/// How long unmetered paths that do not drain are dialed alone.
pub(super) const PREFERRED_HEAD_START: Duration = Duration::from_secs(1);

/// How many failures in a row make a path unreliable: then another one that shares more with the
/// existing lanes is dialed as well, until the path answers.
const UNRELIABLE_AFTER: u32 = 2;

/// How long a lane must be suspect before its path is dialed although the lane is still there.
///
/// The lane is probed ten times by then. Loss, a NAT that forgot its binding and a stopped peer end
/// in less, and a lane that is dead in one direction is closed in less.
pub(super) const REDIAL_AFTER: Duration = Duration::from_secs(1);

/// Decides which paths are dialed; remembers how the dials of each path ended.
#[derive(Debug, Default)]
pub(super) struct Dials {
    /// Spreads the dials of many sessions; 0 spreads nothing.
    seed: u64,
    attempts: HashMap<PathKey, Attempts>,
    /// The patience with each uplink, by name.
    patience: BTreeMap<String, Patience>,
    /// Since when no lane is up.
    down_since: Option<Instant>,
    /// There was demand at the last call.
    had_demand: bool,
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

    /// Returns how many dials of a path failed in a row.
    pub(super) fn failures(&self, key: PathKey) -> u32 {
        self.attempts.get(&key).map_or(0, Attempts::failures)
    }

    /// Has the next outage be a new one.
    pub(super) fn stand_by(&mut self) {
        self.down_since = None;
    }

    /// Forgets all dials.
    pub(super) fn forget(&mut self, now: Instant) {
        self.attempts.clear();
        self.patience.values_mut().for_each(|patience| patience.impulse(now));
    }

    /// Dials and probes the paths that should have a lane, and abandons dials that are no longer
    /// needed.
    pub(super) fn dial(
        &mut self,
        now: Instant,
        input: &PlanInput<'_>,
        reserved: &[IpAddr],
        actions: &mut PlanActions,
    ) {
        self.follow(now, input);
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
            abandon::abandon(now, input, &wanted, actions);
        }
        let mut under_way = input.dialing.len() - actions.abandon.len();
        // A lane that migrates has its new address to itself until it had time to answer there.
        for path in wanted.iter().copied().filter(|p| !reserved.contains(&p.local)) {
            let key = path.key();
            if let Some(due) = self.due(now, input, path, none_expected) {
                actions.wake(due);
                continue;
            }
            let here = input.dialing.iter().filter(|d| **d == key).count();
            // Without demand one dial at a time is enough; but one that began in an outage may wait seconds
            // to send its next packet, and now the path answers.
            let answered = self.attempts.get(&key).is_some_and(Attempts::is_answered);
            let per_path = if input.has_demand || answered { MAX_DIALS_PER_PATH } else { 1 };
            let full = !none_expected && input.lanes.len() + under_way >= MAX_LANES_AT_ONCE;
            if under_way >= MAX_DIALS || here >= per_path || full {
                // The end of a dial, or of a lane, asks for another plan.
                continue;
            }
            under_way += 1;
            let attempts = self.attempts.entry(key).or_default();
            if !attempts.is_answered() {
                self.patience.entry(path.uplink.clone()).or_default().dialed(now);
            }
            attempts.started(now, suspect_on(input, path, none_expected).is_some());
            actions.dial.push(path.clone());
            actions.wake(now + attempts.delay(self.seed, key));
        }
        let urgency = match (none_expected, input.has_demand) {
            (true, true) => Urgency::Outage,
            (false, true) => Urgency::Demand,
            (_, false) => Urgency::Idle,
        };
        self.probe(now, input, &wanted, urgency, actions);
    }

    /// Returns when the path is to be dialed, if that is not now.
    fn due(
        &self,
        now: Instant,
        input: &PlanInput<'_>,
        path: &Path,
        none_expected: bool,
    ) -> Option<Instant> {
        let key = path.key();
        let attempts = self.attempts.get(&key);
        let pace = attempts.and_then(|a| a.next(self.seed, key));
        // A lane that is still there may answer.
        let redials = attempts.map_or(0, |a| a.redials(now));
        let redial = suspect_on(input, path, none_expected)
            .filter(|_| redials > 0 || !(none_expected && input.is_conclusive()))
            .map(|since| since + REDIAL_AFTER * 2u32.pow(redials));
        let limit = match attempts.is_some_and(Attempts::is_answered) {
            true => None,
            false => self.patience.get(&path.uplink).and_then(|p| p.next_dial(now)),
        };
        pace.max(redial).max(limit).filter(|due| *due > now)
    }

    /// Follows whether any lane is up, and whether flows wait.
    fn follow(&mut self, now: Instant, input: &PlanInput<'_>) {
        let outage_begins = !input.any_up() && self.down_since.is_none();
        if input.any_up() {
            self.down_since = None;
            self.was_up = true;
        } else {
            self.down_since.get_or_insert(now);
        }
        let demand_begins = input.has_demand && !self.had_demand;
        self.had_demand = input.has_demand;
        self.follow_uplinks(input);
        for patience in self.patience.values_mut() {
            match (outage_begins, input.has_demand) {
                (true, true) => patience.outage_begins(now),
                (true, false) => patience.impulse(now),
                _ if demand_begins => patience.hurry(now),
                _ => {}
            }
        }
    }
}

/// Returns since when a lane is suspect that is on the path and has not migrated there; beside a lane
/// that may answer also one to another locator in the same prefix.
fn suspect_on(input: &PlanInput<'_>, path: &Path, none_expected: bool) -> Option<Instant> {
    let on_path = |l: &&LaneView| l.key() == path.key();
    let on_pairing =
        |l: &&LaneView| l.uplink == path.uplink && Prefix::of(l.remote) == Prefix::of(path.remote);
    let here = input.lanes.iter().filter(|l| on_path(l) || (!none_expected && on_pairing(l)));
    here.filter(|l| l.validated).filter_map(|l| l.suspected_since).max()
}
