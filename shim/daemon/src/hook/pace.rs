//! How often the command of `on-event` runs. Pure.

use std::time::{Duration, Instant};

use throughline_proto::throttle::TokenBucket;

/// So many at once, and then one in an interval. What wants attention has a bucket of its own: a burst of lanes that
/// come up does not keep it away.
const BURST: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Pace {
    usual: TokenBucket,
    attention: TokenBucket,
    left_out: u64,
}

impl Default for Pace {
    fn default() -> Self {
        let bucket = || TokenBucket::new(BURST, INTERVAL);
        Self { usual: bucket(), attention: bucket(), left_out: 0 }
    }
}

impl Pace {
    /// Returns how many events were left out before, if the command is to run for one now.
    pub(super) fn admit(&mut self, now: Instant, wants_attention: bool) -> Option<u64> {
        let bucket = if wants_attention { &mut self.attention } else { &mut self.usual };
        if !bucket.take(now) {
            self.leave_out(1);
            return None;
        }
        Some(std::mem::take(&mut self.left_out))
    }

    /// Counts events that were left out.
    pub(super) fn leave_out(&mut self, events: u64) {
        self.left_out += events;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_told_in_part_with_how_much_is_left_out_and_keeps_nothing_important_away() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let admitted = (0..100).filter(|_| pace.admit(now, false).is_some()).count();
        assert_eq!(admitted, 20);
        assert_eq!(pace.admit(now, true), Some(80));
        assert_eq!(pace.admit(now, true), Some(0));
        pace.leave_out(7);
        assert_eq!(pace.admit(now + INTERVAL, false), Some(7));
        assert_eq!(pace.admit(now + INTERVAL, false), None);
    }
}
