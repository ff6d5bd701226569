//! How fast a path delivers, and what part of it is lost: the model of the path beside its round trips
//! (compare BBR's bottleneck bandwidth, Cardwell et al., ACM Queue 14(5), 2016).
//!
//! Rates are by round: what was acknowledged in it, by how long it took.

use std::time::{Duration, Instant};

use crate::rounds::Round;

/// Rounds whose greatest rate is the recent one, as many as BBR's filter has about.
const RECENT_ROUNDS: usize = 8;

/// How long the peak is remembered at least: longer than a competitor takes to be recognised, shorter
/// than a bulk transfer.
const PEAK_PERIOD: Duration = Duration::from_secs(15);

/// How long rates are averaged to see how steady they are: longer than what scheduling and acknowledgements
/// that come together make of a steady rate.
const SPAN: Duration = Duration::from_millis(400);
/// The part of a change in the smoothed one, and the most that counts of it: one step is another path, many
/// are an unsteady one. Of few changes each counts as much as any: a radio link would be taken for a competitor's
/// in its first seconds, and that lasts.
const UNSTEADINESS_GAIN: f64 = 0.0625;
const FIRST_CHANGES: f64 = 2.0;
/// A sender that comes and goes makes two or three.
const MIN_CHANGES: f64 = 4.0;
const MAX_CHANGE: f64 = 0.7;
/// From here on a rate is a radio link's: what the path delivered at best is no capacity that one could hold half of,
/// and what a single step shows is chance.
const UNSTEADY: f64 = 0.15;

/// The part of a round in the smoothed loss.
const LOSS_GAIN: f64 = 0.25;

/// The rates of one path, in bytes per second.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery {
    recent: [f64; RECENT_ROUNDS],
    next: usize,
    /// The greatest rate of this period and of the one before.
    peak: [f64; 2],
    began: Option<Instant>,
    loss: f64,
    /// The span of time under way: how long it was so far and what was delivered in it; the rate of the one before.
    span: Option<(Duration, u64)>,
    span_rate: Option<f64>,
    /// By how much the rate rises and falls from one span to the next, as a logarithm, smoothed.
    rise: f64,
    fall: f64,
    changes: f64,
}

impl Delivery {
    /// Takes in a round. `keep_peak`: others use the path, and what was measured before is not forgotten.
    pub(super) fn on_round(&mut self, now: Instant, round: &Round, keep_peak: bool) {
        let rate = round.rate();
        // Acknowledgements that come together make one round fast and the next one slow.
        let steady = rate.min(self.last());
        self.next = (self.next + 1) % RECENT_ROUNDS;
        self.recent[self.next] = rate;
        self.loss += (round.loss() - self.loss) * LOSS_GAIN;
        let began = *self.began.get_or_insert(now);
        if now.saturating_duration_since(began) >= PEAK_PERIOD && !keep_peak {
            self.peak = [0.0, self.peak[0]];
            self.began = Some(now);
        }
        self.peak[0] = self.peak[0].max(steady);
    }

    /// Takes in a round with the window in use on a path that is known to be full.
    pub(super) fn on_full_round(&mut self, round: &Round) {
        let (time, delivered) = self.span.get_or_insert((Duration::ZERO, 0));
        *time += round.duration;
        *delivered += round.delivered;
        if *time < SPAN {
            return;
        }
        let rate = *delivered as f64 / time.as_secs_f64();
        self.span = None;
        if let Some(before) = self.span_rate.replace(rate) {
            let change = (rate.max(1.0) / before.max(1.0)).ln().clamp(-MAX_CHANGE, MAX_CHANGE);
            self.changes += 1.0;
            let gain = UNSTEADINESS_GAIN.max(1.0 / (self.changes + FIRST_CHANGES));
            self.rise += (change.max(0.0) - self.rise) * gain;
            self.fall += ((-change).max(0.0) - self.fall) * gain;
        }
    }

    /// Takes in that a round says nothing of the path's rate.
    pub(super) fn interrupt(&mut self) {
        (self.span, self.span_rate) = (None, None);
    }

    /// Returns by how much the rate changes from one span of 400 ms to the next, as a logarithm, on average. A
    /// rate that only rises or only falls is that of another path or window, and no unsteady one.
    pub(super) fn unsteadiness(&self) -> f64 {
        2.0 * self.rise.min(self.fall)
    }

    /// Returns whether the rate wanders as a radio link's does.
    pub(super) fn is_unsteady(&self) -> bool {
        self.changes >= MIN_CHANGES && self.unsteadiness() >= UNSTEADY
    }

    /// Forgets the peak but for the last rounds: the path is another.
    pub(super) fn forget_peak(&mut self) {
        self.peak = [0.0, self.recent()];
        self.began = None;
    }

    /// Returns the rate of the last round.
    pub(super) fn last(&self) -> f64 {
        self.recent[self.next]
    }

    /// Returns the greatest rate of the last rounds.
    pub(super) fn recent(&self) -> f64 {
        self.recent.iter().copied().fold(0.0, f64::max)
    }

    /// Returns the mean rate of the last rounds.
    pub(super) fn mean(&self) -> f64 {
        self.recent.iter().sum::<f64>() / RECENT_ROUNDS as f64
    }

    /// Returns the greatest rate that was held for two rounds in the last 15 to 30 s.
    pub(super) fn peak(&self) -> f64 {
        self.peak[0].max(self.peak[1])
    }

    /// Returns the smoothed part of what is sent that is lost.
    pub(super) fn loss(&self) -> f64 {
        self.loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes in rounds of 100 ms at these rates, in Mbit/s, each for a span of time.
    fn follow(delivery: &mut Delivery, rates: &[u64]) {
        for rate in rates {
            for _ in 0..4 {
                let duration = SPAN / 4;
                let delivered = rate * 125_000 * duration.as_millis() as u64 / 1000;
                delivery.on_full_round(&Round { duration, delivered, ..Round::default() });
            }
        }
    }

    #[test]
    fn a_rate_that_wanders_is_known_within_two_seconds_and_one_that_only_falls_is_another_path() {
        let mut delivery = Delivery::default();
        follow(&mut delivery, &[12, 8, 12, 7, 11]);
        assert!(delivery.is_unsteady(), "{}", delivery.unsteadiness());
        let mut delivery = Delivery::default();
        follow(&mut delivery, &[12, 8, 6, 4, 3]);
        assert_eq!(delivery.unsteadiness(), 0.0);
        // A newcomer takes half, and goes again.
        let mut delivery = Delivery::default();
        follow(&mut delivery, &[20; 20]);
        follow(&mut delivery, &[10, 10, 10, 20, 20, 20]);
        assert!(!delivery.is_unsteady(), "{}", delivery.unsteadiness());
    }
}
