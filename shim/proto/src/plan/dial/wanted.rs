//! Which paths should have a lane and have none.

use std::time::Instant;

use super::super::input::PlanInput;
use super::super::pairing::{self, Pairing};
use super::super::view::LaneView;
use super::attempts::Attempts;
use super::{Dials, PREFERRED_HEAD_START, UNRELIABLE_AFTER};
use crate::path::{Path, Prefix};

impl Dials {
    /// Returns the paths to dial with no lane up.
    ///
    /// All of them; but metered ones only after every lane was lost, or after the others had their
    /// head start, and draining ones only after the others had theirs.
    pub(super) fn plausible<'a>(&self, now: Instant, input: &PlanInput<'a>) -> Vec<&'a Path> {
        let waited = self.down_since.is_some_and(|d| now >= d + PREFERRED_HEAD_START);
        let metered = self.was_up || waited || input.paths.iter().all(|p| p.metered || p.draining);
        let draining = waited || input.paths.iter().all(|p| p.draining);
        let fits = |p: &&Path| (metered || !p.metered) && (draining || !p.draining);
        input.paths.iter().filter(fits).collect()
    }

    /// Returns the paths to dial with a lane up: those that bring the lanes to the wanted, disjoint
    /// set; and where these are unreliable, others beside them.
    pub(super) fn missing<'a>(
        &self,
        input: &PlanInput<'a>,
        expected: &[&LaneView],
    ) -> Vec<&'a Path> {
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
        let penalty = |path: &Path| self.attempts.get(&path.key()).map_or(1, Attempts::penalty);
        for pairing in &mut all {
            // Of several locators in a prefix one may be outdated.
            let here = eligible.iter().filter(|p| pairing.is(&p.uplink, Prefix::of(p.remote)));
            pairing.path = here.min_by_key(|p| penalty(p)).unwrap_or(&pairing.path);
            pairing.penalty = penalty(pairing.path);
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
