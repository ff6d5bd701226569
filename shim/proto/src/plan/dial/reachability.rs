//! Which paths are probed for whether the peer can be reached over them, and when.

use std::time::Instant;

use super::super::actions::PlanActions;
use super::super::input::PlanInput;
use super::super::pairing::{self, distinct};
use super::Dials;
use super::attempts::{self, Urgency};
use super::patience::Patience;
use crate::path::{Path, PathKey};

/// The most uplinks whose patience is remembered while they are absent.
const MAX_UPLINKS: usize = 64;

impl Dials {
    /// Notes that a probe of a path was answered: the path is to be dialed, and what shares with it
    /// is probed fast.
    pub(in crate::plan) fn answered(&mut self, now: Instant, key: PathKey) {
        if self.attempts.entry(key).or_default().answered() {
            self.impulse(now);
        }
    }

    /// Has every path that is tried probed fast for a while, beginning now.
    pub(in crate::plan) fn impulse(&mut self, now: Instant) {
        self.patience.values_mut().for_each(|patience| patience.impulse(now));
    }

    /// Has every uplink that is tried probed once, now.
    pub(in crate::plan) fn hurry(&mut self, now: Instant) {
        self.patience.values_mut().for_each(|patience| patience.hurry(now));
    }

    /// Remembers the patience with each uplink, also while it is absent: an interface that comes and
    /// goes must not begin with all its probes each time.
    pub(super) fn follow_uplinks(&mut self, input: &PlanInput<'_>) {
        for path in input.paths {
            if !self.patience.contains_key(&path.uplink) {
                self.patience.insert(path.uplink.clone(), Patience::default());
            }
        }
        if self.patience.len() > MAX_UPLINKS {
            self.patience.retain(|name, _| input.paths.iter().any(|p| p.uplink == *name));
        }
    }

    /// Probes the paths over each uplink that lacks a lane, in turn.
    ///
    /// Not only the paths that are wanted: of two address families one may be dead, and the planner
    /// wants the paths that answer. A path with a lane is not probed: its lane is.
    pub(super) fn probe(
        &mut self,
        now: Instant,
        input: &PlanInput<'_>,
        wanted: &[&Path],
        urgency: Urgency,
        actions: &mut PlanActions,
    ) {
        let has_lane = |p: &Path| input.lanes.iter().any(|l| l.key() == p.key() && l.validated);
        let eligible = pairing::eligible(input.paths);
        for (name, patience) in &mut self.patience {
            let lacks = wanted.iter().any(|p| p.uplink == *name);
            let may = |p: &&Path| {
                p.uplink == *name && !has_lane(p) && (wanted.contains(p) || eligible.contains(p))
            };
            let here: Vec<&Path> = input.paths.iter().filter(|p| lacks && may(p)).collect();
            patience.trying(now, !here.is_empty());
            if here.is_empty() {
                continue;
            }
            let jitter = probe_jitter(self.seed, name, patience);
            let due = patience.next_probe(now, urgency, jitter);
            if due > now {
                actions.wake(due);
                continue;
            }
            let turn = patience.probes as usize % here.len();
            patience.probed(now);
            actions.probe.push(here[turn].clone());
            let jitter = probe_jitter(self.seed, name, patience);
            actions.wake(patience.next_probe(now, urgency, jitter));
        }
        debug_assert!(distinct(actions.probe.iter().map(Path::key)).len() == actions.probe.len());
    }
}

/// Returns the factor by which the interval before the next probe is shortened: less than for dials,
/// since each bit of it costs bytes for as long as an outage lasts.
fn probe_jitter(seed: u64, uplink: &str, patience: &Patience) -> f64 {
    (1.0 + attempts::jitter(seed, uplink, patience.probes)) / 2.0
}
