//! Our share of a queue that others fill, by what steps up of the window have shown.
//!
//! What the others add to the queue during a step, by how it grew before, is not the step's doing: CUBIC, growing
//! again after a loss of its own, would else look like a share of ours. On a path whose rate wanders (radio) steps
//! say little; they are smaller and rarer there.

use std::time::{Duration, Instant};

use crate::delivery::Delivery;
use crate::rounds::Round;
use crate::window_probe::WindowProbe;

/// The least step up, and the step down.
pub(super) const PROBE_STEP: f64 = 0.25;
/// The largest step up where rounds are so long that there are few, and the same where the rate is not steady.
const MAX_PROBE_STEP: f64 = 1.0;
const MAX_UNSTEADY_STEP: f64 = 0.5;
const LONG_ROUND: Duration = Duration::from_millis(200);

/// A step up stays if its effect on the queue shows a share below this: half, less what noise makes ...
const FAIR_SHARE: f64 = 0.42;
/// ... and where it does not, the next step waits for so many rounds, on a steady path no longer than this.
const FAIR_ROUNDS: u32 = 16;
const MAX_FAIR_TIME: Duration = Duration::from_secs(2);

/// Below this share of the queue nobody need ask whether all of it is ours.
const SMALL_SHARE: f64 = 0.3;

/// A path is steady below this ([`Delivery::unsteadiness`]).
const MAX_UNSTEADINESS: f64 = 0.1;

/// The weight of a round in how the queue grows by itself, and the rounds after which a step is judged.
const TREND_WEIGHT: f64 = 0.5;
const STEP_ROUNDS: f64 = 2.0;

/// What steps up have shown.
#[derive(Clone, Debug)]
pub(super) struct OurShare {
    /// The share by the last of them.
    last: Option<f64>,
    /// When the next one may come.
    grow_at: Instant,
    /// The last round trip without a step, and by how many seconds they grow from round to round.
    last_min: Option<Duration>,
    trend: f64,
    /// What the path delivers does not wander.
    is_steady: bool,
}

impl OurShare {
    /// Nothing is known, and a step may come.
    pub(super) fn new(now: Instant) -> Self {
        Self { last: None, grow_at: now, last_min: None, trend: 0.0, is_steady: true }
    }

    /// Takes in what the path delivers.
    pub(super) fn on_delivery(&mut self, delivery: &Delivery) {
        self.is_steady = delivery.unsteadiness() < MAX_UNSTEADINESS;
    }

    /// Takes in a round without a step: how the queue grows by itself.
    pub(super) fn follow(&mut self, round: &Round) {
        if let Some(last) = self.last_min.replace(round.min) {
            let change = round.min.as_secs_f64() - last.as_secs_f64();
            self.trend += (change - self.trend) * TREND_WEIGHT;
        }
    }

    /// Takes in that a step makes the next round differ from the last.
    pub(super) fn interrupt(&mut self) {
        self.last_min = None;
    }

    /// Returns whether a step has shown a share.
    pub(super) fn is_known(&self) -> bool {
        self.last.is_some()
    }

    /// Returns whether it is known to be small, for certain.
    pub(super) fn is_small(&self) -> bool {
        self.is_steady && self.last.is_some_and(|share| share < SMALL_SHARE)
    }

    /// Returns whether the next step up may come.
    pub(super) fn may_grow(&self, now: Instant) -> bool {
        now >= self.grow_at
    }

    /// Returns the next step up, as a part of the window: far below a fair share as large as it may be and not
    /// pass that.
    pub(super) fn step_up(&self, round: &Round) -> f64 {
        let share = self.last.unwrap_or(FAIR_SHARE).max(0.01);
        let most = match round.min >= LONG_ROUND {
            true if self.is_steady => MAX_PROBE_STEP,
            true => MAX_UNSTEADY_STEP,
            false => PROBE_STEP,
        };
        ((FAIR_SHARE / share - 1.0) / 2.0).clamp(PROBE_STEP, most)
    }

    /// Returns what a step up shows of our share.
    pub(super) fn by_step_up(&self, probe: &WindowProbe, round: &Round) -> f64 {
        let others = STEP_ROUNDS * self.trend.max(0.0) / probe.expected.as_secs_f64().max(1e-6);
        (probe.mean_share(round) - others).max(0.0)
    }

    /// Takes in what a step up has shown; returns whether it is less than a fair share.
    pub(super) fn on_step_up(&mut self, share: f64) -> bool {
        self.last = Some(share);
        share < FAIR_SHARE
    }

    /// Has the next step up wait, since the last one has shown a fair share.
    pub(super) fn wait(&mut self, now: Instant, round: &Round) {
        let most = if self.is_steady { MAX_FAIR_TIME } else { Duration::MAX };
        self.grow_at = now + (FAIR_ROUNDS * round.duration).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn round(rtt: Duration) -> Round {
        Round { min: rtt, duration: rtt, ..Round::default() }
    }

    #[test]
    fn what_the_queue_grows_by_itself_is_not_our_share() {
        let mut share = OurShare::new(Instant::now());
        (0..20).for_each(|n| share.follow(&round((400 + 10 * n) * MS)));
        // A step of half of a window that is a tenth of what is in flight, over two rounds.
        let probe = WindowProbe::new(true, 100_000, &round(600 * MS), 0.5);
        let shown = share.by_step_up(&probe, &round((600 + 20 + 30) * MS));
        assert!((0.09..0.11).contains(&shown), "{shown}");
        // A queue that shrinks by itself adds nothing.
        (0..20).for_each(|n| share.follow(&round((600 - 10 * n) * MS)));
        assert_eq!(share.by_step_up(&probe, &round(630 * MS)), 0.1);
    }

    #[test]
    fn steps_are_bold_where_rounds_are_long_and_the_path_is_steady() {
        let mut share = OurShare::new(Instant::now());
        assert!(share.on_step_up(0.05) && share.is_small() && share.is_known());
        assert_eq!([20, 400].map(|rtt| share.step_up(&round(rtt * MS))), [0.25, 1.0]);
        share.is_steady = false;
        assert_eq!([20, 400].map(|rtt| share.step_up(&round(rtt * MS))), [0.25, 0.5]);
        assert!(!share.is_small(), "chance may have it");
    }
}
