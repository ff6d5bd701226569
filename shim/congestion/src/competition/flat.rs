//! Rounds that are all alike: where one competes, they raise the question whether there is anybody.

use std::time::{Duration, Instant};

use crate::rounds::Round;

/// Rounds that are alike for so long, at least, raise the question whether there is anybody ...
const FLAT_ROUNDS: u32 = 12;
const FLAT_TIME: Duration = Duration::from_millis(800);
/// ... where round trips differ by this at most.
pub(super) const FLAT_SPREAD: Duration = Duration::from_millis(2);

/// Rounds that are alike.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flat {
    since: Option<Instant>,
    rounds: u32,
    least: Duration,
    greatest: Duration,
}

impl Flat {
    /// Takes in a round; returns whether rounds have been alike for long.
    pub(super) fn on_round(&mut self, now: Instant, round: &Round) -> bool {
        let (least, greatest) = (self.least.min(round.min), self.greatest.max(round.min));
        if self.since.is_none() || round.lost > 0 || greatest - least > FLAT_SPREAD {
            *self = Self { since: Some(now), rounds: 0, least: round.min, greatest: round.min };
            return false;
        }
        (self.least, self.greatest, self.rounds) = (least, greatest, self.rounds + 1);
        let time = self.since.map_or(Duration::ZERO, |since| now - since);
        self.rounds >= FLAT_ROUNDS && time >= FLAT_TIME
    }
}
