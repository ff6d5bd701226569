//! A token bucket: so many at once, and so many a second in the long run.

use std::time::{Duration, Instant};

/// Bounds a rate. Sans-I/O: feed it occurrences with `now`.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// What the bucket holds, in tokens.
    level: f64,
    capacity: f64,
    /// How long one token takes to come.
    interval: Duration,
    updated_at: Option<Instant>,
}

impl TokenBucket {
    /// Creates a full bucket of `capacity` tokens, into which one drips every `interval`.
    pub fn new(capacity: u32, interval: Duration) -> Self {
        let capacity = f64::from(capacity);
        Self { level: capacity, capacity, interval, updated_at: None }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(now, 1)
    }

    /// Takes so many tokens, if there are as many.
    pub fn take_many(&mut self, now: Instant, count: u32) -> bool {
        let passed = self.updated_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.updated_at = Some(self.updated_at.map_or(now, |at| at.max(now)));
        let dripped = passed.as_secs_f64() / self.interval.as_secs_f64();
        self.level = (self.level + dripped).min(self.capacity);
        let taken = self.level >= f64::from(count);
        if taken {
            self.level -= f64::from(count);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_only_the_rate() {
        let (mut bucket, t) = (TokenBucket::new(10, Duration::from_millis(100)), Instant::now());
        let taken = |bucket: &mut TokenBucket, at| (0..100).filter(|_| bucket.take(at)).count();
        assert_eq!(taken(&mut bucket, t), 10);
        assert_eq!(taken(&mut bucket, t + Duration::from_millis(350)), 3);
        assert_eq!(taken(&mut bucket, t + Duration::from_secs(60)), 10, "no more than it holds");
        assert_eq!(taken(&mut bucket, t), 0, "a time that is past brings none");
        let later = t + Duration::from_secs(120);
        assert!(bucket.take_many(later, 8) && !bucket.take_many(later, 3));
        assert!(bucket.take_many(later, 2), "what is refused takes nothing");
    }
}
