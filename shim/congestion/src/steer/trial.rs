//! A step of the window whose effect is awaited, and where a round's queue is.

use std::time::Duration;

use crate::rounds::Round;

/// Whose queue a round shows, by the peer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There is one in our direction: at least a part of it.
    Ours,
    /// It is all in the other direction.
    Theirs,
    /// Pings do not tell.
    Unknown,
}

/// A step whose effect is awaited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    pub(super) up: bool,
    /// The window before.
    pub(super) window: u64,
    /// The round trip before, and the queue in our direction.
    pub(super) rtt: Duration,
    pub(super) forward: Option<Duration>,
    /// By how much it changes if the queue is ours.
    pub(super) expected: Duration,
}

impl Trial {
    /// A step of `part` of the window from what `round` showed.
    pub(super) fn new(up: bool, window: u64, round: &Round, part: f64) -> Self {
        let expected = round.min.mul_f64(part);
        Self { up, window, rtt: round.min, forward: round.forward, expected }
    }

    /// How much of the expected change there was, from 0 to 1. Where pings tell our queue from that
    /// of the other direction, by ours.
    pub(super) fn share(&self, round: &Round) -> f64 {
        let (before, after) = match (self.forward, round.forward) {
            (Some(before), Some(after)) => (before, after),
            _ => (self.rtt, round.min),
        };
        let (low, high) = if self.up { (before, after) } else { (after, before) };
        let change = high.saturating_sub(low).as_secs_f64();
        (change / self.expected.as_secs_f64().max(1e-6)).min(1.0)
    }
}
