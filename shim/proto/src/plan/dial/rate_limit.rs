//! A rate limit with a burst: the generic cell rate algorithm (ITU-T I.371).

use std::time::{Duration, Instant};

/// Admits one event each [`interval`](Self::interval) in the long run, and up to
/// [`burst`](Self::burst) at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateLimit {
    interval: Duration,
    burst: u32,
    /// When an event would come that keeps to the interval exactly.
    theoretical_arrival: Option<Instant>,
}

impl RateLimit {
    pub(super) const fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, theoretical_arrival: None }
    }

    /// Returns when the next event is admitted, if that is not now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let arrival = self.theoretical_arrival?;
        let tolerance = self.interval * self.burst.saturating_sub(1);
        // An instant before the clock began cannot be written, so the tolerance is added to now.
        (arrival > now + tolerance).then(|| arrival - tolerance)
    }

    /// Counts an event.
    pub(super) fn take(&mut self, now: Instant) {
        let arrival = self.theoretical_arrival.map_or(now, |at| at.max(now));
        self.theoretical_arrival = Some(arrival + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_admitted_at_once_and_then_one_event_each_interval() {
        let (t, interval) = (Instant::now(), Duration::from_secs(1));
        let mut limit = RateLimit::new(interval, 3);
        for _ in 0..3 {
            assert_eq!(limit.next(t), None);
            limit.take(t);
        }
        assert_eq!(limit.next(t), Some(t + interval));
        let mut admitted = 0;
        for tenth in 0..1000 {
            let now = t + tenth * interval / 10;
            if limit.next(now).is_none() {
                limit.take(now);
                admitted += 1;
            }
        }
        assert_eq!(admitted, 99);
    }

    #[test]
    fn an_unused_limit_fills_to_its_burst_and_no_further() {
        let (t, interval) = (Instant::now(), Duration::from_secs(1));
        let mut limit = RateLimit::new(interval, 3);
        limit.take(t);
        let later = t + 1000 * interval;
        let admitted = (0..10).filter(|_| {
            let admitted = limit.next(later).is_none();
            limit.take(later);
            admitted
        });
        assert_eq!(admitted.count(), 3);
    }
}
