//! A step of the window whose effect is awaited, and the direction of a round's queue.

use std::time::Duration;

use crate::rounds::Round;

/// The direction of the queue that a round shows, by the peer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueDirection {
    /// At least a part of it is in the direction that we send in.
    Forward,
    /// All of it is in the direction that the peer sends in.
    Reverse,
    /// There were no pings to tell.
    Unknown,
}

/// From this part on the effect of a step on the rate is beyond what rates vary by themselves.
const MIN_RATE_STEP: f64 = 0.15;

/// A step whose effect is awaited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowProbe {
    pub(crate) up: bool,
    /// The queue was full.
    pub(crate) overflow: bool,
    /// The window before the step.
    pub(crate) window: u64,
    /// The round trip before the step, and the queue in our direction.
    pub(crate) rtt: Duration,
    pub(crate) forward: Option<Duration>,
    /// Bytes per second before the step, and the part of the window that the step is.
    pub(crate) rate: f64,
    pub(crate) part: f64,
    /// By how much the queue changes if it is ours.
    pub(crate) expected: Duration,
}

impl WindowProbe {
    /// Returns the probe of a step by `part` of the window, from what `round` showed.
    pub(crate) fn new(up: bool, window: u64, round: &Round, part: f64) -> Self {
        let expected = round.min.mul_f64(part);
        let (rtt, forward, rate) = (round.min, round.forward_queue, round.rate());
        Self { up, overflow: false, window, rtt, forward, rate, part, expected }
    }

    /// Returns the probe of a step down by `part` that a loss in a full queue brought about.
    pub(crate) fn overflow(window: u64, round: &Round, part: f64) -> Self {
        Self { overflow: true, ..Self::new(false, window, round, part) }
    }

    /// Returns our share of what the path delivers, from 0 to 1, by the effect of the step.
    ///
    /// Where the window is the greater part of all that is in flight, a step down changes the queue and
    /// not the rate; where others fill the queue again, it is the rate that changes. The queue of a
    /// full buffer may stay as it is although it is ours, because the step only spared losses: then
    /// the rate stays, too.
    pub(crate) fn share(&self, round: &Round) -> f64 {
        let by_queue = self.queue_share(round);
        if self.overflow && self.part >= MIN_RATE_STEP {
            return by_queue.max(self.rate_share(round));
        }
        by_queue
    }

    /// Returns the mean of what the queue and the rate say of our share: surer than either.
    pub(crate) fn mean_share(&self, round: &Round) -> f64 {
        if self.up {
            return self.queue_share(round);
        }
        (self.queue_share(round) + self.rate_share(round)) / 2.0
    }

    /// Returns the greater of what the queue and the rate say of our share.
    pub(crate) fn greatest_share(&self, round: &Round) -> f64 {
        self.queue_share(round).max(self.rate_share(round))
    }

    /// Returns how much of a step down the rate did not follow, from 0 to 1.
    pub(crate) fn rate_share(&self, round: &Round) -> f64 {
        let change = (round.rate() / self.rate.max(1.0)).max(1e-3).ln();
        let left = change / (1.0 - self.part).min(0.999).ln();
        (1.0 - left).clamp(0.0, 1.0)
    }

    /// Returns how much of the expected change there was, from 0 to 1; by the queue in our direction where
    /// pings separate the directions.
    fn queue_share(&self, round: &Round) -> f64 {
        let change = self.change(round).as_secs_f64();
        (change / self.expected.as_secs_f64().max(1e-6)).min(1.0)
    }

    /// Returns by how much the queue changed in the direction of the step.
    pub(crate) fn change(&self, round: &Round) -> Duration {
        let (before, after) = match (self.forward, round.forward_queue) {
            (Some(before), Some(after)) => (before, after),
            _ => (self.rtt, round.min),
        };
        let (low, high) = if self.up { (before, after) } else { (after, before) };
        high.saturating_sub(low)
    }
}
