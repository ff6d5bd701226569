//! The queue in our own direction, from pings that the peer's clock timed.
//!
//! The two clocks may drift apart (50 millionths at worst: a millisecond in 20 s), so the least delay
//! is remembered for one to two [`PERIOD`]s only. Bulk both ways empties each queue now and then,
//! which is all that is needed; bulk one way never does, so that its standing queue comes to count
//! as none, but then round trips tell the same.

use std::time::{Duration, Instant};

/// How long the least delay is kept at least.
const PERIOD: Duration = Duration::from_secs(10);

/// Follows the delay of one path.
#[derive(Clone, Debug, Default)]
pub(super) struct Forward {
    /// The least delay of this period and of the one before.
    least: [Option<i64>; 2],
    began: Option<Instant>,
}

impl Forward {
    /// A ping took `micros` to the peer by two clocks; the queue that it waited in.
    pub(super) fn on_delay(&mut self, now: Instant, micros: i64) -> Duration {
        let began = *self.began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        if age >= PERIOD {
            let before = if age < 2 * PERIOD { self.least[0] } else { None };
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
        let (mut forward, start) = (Forward::default(), Instant::now());
        assert_eq!(forward.on_delay(start, -7_000_000), Duration::ZERO);
        assert_eq!(forward.on_delay(start, -6_995_000), 5 * MS);
        assert_eq!(forward.on_delay(start, -7_001_000), Duration::ZERO);
        assert_eq!(forward.on_delay(start, -6_995_000), 6 * MS);
        assert_eq!(forward.on_delay(start, i64::MAX).as_micros(), i64::MAX as u128);
    }

    #[test]
    fn a_least_delay_is_forgotten_after_a_period_or_two() {
        let (mut forward, start) = (Forward::default(), Instant::now());
        forward.on_delay(start, 0);
        assert_eq!(forward.on_delay(start + 9 * SECOND, 4_000), 4 * MS);
        assert_eq!(forward.on_delay(start + 11 * SECOND, 4_000), 4 * MS);
        assert_eq!(forward.on_delay(start + 22 * SECOND, 4_000), Duration::ZERO);
        forward.on_delay(start + 23 * SECOND, 0);
        assert_eq!(forward.on_delay(start + 60 * SECOND, 9_000), Duration::ZERO, "an idle lane");
    }
}
