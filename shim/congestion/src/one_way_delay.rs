//! Estimates the queue in our own direction from pings that the peer's clock timed (compare LEDBAT's
//! one-way delay, RFC 6817 §2).
//!
//! The two clocks may drift apart (50 millionths at worst: a millisecond in 20 s), so the least delay
//! is remembered for one to two [`BASE_PERIOD`]s only. Bulk both ways empties each queue now and then,
//! which is all that is needed; bulk one way never does, so that its standing queue comes to count
//! as none, but then round trips tell the same.

use std::time::{Duration, Instant};

/// How long the least delay is kept at least: the drift of two clocks stays below half a millisecond.
const BASE_PERIOD: Duration = Duration::from_secs(10);

/// The one-way delay of one path.
#[derive(Clone, Debug, Default)]
pub(super) struct OneWayDelay {
    /// The least delay of this period and of the one before.
    least: [Option<i64>; 2],
    began: Option<Instant>,
}

impl OneWayDelay {
    /// Takes in that a ping took `micros` to the peer by two clocks; returns the queue that it waited in.
    pub(super) fn on_delay(&mut self, now: Instant, micros: i64) -> Duration {
        let began = *self.began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        if age >= BASE_PERIOD {
            let before = if age < 2 * BASE_PERIOD { self.least[0] } else { None };
            self.least = [None, before];
            self.began = Some(now);
        }
        self.least[0] = Some(self.least[0].map_or(micros, |least| least.min(micros)));
        let least = self.least.iter().flatten().min().copied().unwrap_or(micros);
        Duration::from_micros(micros.saturating_sub(least).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_queue_is_what_a_ping_took_beyond_the_least() {
        let (mut delay, start) = (OneWayDelay::default(), Instant::now());
        assert_eq!(delay.on_delay(start, -7_000_000), Duration::ZERO);
        assert_eq!(delay.on_delay(start, -6_995_000), 5 * MS);
        assert_eq!(delay.on_delay(start, -7_001_000), Duration::ZERO);
        assert_eq!(delay.on_delay(start, -6_995_000), 6 * MS);
        assert_eq!(delay.on_delay(start, i64::MAX).as_micros(), i64::MAX as u128);
    }

    #[test]
    fn a_least_delay_is_forgotten_after_a_period_or_two() {
        let (mut delay, start) = (OneWayDelay::default(), Instant::now());
        delay.on_delay(start, 0);
        assert_eq!(delay.on_delay(start + 9 * SECOND, 4_000), 4 * MS);
        assert_eq!(delay.on_delay(start + 11 * SECOND, 4_000), 4 * MS);
        assert_eq!(delay.on_delay(start + 22 * SECOND, 4_000), Duration::ZERO);
        delay.on_delay(start + 23 * SECOND, 0);
        assert_eq!(delay.on_delay(start + 60 * SECOND, 9_000), Duration::ZERO, "an idle lane");
    }
}
