//! Delay that varies from packet to packet, or with time.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

/// How much longer than the propagation delay a packet takes. The extra delay of every kind is
/// between nothing and `spread`, all values equally likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// No longer.
    None,
    /// Drawn for each packet. A packet that is late holds up those behind it, as one queue does: the
    /// order is kept, and little of the variation is left where packets are close.
    Ordered {
        /// The most.
        spread: Duration,
    },
    /// Drawn for each packet, which overtakes whatever is later: several paths below one link, or
    /// netem's `delay` without a rate.
    Unordered {
        /// The most.
        spread: Duration,
    },
    /// Drawn anew after each `hold`, for all packets meanwhile. The order is kept.
    Stepped {
        /// The most.
        spread: Duration,
        /// How long a value stays.
        hold: Duration,
    },
    /// Wanders: the delays of two packets so far apart in time as `memory` have a correlation of 1/e
    /// (an Ornstein–Uhlenbeck process, Physical Review 36, 1930). The order is kept.
    Correlated {
        /// The most.
        spread: Duration,
        /// The time constant.
        memory: Duration,
    },
}

/// What a kind of jitter has to remember.
#[derive(Clone, Debug, Default)]
pub(crate) struct JitterState {
    /// When the value was drawn.
    drawn: Option<Instant>,
    /// Stepped: from 0 to 1. Correlated: a standard normal deviate.
    value: f64,
}

impl Jitter {
    /// Returns whether packets overtake each other.
    pub(crate) fn reorders(self) -> bool {
        matches!(self, Self::Unordered { .. })
    }
}

impl JitterState {
    /// Returns how much longer the packet that leaves the line at `at` takes.
    pub(crate) fn next(&mut self, jitter: Jitter, at: Instant, rng: &mut StdRng) -> Duration {
        match jitter {
            Jitter::None => Duration::ZERO,
            Jitter::Ordered { spread } | Jitter::Unordered { spread } => {
                spread.mul_f64(rng.random())
            }
            Jitter::Stepped { spread, hold } => {
                if self.elapsed(at).is_none_or(|elapsed| elapsed >= hold) {
                    (self.drawn, self.value) = (Some(at), rng.random());
                }
                spread.mul_f64(self.value.clamp(0.0, 1.0))
            }
            Jitter::Correlated { spread, memory } => {
                let kept = self.elapsed(at).map_or(0.0, |elapsed| {
                    (-elapsed.as_secs_f64() / memory.as_secs_f64().max(1e-9)).exp()
                });
                self.value = kept * self.value + (1.0 - kept * kept).sqrt() * normal(rng);
                self.drawn = Some(at);
                spread.mul_f64(normal_cdf(self.value))
            }
        }
    }

    fn elapsed(&self, at: Instant) -> Option<Duration> {
        self.drawn.map(|drawn| at.saturating_duration_since(drawn))
    }
}

/// Draws a standard normal deviate (Box and Muller, Annals of Mathematical Statistics 29, 1958).
pub(crate) fn normal(rng: &mut StdRng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// Returns the normal distribution function, within 0.01: the logistic function with the usual scale.
fn normal_cdf(value: f64) -> f64 {
    1.0 / (1.0 + (-1.702 * value).exp())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SPREAD: Duration = Duration::from_millis(40);

    /// Extra delays in milliseconds of packets a millisecond apart.
    fn delays(jitter: Jitter) -> Vec<f64> {
        let (mut state, mut rng) = (JitterState::default(), StdRng::seed_from_u64(7));
        let t0 = Instant::now();
        let delay = |i| state.next(jitter, t0 + i * MS, &mut rng).as_secs_f64() * 1e3;
        (0..100_000).map(delay).collect()
    }

    fn mean(delays: &[f64]) -> f64 {
        delays.iter().sum::<f64>() / delays.len() as f64
    }

    /// Correlation of delays that are `lag` packets apart.
    fn correlation(delays: &[f64], lag: usize) -> f64 {
        let mean = mean(delays);
        let products = delays.iter().zip(&delays[lag..]).map(|(a, b)| (a - mean) * (b - mean));
        let variance: f64 = delays.iter().map(|delay| (delay - mean).powi(2)).sum();
        products.sum::<f64>() / variance
    }

    #[test]
    fn every_kind_spreads_evenly_between_nothing_and_the_most() {
        for jitter in [
            Jitter::Ordered { spread: SPREAD },
            Jitter::Unordered { spread: SPREAD },
            Jitter::Stepped { spread: SPREAD, hold: 20 * MS },
            Jitter::Correlated { spread: SPREAD, memory: 20 * MS },
        ] {
            let delays = delays(jitter);
            assert!(delays.iter().all(|delay| (0.0..=40.0).contains(delay)), "{jitter:?}");
            assert!((19.0..21.0).contains(&mean(&delays)), "{jitter:?}: {}", mean(&delays));
            let low = delays.iter().filter(|delay| **delay < 10.0).count();
            assert!((22_000..28_000).contains(&low), "{jitter:?}: {low} in the first quarter");
        }
    }

    #[test]
    fn independent_delays_have_no_memory_and_correlated_ones_forget_with_their_time_constant() {
        let independent = delays(Jitter::Ordered { spread: SPREAD });
        assert!(correlation(&independent, 1).abs() < 0.02);
        let correlated = delays(Jitter::Correlated { spread: SPREAD, memory: 20 * MS });
        assert!(correlation(&correlated, 1) > 0.9);
        let after_memory = correlation(&correlated, 20);
        assert!((0.25..0.5).contains(&after_memory), "{after_memory}, about 1/e is wanted");
        assert!(correlation(&correlated, 200).abs() < 0.1);
    }

    #[test]
    fn a_stepped_delay_stays_for_its_time() {
        let delays = delays(Jitter::Stepped { spread: SPREAD, hold: 100 * MS });
        let changes = delays.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 999);
        assert!(delays[..100].iter().all(|delay| *delay == delays[0]));
    }
}
