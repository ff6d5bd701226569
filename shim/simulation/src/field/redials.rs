//! How often an ISP is dialed beside a lane that has failed.

use std::time::{Duration, Instant};

/// How long a lane must be suspect until another one is dialed beside it once more, as the planner has it.
const REDIAL_AFTER: Duration = Duration::from_secs(1);
/// How long it is remembered that such a lane was dialed: the planner dials the next one later meanwhile.
const REDIALS_REMEMBERED: Duration = Duration::from_secs(60);

/// The dials of an ISP beside a lane that has failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Redials {
    last: Option<Instant>,
    count: u32,
}

impl Redials {
    /// Returns whether one is due beside a lane that is suspect since then; counts it if so.
    pub(super) fn take(&mut self, now: Instant, suspected_since: Instant) -> bool {
        if self.last.is_none_or(|at| now >= at + REDIALS_REMEMBERED) {
            self.count = 0;
        }
        let wait = if self.count == 0 {
            Duration::ZERO
        } else {
            REDIAL_AFTER * 2u32.pow(self.count.min(4))
        };
        let due = now >= suspected_since + wait;
        if due {
            (self.last, self.count) = (Some(now), self.count + 1);
        }
        due
    }
}
