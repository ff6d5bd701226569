//! The time in which a bulk flow goes on using a lane that it has left.
//!
//! A bulk flow that moves off a lane that works uses both lanes until the new one has found its
//! pace. So a drain, and the reversion after a recovery, cost no speed.

use std::time::{Duration, Instant};

use crate::types::LaneId;

/// What the new lane is given on top of its round trips, for events and timers of both ends.
const MARGIN: Duration = Duration::from_millis(100);

/// The longest handover: not longer than a lane drains at least ([`plan`](crate::plan)), so that
/// the check whether a draining lane is empty need not know about handovers.
const MAX_DURATION: Duration = Duration::from_millis(900);

/// The round trips of slow start: six fill 200 Mbit/s × 100 ms from 64 KiB, two more for its pauses.
const ROUND_TRIPS: u32 = 8;

/// The lane that a flow has left and still uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    from: LaneId,
    until: Instant,
}

impl Handover {
    /// Begins a handover from `from` at `now`; `rtt` is the longer round trip of the two lanes.
    pub fn new(now: Instant, from: LaneId, rtt: Duration) -> Self {
        Self { from, until: now + (ROUND_TRIPS * rtt + MARGIN).min(MAX_DURATION) }
    }

    /// Returns whether new bytes may still go out on `lane`.
    pub fn uses(&self, now: Instant, lane: LaneId) -> bool {
        self.from == lane && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_was_left_is_used_until_the_new_one_has_its_pace() {
        let now = Instant::now();
        let handover = Handover::new(now, LaneId(1), Duration::from_millis(20));
        let uses = |ms, lane| handover.uses(now + Duration::from_millis(ms), LaneId(lane));
        assert!(uses(0, 1) && uses(259, 1) && !uses(260, 1));
        assert!(!uses(0, 2));
        let slow = Handover::new(now, LaneId(1), Duration::from_millis(600));
        assert!(!slow.uses(now + MAX_DURATION, LaneId(1)));
    }
}
