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

/// A step whose effect is awaited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowProbe {
    pub(crate) up: bool,
    /// The window before the step.
    pub(crate) window: u64,
    /// The round trip before the step, and the queue in our direction.
    pub(crate) rtt: Duration,
    pub(crate) forward: Option<Duration>,
    /// By how much the queue changes if it is ours.
    pub(crate) expected: Duration,
}

impl WindowProbe {
    /// Returns the probe of a step by `part` of the window, from what `round` showed.
    pub(crate) fn new(up: bool, window: u64, round: &Round, part: f64) -> Self {
        let expected = round.min.mul_f64(part);
        Self { up, window, rtt: round.min, forward: round.forward_queue, expected }
    }

    /// Returns how much of the expected change there was, from 0 to 1; by the queue in our direction where
    /// pings separate the directions.
    pub(crate) fn share(&self, round: &Round) -> f64 {
        let (before, after) = match (self.forward, round.forward_queue) {
            (Some(before), Some(after)) => (before, after),
            _ => (self.rtt, round.min),
        };
        let (low, high) = if self.up { (before, after) } else { (after, before) };
        let change = high.saturating_sub(low).as_secs_f64();
        (change / self.expected.as_secs_f64().max(1e-6)).min(1.0)
    }
}
