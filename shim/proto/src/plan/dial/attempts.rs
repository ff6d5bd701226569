//! The pace of dials on one path.

use std::time::{Duration, Instant};

use crate::path::PathKey;

/// The interval between dials of a path while flows wait and no lane is up: a recovered path is
/// found within this and two round trips.
pub(in crate::plan) const FAST_DIAL_INTERVAL: Duration = Duration::from_millis(250);

/// After this long without a lane the interval grows to [`SLOW_DIAL_INTERVAL`].
pub(in crate::plan) const FAST_DIAL_PERIOD: Duration = Duration::from_secs(120);

pub(in crate::plan) const SLOW_DIAL_INTERVAL: Duration = Duration::from_secs(1);

/// After this long without a lane the interval grows to [`SLOWEST_DIAL_INTERVAL`].
const SLOW_DIAL_PERIOD: Duration = Duration::from_secs(600);

const SLOWEST_DIAL_INTERVAL: Duration = Duration::from_secs(5);

/// The delay before the first retry where no flow waits or another lane is up. Each failure
/// lengthens it by half.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(250);

/// The longest delay before a retry while there is demand.
pub(in crate::plan) const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// The longest delay before a retry without demand.
pub(in crate::plan) const MAX_IDLE_RETRY_DELAY: Duration = Duration::from_secs(30);

/// The largest fraction of its delay by which a dial is brought forward, so that the dials of many
/// sessions are spread.
const JITTER: f64 = 0.2;

/// How urgent the dials of a session are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Urgency {
    /// Flows wait, and no lane has been up for this long.
    Outage(Duration),
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
}

impl Attempts {
    /// Notes that a dial starts.
    pub(super) fn started(&mut self, now: Instant) {
        self.last = Some(now);
        self.count = self.count.wrapping_add(1);
    }

    /// Notes that a dial ended.
    pub(super) fn ended(&mut self, succeeded: bool) {
        self.failures = if succeeded { 0 } else { self.failures.saturating_add(1) };
    }

    /// Returns the number of failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns when the next dial is due, if there was one before.
    pub(super) fn next(&self, seed: u64, key: PathKey, urgency: Urgency) -> Option<Instant> {
        Some(self.last? + self.delay(seed, key, urgency))
    }

    /// Returns the delay between the last dial of this path and the next.
    pub(super) fn delay(&self, seed: u64, key: PathKey, urgency: Urgency) -> Duration {
        let retry = |longest| {
            let factor = 1.5f64.powi(self.failures.min(32) as i32).min(1000.0);
            MIN_RETRY_DELAY.mul_f64(factor).min(longest)
        };
        let delay = match urgency {
            Urgency::Outage(lasted) if lasted < FAST_DIAL_PERIOD => FAST_DIAL_INTERVAL,
            Urgency::Outage(lasted) if lasted < SLOW_DIAL_PERIOD => SLOW_DIAL_INTERVAL,
            Urgency::Outage(_) => SLOWEST_DIAL_INTERVAL,
            Urgency::Demand => retry(MAX_RETRY_DELAY),
            Urgency::Idle => retry(MAX_IDLE_RETRY_DELAY),
        };
        delay.mul_f64(jitter(seed, key, self.count))
    }
}

/// Returns the factor by which a delay is shortened: the same for the same seed, path and attempt.
/// The seed 0 shortens nothing.
fn jitter(seed: u64, key: PathKey, count: u32) -> f64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    if seed == 0 {
        return 1.0;
    }
    let mut hasher = DefaultHasher::new();
    (seed, key, count).hash(&mut hasher);
    1.0 - JITTER * (hasher.finish() % 1024) as f64 / 1024.0
}
