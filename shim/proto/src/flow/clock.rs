//! When a flow's state is stated.
//!
//! A change is stated at once where somebody waits for it, else within [`SOON`], and never more
//! often than every [`SPACING`]: at gigabits the statements must not cost the data path. What the
//! peer does not echo is stated again, latest only, with growing patience.

use std::time::{Duration, Instant};

/// A change that nobody waits for is stated after this long. Halving it doubles the packets and
/// saves nothing that shows; doubling it lets a failure find twice the stale acknowledgements.
pub(super) const SOON: Duration = Duration::from_millis(5);

/// At most a thousand statements a second and flow.
pub(super) const SPACING: Duration = Duration::from_millis(1);

/// Received bytes that make a statement due before `SOON`.
pub const EVERY_BYTES: u64 = 32 * 1024;

/// The first wait for an echo: two round trips of a far path, and the peer's 5 ms.
const FIRST_RESTATE: Duration = Duration::from_millis(250);

/// The longest wait for an echo.
const LAST_RESTATE: Duration = Duration::from_secs(4);

/// How much a change matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The application changed something (end, reset, outcome): now, whatever was said before.
    Now,
    /// Somebody probably waits: now, unless something was said just before.
    Early,
    /// Nobody waits.
    Soon,
}

/// When a flow's state is due.
#[derive(Debug)]
pub struct FactClock {
    version: u64,
    echoed: u64,
    dirty: bool,
    due: Option<Instant>,
    last: Option<Instant>,
    restate: Option<Instant>,
    patience: Duration,
}

impl Default for FactClock {
    fn default() -> Self {
        Self {
            version: 0,
            echoed: 0,
            dirty: false,
            due: None,
            last: None,
            restate: None,
            patience: FIRST_RESTATE,
        }
    }
}

impl FactClock {
    /// The version of the latest statement.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The peer has the latest state.
    pub fn is_echoed(&self) -> bool {
        !self.dirty && self.echoed == self.version
    }

    /// When something is to be done.
    pub fn next(&self) -> Option<Instant> {
        match (self.due, self.restate) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Our state changed; returns whether it is due at once.
    pub fn touch(&mut self, now: Instant, urgency: Urgency) -> bool {
        self.dirty = true;
        let earliest = self.last.map_or(now, |last| last + SPACING);
        let due = match urgency {
            Urgency::Now => now,
            Urgency::Early => earliest.max(now),
            Urgency::Soon => self.last.map_or(now, |last| last + SOON).max(now),
        };
        self.due = Some(self.due.map_or(due, |d| d.min(due)));
        due <= now
    }

    /// Whether a change is due to be stated.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Whether the peer's echo is overdue.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.restate.is_some_and(|at| at <= now)
    }

    /// The state is stated now; `reachable` tells whether there is a lane that takes it.
    pub fn stated(&mut self, now: Instant, reachable: bool) {
        if self.dirty || self.version == 0 {
            self.version += 1;
            self.dirty = false;
            self.patience = FIRST_RESTATE;
        } else {
            self.patience = (self.patience * 2).min(LAST_RESTATE);
        }
        self.due = None;
        self.last = Some(now);
        // Without a lane there is nothing to wait for: the next lane begins with all states.
        self.restate = (reachable && self.echoed < self.version).then(|| now + self.patience);
    }

    /// The lanes changed: what waits for an echo begins to wait anew.
    pub fn hasten(&mut self) {
        self.patience = FIRST_RESTATE / 2;
    }

    /// Our state changed since it was last stated.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The peer has this version.
    pub fn echo(&mut self, version: u64) {
        self.echoed = self.echoed.max(version.min(self.version));
        if self.echoed == self.version {
            self.restate = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_urgent_change_is_due_at_once_and_a_common_one_soon() {
        let t = Instant::now();
        let mut clock = FactClock::default();
        assert!(clock.touch(t, Urgency::Soon), "the first state is due at once");
        clock.stated(t, true);
        assert!(!clock.touch(t, Urgency::Soon));
        assert_eq!(clock.next(), Some(t + SOON));
        assert!(!clock.touch(t, Urgency::Early));
        assert_eq!(clock.next(), Some(t + SPACING));
        assert!(clock.touch(t, Urgency::Now));
    }

    #[test]
    fn what_is_not_echoed_is_stated_again_with_growing_patience() {
        let t = Instant::now();
        let mut clock = FactClock::default();
        clock.touch(t, Urgency::Now);
        clock.stated(t, true);
        assert_eq!(clock.next(), Some(t + FIRST_RESTATE));
        clock.stated(t, true);
        assert_eq!((clock.version(), clock.next()), (1, Some(t + FIRST_RESTATE * 2)));
        clock.echo(1);
        assert!(clock.is_echoed());
        assert_eq!(clock.next(), None);
    }

    #[test]
    fn an_echo_of_an_old_version_does_not_settle_a_newer_one() {
        let t = Instant::now();
        let mut clock = FactClock::default();
        clock.touch(t, Urgency::Now);
        clock.stated(t, true);
        clock.touch(t, Urgency::Now);
        clock.stated(t, true);
        clock.echo(1);
        assert!(!clock.is_echoed() && clock.next().is_some());
        clock.echo(99);
        assert!(clock.is_echoed(), "an echo beyond what was stated counts as the latest");
    }

    #[test]
    fn without_a_lane_nothing_is_repeated() {
        let t = Instant::now();
        let mut clock = FactClock::default();
        clock.touch(t, Urgency::Now);
        clock.stated(t, false);
        assert_eq!(clock.next(), None);
        assert!(!clock.is_echoed());
    }
}
