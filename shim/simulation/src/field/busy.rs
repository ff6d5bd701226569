//! A machine on which other processes want the processor: ours waits for its turn every now and then.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const MS: Duration = Duration::from_millis(1);

/// Between two waits our process runs for so many milliseconds.
const RUNS: std::ops::Range<u32> = 5..100;

/// When an end's process runs, and when it waits for its turn.
#[derive(Debug)]
pub(super) struct Busy {
    rng: SmallRng,
    /// The longest wait.
    longest: Duration,
    waits: bool,
    next: Instant,
}

impl Busy {
    pub(super) fn new(seed: u64, now: Instant, longest: Duration) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), longest, waits: false, next: now }
    }

    /// Returns when it begins or ends to wait.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Begins or ends to wait.
    pub(super) fn turn(&mut self, now: Instant) {
        self.waits = !self.waits;
        self.next = now
            + match self.waits {
                true => self.longest.mul_f64(self.rng.random_range(0.1..1.0)),
                false => self.rng.random_range(RUNS) * MS,
            };
    }
}
