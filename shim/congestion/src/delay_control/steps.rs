//! The steps of the window, and what their effects show.

use std::time::{Duration, Instant};

use super::{
    ALONE_SHARE, ALONE_STEPS, DelayControl, MAX_FUTILE_STEPS, MAX_STEP, OTHERS_PROBE_ROUNDS,
    OWN_GROWTH_ROUNDS, SQUEEZED_OWN_SHARE, scale,
};
use crate::rounds::Round;
use crate::window_probe::{QueueDirection, WindowProbe};

/// Rounds with the target queue before a probe, whose own queue (one target) lasts for two.
const STEADY_ROUNDS: u32 = 7;
/// Up to this many rounds more, so that two senders do not probe in step.
const PROBE_JITTER_ROUNDS: u64 = 16;

/// The part of the expected change from which on a queue is ours: from 1.2 ms of 3, about the jitter
/// of the least of some samples, to 4 of 10.
const OWN_SHARE: f64 = 0.4;

impl DelayControl {
    /// Returns the window after a queue that is too long, with no probe under way.
    pub(super) fn on_long_queue(
        &mut self,
        now: Instant,
        queue: Duration,
        round: &Round,
        window: u64,
    ) -> u64 {
        let at_once = self.since_growth <= OWN_GROWTH_ROUNDS
            || queue >= self.competitor_queue()
            || self.others_seen_lately(now);
        if at_once || self.long_rounds >= OTHERS_PROBE_ROUNDS {
            self.step_down(round, window)
        } else {
            window
        }
    }

    /// Returns the window after the effect of a probe upwards.
    pub(super) fn after_growth(&mut self, probe: &WindowProbe, round: &Round, window: u64) -> u64 {
        let ours = probe.share(round);
        self.note_share(ours);
        let room = self.queue(round.min) <= self.max_queue()
            || self.direction(round) == QueueDirection::Reverse;
        if ours < OWN_SHARE && room {
            return self.probe_up(round, window);
        }
        self.end_probe();
        self.confirmed_full = (ours >= OWN_SHARE).then_some(probe.window);
        interpolate(probe.window, window, ours)
    }

    /// Takes in what a step has shown of our share.
    fn note_share(&mut self, share: f64) {
        if share >= ALONE_SHARE {
            self.alone += 1;
        } else if share < ALONE_SHARE / 2.0 && self.alone < ALONE_STEPS {
            self.alone = 0;
        }
    }

    /// Returns the window after the effect of a step down.
    pub(super) fn after_shrinking(
        &mut self,
        probe: &WindowProbe,
        now: Instant,
        round: &Round,
        window: u64,
    ) -> u64 {
        let rtt = round.min;
        let queue = self.queue(rtt);
        let ours = probe.share(round);
        let others = self.shows_others(now, round);
        let squeezed = others && self.is_squeezed(round);
        let own_share = if squeezed { SQUEEZED_OWN_SHARE } else { OWN_SHARE };
        if ours >= own_share {
            self.confirmed_full = Some(window);
        }
        self.note_share(ours);
        if queue <= self.max_queue() {
            self.futile_steps = 0;
            self.end_probe();
            return interpolate(window, probe.window, 1.0 - ours).min(window);
        }
        if ours >= own_share {
            self.futile_steps = 0;
            return self.step_down(round, window);
        }
        self.futile_steps += 1;
        if self.futile_steps == 1 {
            self.window_before_steps = probe.window;
        }
        // A newcomer's first step in the competition tells at once whether there is anybody. Where the rate wanders
        // one step tells nothing: it falls by as much in as long.
        let newcomer = self.capacity.is_none() && others;
        let one_suffices = (squeezed || newcomer) && !self.is_unsteady;
        let enough = if one_suffices { 1 } else { MAX_FUTILE_STEPS };
        if self.futile_steps < enough {
            self.end_probe();
            return interpolate(window, probe.window, ours);
        }
        (self.futile_steps, self.steady_rounds) = (0, 0);
        if others || self.capacity.is_none() {
            self.competing = Some(self.competition(now));
        } else {
            self.target.raise(now, rtt.saturating_sub(self.target()));
        }
        self.window_before_steps.max(probe.window)
    }

    /// Ends a probe; the next round is not judged by it.
    fn end_probe(&mut self) {
        (self.steady_rounds, self.long_rounds) = (0, 0);
        self.since_growth = OWN_GROWTH_ROUNDS + 1;
        self.skip_round = true;
    }

    pub(super) fn factor_to_target(&self, rtt: Duration) -> f64 {
        self.target_rtt().as_secs_f64() / rtt.as_secs_f64().max(1e-6)
    }

    pub(super) fn probe_up(&mut self, round: &Round, window: u64) -> u64 {
        let rtt = round.min;
        // Not in step with the other direction, whose window differs.
        let jitter = (window >> 5) + rtt.as_micros() as u64;
        self.probe_after = STEADY_ROUNDS + (jitter % PROBE_JITTER_ROUNDS) as u32;
        self.steady_rounds = 0;
        self.since_growth = 0;
        self.skip_round = true;
        let step = (self.target().as_secs_f64() / rtt.as_secs_f64().max(1e-6)).min(MAX_STEP);
        let step = if self.is_full(window) { step } else { MAX_STEP };
        self.probe = Some(WindowProbe::new(true, window, round, step));
        scale(window, 1.0 + step)
    }

    fn step_down(&mut self, round: &Round, window: u64) -> u64 {
        let factor = self.factor_to_target(round.min).max(1.0 - MAX_STEP);
        self.skip_round = true;
        self.probe = Some(WindowProbe::new(false, window, round, 1.0 - factor));
        scale(window, factor)
    }
}

/// Returns the window between `low` and `high` that keeps the part of a step which left the queue alone,
/// where `ours` of it did not. Losses during the step may have brought the window below `low`; then it
/// stays there.
fn interpolate(low: u64, high: u64, ours: f64) -> u64 {
    high.saturating_sub(scale(high.saturating_sub(low), ours.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_step_is_within_it_and_a_window_that_losses_shrank_stays() {
        assert_eq!(interpolate(100, 200, 0.0), 200);
        assert_eq!(interpolate(100, 200, 0.25), 175);
        assert_eq!(interpolate(100, 200, 1.0), 100);
        for ours in [-1.0, 0.0, 0.5, 1.0, 2.0, f64::NAN] {
            assert!((100..=200).contains(&interpolate(100, 200, ours)), "{ours}");
            assert_eq!(interpolate(200, 50, ours), 50, "{ours}");
        }
    }
}
