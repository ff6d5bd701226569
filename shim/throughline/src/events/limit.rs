//! How often that is told which a stranger to this host can cause at will. What is not told is
//! counted, and the next one that is tells how many there were.

use std::time::{Duration, Instant};

use throughline_proto::throttle::Said;
use throughline_proto::types::PeerId;

/// Refused flows told in one second.
pub(super) const REFUSED_A_SECOND: u32 = 10;

/// Unknown keys told in a minute, each once. A key is made in microseconds, so that a flood shows a
/// new one with every dial: at this rate it needs an hour to push everything else out of the ring.
pub(super) const STRANGERS_A_MINUTE: usize = 16;

/// Refused flows in the present second.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Refusals {
    /// How many were not told since the last one that was; `None` if this one is not told either.
    pub(super) fn next(&mut self, now: Instant) -> Option<u64> {
        let second = Duration::from_secs(1);
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= second) {
            self.since = Some(now);
            self.told = 0;
        }
        if self.told == REFUSED_A_SECOND {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// Unknown keys that dialled of late.
#[derive(Debug)]
pub(super) struct Strangers {
    said: Said<PeerId>,
    untold: u64,
}

impl Default for Strangers {
    fn default() -> Self {
        Self { said: Said::at_most(STRANGERS_A_MINUTE), untold: 0 }
    }
}

impl Strangers {
    /// As [`Refusals::next`].
    pub(super) fn next(&mut self, now: Instant, key: PeerId) -> Option<u64> {
        if !self.said.is_news(now, key) {
            self.untold += 1;
            return None;
        }
        Some(std::mem::take(&mut self.untold))
    }
}
