//! What is known of one suspicion while it lasts.

use std::time::{Duration, Instant};

use super::one_way::OneWayDetector;
use super::rules::{Rule, Rules};

/// How long a lane that proves nothing is kept. Its place is being dialed all the while.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// How long the advertisement that a lane is one-way gets to leave on the other lanes: the session
/// forgets it with the lane.
const CLOSE_FLUSH: Duration = Duration::from_millis(5);

/// A suspicion, from when the first end suspects the lane until neither does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Episode {
    rules: Rules,
    /// When the lane was suspected.
    pub(super) since: Instant,
    /// The suspicion is no longer a guess.
    pub(super) confirmed: bool,
    /// The silence is longer than any pause of the path.
    pub(super) failed: bool,
    /// Whether the peer's packets come.
    pub(super) one_way: OneWayDetector,
    /// Our direction is dead, the peer is being told, and then the lane is closed.
    pub(super) close_at: Option<Instant>,
    /// The episode before it ended with a migration, so its end says nothing of a false alarm.
    pub(super) began_by_migration: bool,
    /// That it began was reported.
    pub(super) announced: bool,
}

impl Episode {
    pub(super) fn new(now: Instant, rules: Rules) -> Self {
        Self {
            rules,
            since: now,
            confirmed: false,
            failed: false,
            one_way: OneWayDetector::default(),
            close_at: None,
            began_by_migration: false,
            announced: false,
        }
    }

    /// Returns the episode that follows where a suspected lane migrates.
    pub(super) fn after_migration(now: Instant, rules: Rules) -> Self {
        Self { began_by_migration: true, ..Self::new(now, rules) }
    }

    /// Returns whether the lane has proved nothing for so long that it is given up.
    pub(super) fn is_unresponsive(&self, now: Instant) -> bool {
        self.rules.apply(Rule::SilenceCloses) && now >= self.since + SILENCE_LIMIT
    }

    /// Closes the lane once the peer has been told why; returns when.
    pub(super) fn close_after_flush(&mut self, now: Instant) -> Instant {
        let flush = if self.rules.apply(Rule::OneWayFlush) { CLOSE_FLUSH } else { Duration::ZERO };
        *self.close_at.insert(now + flush)
    }
}
