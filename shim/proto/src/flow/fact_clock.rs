//! Decides when a flow's facts are sent.
//!
//! A change is sent at once where somebody waits for it, and otherwise within [`BATCH_DELAY`]; never
//! more often than every [`MIN_SPACING`], because at gigabits the facts must not cost the data path.
//! Facts that the peer does not acknowledge are retransmitted, only the latest version, with
//! exponential backoff.

use std::time::{Duration, Instant};

use crate::snapshot::{RestoreError, get_flags, put_flags};
use crate::wire::codec::{get_varint, put_varint};

/// The delay of a change that nobody waits for. Half of it would double the packets and save nothing
/// measurable; twice as much would leave a failure twice the stale acknowledgements.
pub(super) const BATCH_DELAY: Duration = Duration::from_millis(5);

/// The least time between two versions of a flow's facts: at most a thousand a second and flow.
pub(super) const MIN_SPACING: Duration = Duration::from_millis(1);

/// Received bytes after which facts are sent without waiting for other changes.
pub const REPORT_AFTER_BYTES: u64 = 32 * 1024;

/// The first wait for an acknowledgement: two round trips of a far path, and the peer's 5 ms.
const INITIAL_RETRANSMIT_TIMEOUT: Duration = Duration::from_millis(250);

/// The longest wait for an acknowledgement.
const MAX_RETRANSMIT_TIMEOUT: Duration = Duration::from_secs(4);

/// How soon a change must be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The application changed something (end, reset, outcome): now, whatever was sent before.
    Now,
    /// Somebody probably waits: now, unless facts were sent just before.
    Early,
    /// Nobody waits.
    Soon,
}

/// The versions of a flow's facts and the times at which they are due.
#[derive(Debug)]
pub struct FactClock {
    version: u64,
    acked: u64,
    dirty: bool,
    /// When a change is due.
    due: Option<Instant>,
    last_sent: Option<Instant>,
    /// When the latest version is due again.
    retransmit_at: Option<Instant>,
    retransmit_timeout: Duration,
}

impl Default for FactClock {
    fn default() -> Self {
        Self {
            version: 0,
            acked: 0,
            dirty: false,
            due: None,
            last_sent: None,
            retransmit_at: None,
            retransmit_timeout: INITIAL_RETRANSMIT_TIMEOUT,
        }
    }
}

impl FactClock {
    /// Appends the versions to a snapshot. No time is in it: the next lane begins with all facts.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.version);
        put_varint(out, self.acked);
        put_flags(out, [self.dirty]);
    }

    /// Reads what [`put`](Self::put) has written.
    pub(super) fn get(record: &mut &[u8]) -> Result<Self, RestoreError> {
        let (version, acked) =
            (get_varint(record, "fact version")?, get_varint(record, "acknowledged version")?);
        let [dirty] = get_flags(record)?;
        Ok(Self { version, acked: acked.min(version), dirty, ..Self::default() })
    }

    /// Returns the version of the latest facts that were sent.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns whether the peer has the latest facts.
    pub fn is_acked(&self) -> bool {
        !self.dirty && self.acked == self.version
    }

    /// Returns when facts are due next.
    pub fn next(&self) -> Option<Instant> {
        match (self.due, self.retransmit_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes note that the facts changed; returns whether they are due at once.
    pub fn mark_dirty(&mut self, now: Instant, urgency: Urgency) -> bool {
        self.dirty = true;
        let after = |delay| self.last_sent.map_or(now, |last| last + delay).max(now);
        let due = match urgency {
            Urgency::Now => now,
            Urgency::Early => after(MIN_SPACING),
            Urgency::Soon => after(BATCH_DELAY),
        };
        self.due = Some(self.due.map_or(due, |d| d.min(due)));
        due <= now
    }

    /// Returns whether facts are due, for the first time or again.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next().is_some_and(|at| at <= now)
    }

    /// Takes note that the facts are sent now; `reachable` says whether any lane takes them.
    pub fn sent(&mut self, now: Instant, reachable: bool) {
        if self.dirty || self.version == 0 {
            self.version += 1;
            self.dirty = false;
            self.retransmit_timeout = INITIAL_RETRANSMIT_TIMEOUT;
        } else {
            self.retransmit_timeout = (self.retransmit_timeout * 2).min(MAX_RETRANSMIT_TIMEOUT);
        }
        self.due = None;
        self.last_sent = Some(now);
        // Without a lane there is nothing to wait for: the next lane begins with all facts.
        let waits = reachable && self.acked < self.version;
        self.retransmit_at = waits.then(|| now + self.retransmit_timeout);
    }

    /// Restarts the backoff because the lanes changed: the next retransmission of an unacknowledged
    /// version waits for the initial timeout.
    pub fn expedite(&mut self) {
        // The next retransmission doubles it.
        self.retransmit_timeout = INITIAL_RETRANSMIT_TIMEOUT / 2;
    }

    /// Returns whether the facts changed since they were last sent.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Takes note that the peer has this version.
    pub fn acked(&mut self, version: u64) {
        self.acked = self.acked.max(version.min(self.version));
        if self.acked == self.version {
            self.retransmit_at = None;
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
        assert!(clock.mark_dirty(t, Urgency::Soon), "the first facts are due at once");
        clock.sent(t, true);
        assert!(!clock.mark_dirty(t, Urgency::Soon));
        assert_eq!(clock.next(), Some(t + BATCH_DELAY));
        assert!(!clock.mark_dirty(t, Urgency::Early));
        assert_eq!(clock.next(), Some(t + MIN_SPACING));
        assert!(clock.mark_dirty(t, Urgency::Now));
    }

    #[test]
    fn facts_that_are_not_acknowledged_are_retransmitted_with_backoff() {
        let t = Instant::now();
        let mut clock = FactClock::default();
        clock.mark_dirty(t, Urgency::Now);
        clock.sent(t, true);
        assert_eq!(clock.next(), Some(t + INITIAL_RETRANSMIT_TIMEOUT));
        clock.sent(t, true);
        assert_eq!((clock.version(), clock.next()), (1, Some(t + INITIAL_RETRANSMIT_TIMEOUT * 2)));
        clock.acked(1);
        assert!(clock.is_acked());
        assert_eq!(clock.next(), None);
    }

    #[test]
    fn an_acknowledgement_of_an_old_version_does_not_settle_a_newer_one() {
        let t = Instant::now();
        let mut clock = FactClock::default();
        clock.mark_dirty(t, Urgency::Now);
        clock.sent(t, true);
        clock.mark_dirty(t, Urgency::Now);
        clock.sent(t, true);
        clock.acked(1);
        assert!(!clock.is_acked() && clock.next().is_some());
        clock.acked(99);
        assert!(clock.is_acked(), "a version beyond what was sent counts as the latest");
    }

    #[test]
    fn without_a_lane_nothing_is_retransmitted() {
        let t = Instant::now();
        let mut clock = FactClock::default();
        clock.mark_dirty(t, Urgency::Now);
        clock.sent(t, false);
        assert_eq!(clock.next(), None);
        assert!(!clock.is_acked());
    }
}
