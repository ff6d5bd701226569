//! What the log was told of late, so that what happens again and again (a stranger that dials, a
//! peer with the wrong key) is said once a minute and not four times a second.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The same thing is worth a line again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Different things in that time. Beyond that there is silence: a stranger can show a new key with
/// every dial, and must not fill the disk with them.
const MOST: usize = 256;

/// Remembers what was said.
#[derive(Debug)]
pub struct Said<K> {
    when: HashMap<K, Instant>,
    most: usize,
}

impl<K> Default for Said<K> {
    fn default() -> Self {
        Self::at_most(MOST)
    }
}

impl<K> Said<K> {
    /// Says no more than `most` different things in a minute.
    pub fn at_most(most: usize) -> Self {
        Self { when: HashMap::new(), most }
    }
}

impl<K: Eq + Hash> Said<K> {
    /// Whether `what` is to be said at `now`; if so it counts as said.
    pub fn is_news(&mut self, now: Instant, what: K) -> bool {
        let recent = |at: &Instant| now.saturating_duration_since(*at) < AGAIN_AFTER;
        if self.when.get(&what).is_some_and(recent) {
            return false;
        }
        if self.when.len() >= self.most {
            self.when.retain(|_, at| recent(at));
        }
        let room = self.when.len() < self.most;
        if room {
            self.when.insert(what, now);
        }
        room
    }

    /// Forgets what `gone` says, so that it is news if it happens again.
    pub fn forget(&mut self, gone: impl Fn(&K) -> bool) {
        self.when.retain(|what, _| !gone(what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_is_said_once_a_minute_or_after_it_was_forgotten() {
        let (mut said, t) = (Said::default(), Instant::now());
        assert!(said.is_news(t, 1) && said.is_news(t, 2));
        assert!(!said.is_news(t + AGAIN_AFTER / 2, 1));
        assert!(said.is_news(t + AGAIN_AFTER, 1));
        said.forget(|what| *what == 1);
        assert!(said.is_news(t + AGAIN_AFTER, 1));
    }

    #[test]
    fn a_flood_of_different_things_is_cut_off_and_does_not_last() {
        let (mut said, t) = (Said::default(), Instant::now());
        let count = (0..10_000).filter(|what| said.is_news(t, *what)).count();
        assert_eq!(count, MOST);
        assert!(said.is_news(t + AGAIN_AFTER, 10_000));
        assert!(said.when.len() <= MOST);
    }
}
