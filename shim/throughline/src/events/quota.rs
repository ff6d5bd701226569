//! How much of the log and of the events one peer may cause.
//!
//! A peer decides how often its lanes come and go, are suspected, migrate, are refused. What it causes
//! beyond its quota is counted and said once a minute, so that it neither fills the disk nor pushes
//! everything else out of sight: each peer has a quota of its own.

use std::time::{Duration, Instant};

use throughline_proto::throttle::{Distinct, LogThrottle, TokenBucket};

/// Events at once: more than sixteen lanes cause that fail and come back together, twice.
const MAX_BURST: u32 = 256;
/// Interval between events in the long run: about what ten lanes on bad radio links cause.
const EVENT_INTERVAL: Duration = Duration::from_millis(125);
/// Lines of the log that are no events, such as violations: at once, and in the long run.
const MAX_LINES: u32 = 32;
const LINE_INTERVAL: Duration = Duration::from_secs(2);
/// Refused flows reported in a second.
pub(super) const MAX_REFUSED_PER_SECOND: usize = 10;
/// How often it is said that events of a peer are suppressed.
const NOTICE_INTERVAL: Duration = Duration::from_secs(60);

/// What a peer may still cause.
#[derive(Debug)]
pub(super) struct Quota {
    /// Events that an operator sees; the others have a bucket of their own.
    events: TokenBucket,
    details: TokenBucket,
    lines: TokenBucket,
    pub(super) refused_flows: LogThrottle<Distinct>,
    notices: LogThrottle<()>,
}

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Emit it.
    Emit,
    /// Leave it out.
    Suppress,
    /// Leave it out, and say that so many are.
    Notice(u64),
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            events: TokenBucket::new(MAX_BURST, EVENT_INTERVAL),
            details: TokenBucket::new(MAX_BURST, EVENT_INTERVAL),
            lines: TokenBucket::new(MAX_LINES, LINE_INTERVAL),
            refused_flows: LogThrottle::new(MAX_REFUSED_PER_SECOND, Duration::from_secs(1)),
            notices: LogThrottle::new(1, NOTICE_INTERVAL),
        }
    }
}

impl Quota {
    /// Judges an event of this level.
    pub(super) fn judge(&mut self, now: Instant, level: tracing::Level) -> Verdict {
        let bucket =
            if level > tracing::Level::INFO { &mut self.details } else { &mut self.events };
        if bucket.take(now) {
            return Verdict::Emit;
        }
        match self.notices.admit(now, ()) {
            Some(before) => Verdict::Notice(before + 1),
            None => Verdict::Suppress,
        }
    }

    /// Returns whether a line that is no event may be logged.
    pub(super) fn admits_line(&mut self, now: Instant) -> bool {
        self.lines.take(now)
    }
}
