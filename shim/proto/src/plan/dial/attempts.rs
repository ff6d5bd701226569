//! The pace of dials on one path.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::path::PathKey;

/// The delay before the first retry. Each failure trebles it.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);

/// The longest delay before a retry while nothing says that the path answers.
pub(in crate::plan) const MAX_RETRY_DELAY: Duration = Duration::from_secs(300);

/// The longest delay before a retry of a path that answers probes and no dial.
const MAX_ANSWERED_RETRY_DELAY: Duration = Duration::from_secs(30);

/// How long dials beside a suspect lane are remembered.
const REDIALS_REMEMBERED: Duration = Duration::from_secs(60);

/// The most of them that count: a lane is closed before a fifth doubling could matter.
const MAX_REDIALS: u32 = 4;

/// The largest fraction of its delay by which a dial is brought forward, so that the dials of many
/// sessions are spread.
pub(super) const JITTER: f64 = 0.2;

/// How urgent dials are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Flows wait, and no lane is up.
    Outage,
    /// A lane is up, and there are flows.
    Demand,
    /// No flow waits.
    Idle,
}

/// The dials of one path.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    last: Option<Instant>,
    count: u32,
    /// Failures in a row.
    failures: u32,
    /// A probe of the path was answered after the last dial began.
    answered: bool,
    /// A probe of the path was answered after the last dial failed.
    reachable: bool,
    /// Failures in a row of dials that followed an answered probe.
    answered_failures: u32,
    /// Dials beside a suspect lane on the same path.
    redials: u32,
    last_redial: Option<Instant>,
}

impl Attempts {
    /// Notes that a dial starts, `beside` a suspect lane on the same path or not.
    pub(super) fn started(&mut self, now: Instant, beside: bool) {
        if beside {
            self.redials = self.redials(now).saturating_add(1);
            self.last_redial = Some(now);
        }
        self.last = Some(now);
        self.count = self.count.wrapping_add(1);
        self.answered_failures += u32::from(std::mem::take(&mut self.answered));
    }

    /// Notes that a dial ended.
    pub(super) fn ended(&mut self, succeeded: bool) {
        self.failures = if succeeded { 0 } else { self.failures.saturating_add(1) };
        self.reachable &= succeeded;
        if succeeded {
            self.answered_failures = 0;
        }
    }

    /// Notes that a probe of the path was answered; returns whether that is news.
    pub(super) fn answered(&mut self) -> bool {
        self.answered = true;
        !std::mem::replace(&mut self.reachable, true)
    }

    /// Returns whether the path answers.
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Returns how little is to be expected of a dial: nothing speaks for or against one at 1.
    pub(super) fn penalty(&self) -> u32 {
        if self.reachable { 0 } else { 1 + self.failures }
    }

    /// Returns the number of failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns how often the path was dialed beside a suspect lane of late, up to a limit.
    pub(super) fn redials(&self, now: Instant) -> u32 {
        let recent = self.last_redial.is_some_and(|at| now < at + REDIALS_REMEMBERED);
        if recent { self.redials.min(MAX_REDIALS) } else { 0 }
    }

    /// Returns when the next dial is due, if there was one before.
    pub(super) fn next(&self, seed: u64, key: PathKey) -> Option<Instant> {
        Some(self.last? + self.delay(seed, key))
    }

    /// Returns the delay between the last dial of this path and the next.
    pub(super) fn delay(&self, seed: u64, key: PathKey) -> Duration {
        let (failures, longest) = match (self.answered, self.answered_failures) {
            (true, 0) => return Duration::ZERO,
            (true, failures) => (failures - 1, MAX_ANSWERED_RETRY_DELAY),
            (false, _) => (self.failures, MAX_RETRY_DELAY),
        };
        let delay = MIN_RETRY_DELAY * 3u32.pow(failures.min(8));
        delay.min(longest).mul_f64(jitter(seed, key, self.count))
    }
}

/// Returns the factor by which a delay is shortened: the same for the same seed, path and attempt.
/// The seed 0 shortens nothing.
pub(super) fn jitter(seed: u64, key: impl Hash, count: u32) -> f64 {
    if seed == 0 {
        return 1.0;
    }
    let mut hasher = DefaultHasher::new();
    (seed, key, count).hash(&mut hasher);
    1.0 - JITTER * (hasher.finish() % 1024) as f64 / 1024.0
}
