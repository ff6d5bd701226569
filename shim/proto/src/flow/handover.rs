//! A thick flow that moves off a lane that is well goes on using it, too, until the new one has
//! found its pace: a drain, and the way home after a recovery, cost no speed.

use std::time::{Duration, Instant};

use crate::types::LaneId;

/// What the new lane is given on top of its round trips: events and timers of both ends.
const MARGIN: Duration = Duration::from_millis(100);

/// Not longer than a lane drains for at least ([`plan`](crate::plan)): whoever looks whether it
/// is empty need not know of this.
const MOST: Duration = Duration::from_millis(900);

/// Slow start from 64 KiB fills 200 Mbit/s × 100 ms in six round trips; two more for its pauses.
const ROUND_TRIPS: u32 = 8;

/// The lane that a flow has left and still uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    from: LaneId,
    until: Instant,
}

impl Handover {
    /// The flow moves at `now` from `from` to another lane; `rtt` is the longer of their round trips.
    pub fn new(now: Instant, from: LaneId, rtt: Duration) -> Self {
        Self { from, until: now + (ROUND_TRIPS * rtt + MARGIN).min(MOST) }
    }

    /// Whether new bytes may still go out on `lane`.
    pub fn uses(&self, now: Instant, lane: LaneId) -> bool {
        self.from == lane && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_is_left_is_used_until_the_new_one_has_its_pace() {
        let now = Instant::now();
        let handover = Handover::new(now, LaneId(1), Duration::from_millis(20));
        let uses = |ms, lane| handover.uses(now + Duration::from_millis(ms), LaneId(lane));
        assert!(uses(0, 1) && uses(259, 1) && !uses(260, 1));
        assert!(!uses(0, 2));
        let slow = Handover::new(now, LaneId(1), Duration::from_millis(600));
        assert!(!slow.uses(now + MOST, LaneId(1)));
    }
}
