//! Bounds how often something is reported that may happen again and again: an unknown peer that
//! dials, a peer with the wrong key, a flow that is refused.
//!
//! One key is reported once in an interval, and in an interval no more than so many keys: whoever
//! can cause the report can also make up a new key each time, and must neither fill the disk nor
//! push everything else out of sight. What is not reported is counted.

mod token_bucket;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use token_bucket::TokenBucket;

/// A line in the log is worth repeating after this.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Different lines in that interval: enough for every path of every peer, and at 200 bytes each
/// less than 3 MB an hour.
const MAX_LOG_LINES: usize = 256;

/// Decides whether an occurrence is reported. Sans-I/O: feed it occurrences with `now`.
#[derive(Debug)]
pub struct LogThrottle<K> {
    /// What was reported within the last interval, oldest first.
    recent: VecDeque<(Instant, K)>,
    max_reports: usize,
    interval: Duration,
    suppressed: u64,
}

/// A key that equals no other: only the number of reports in an interval is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Distinct;

impl PartialEq for Distinct {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl<K> Default for LogThrottle<K> {
    fn default() -> Self {
        Self::new(MAX_LOG_LINES, LOG_INTERVAL)
    }
}

impl<K> LogThrottle<K> {
    /// Reports each key once in `interval`, and at most `max_reports` keys in it.
    pub const fn new(max_reports: usize, interval: Duration) -> Self {
        Self { recent: VecDeque::new(), max_reports, interval, suppressed: 0 }
    }

    /// Reports each key once until it is forgotten, and at most `max_reports` keys.
    pub const fn until_forgotten(max_reports: usize) -> Self {
        Self::new(max_reports, Duration::MAX)
    }
}

impl<K: PartialEq> LogThrottle<K> {
    /// Returns how many occurrences were suppressed since the last report, if this one is to be
    /// reported; `None` suppresses it.
    pub fn admit(&mut self, now: Instant, key: K) -> Option<u64> {
        let expired = |at: Instant| now.saturating_duration_since(at) >= self.interval;
        while self.recent.front().is_some_and(|(at, _)| expired(*at)) {
            self.recent.pop_front();
        }
        let full = self.recent.len() >= self.max_reports;
        if full || self.recent.iter().any(|(_, known)| *known == key) {
            self.suppressed += 1;
            return None;
        }
        self.recent.push_back((now, key));
        Some(std::mem::take(&mut self.suppressed))
    }

    /// Admits as [`admit`](Self::admit) does, and no more than `max` of the keys that `belongs` names
    /// in an interval: so that one group of keys leaves room for the others.
    pub fn admit_in_group(
        &mut self,
        now: Instant,
        key: K,
        max: usize,
        belongs: impl Fn(&K) -> bool,
    ) -> Option<u64> {
        let expired = |at: Instant| now.saturating_duration_since(at) >= self.interval;
        let live = self.recent.iter().filter(|(at, known)| !expired(*at) && belongs(known));
        if live.count() >= max {
            self.suppressed += 1;
            return None;
        }
        self.admit(now, key)
    }

    /// Forgets the keys that `is_moot` names, so that they are reported when they occur again.
    pub fn forget(&mut self, is_moot: impl Fn(&K) -> bool) {
        self.recent.retain(|(_, key)| !is_moot(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_reported_once_an_interval_or_after_it_was_forgotten() {
        let (mut throttle, t) = (LogThrottle::default(), Instant::now());
        assert_eq!((throttle.admit(t, 1), throttle.admit(t, 2)), (Some(0), Some(0)));
        assert_eq!(throttle.admit(t + LOG_INTERVAL / 2, 1), None);
        assert_eq!(throttle.admit(t + LOG_INTERVAL, 1), Some(1));
        throttle.forget(|key| *key == 1);
        assert_eq!(throttle.admit(t + LOG_INTERVAL, 1), Some(0));
    }

    #[test]
    fn a_flood_of_different_keys_is_cut_off_counted_and_does_not_last() {
        let (mut throttle, t) = (LogThrottle::default(), Instant::now());
        let reported = (0..10_000).filter(|key| throttle.admit(t, *key).is_some()).count();
        assert_eq!(reported, MAX_LOG_LINES);
        let suppressed = 10_000 - MAX_LOG_LINES as u64;
        assert_eq!(throttle.admit(t + LOG_INTERVAL, 10_000), Some(suppressed));
        assert!(throttle.recent.len() <= MAX_LOG_LINES);
    }

    #[test]
    fn one_group_of_keys_leaves_room_for_the_others() {
        let (mut throttle, t) = (LogThrottle::default(), Instant::now());
        let mut admit = |at, host: u32, reason: u32| {
            let of_host = |key: &(u32, u32)| key.0 == host;
            throttle.admit_in_group(at, (host, reason), 8, of_host)
        };
        let reported = (0..1000).filter(|reason| admit(t, 1, *reason).is_some()).count();
        assert_eq!(reported, 8);
        assert_eq!(admit(t, 2, 0), Some(992), "another host is heard");
        assert_eq!(admit(t + LOG_INTERVAL, 1, 1001), Some(0));
    }

    #[test]
    fn distinct_occurrences_are_bounded_by_their_number_alone() {
        let interval = Duration::from_secs(1);
        let (mut throttle, t) = (LogThrottle::new(10, interval), Instant::now());
        let reported = (0..25).filter(|_| throttle.admit(t, Distinct).is_some()).count();
        assert_eq!(reported, 10);
        assert_eq!(throttle.admit(t + interval, Distinct), Some(15));
        assert_eq!(throttle.admit(t + interval, Distinct), Some(0));
    }

    #[test]
    fn without_an_interval_a_key_is_reported_until_it_is_forgotten() {
        let (mut throttle, t) = (LogThrottle::until_forgotten(2), Instant::now());
        assert_eq!(throttle.admit(t, "a"), Some(0));
        assert_eq!(throttle.admit(t + Duration::from_secs(1 << 30), "a"), None);
        throttle.forget(|_| true);
        assert_eq!(throttle.admit(t, "a"), Some(1));
    }
}
