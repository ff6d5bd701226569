//! How late this process runs when it is its turn: on a busy machine acknowledgements lie unread in
//! the sockets, and what they are late by says nothing of the path.
//!
//! Our own timer is the witness: it fires late by as much as a packet is read late. The estimate
//! follows a late timer at once and forgets it in seconds, like a peak meter.

use std::time::{Duration, Instant};

/// A timer that is late by less is not late: the runtime's timers have a resolution of 1 ms.
const RESOLUTION: Duration = Duration::from_millis(3);

/// A timer that is late by more says that we were stopped (SIGSTOP, suspend), which is no habit.
const STOPPED: Duration = Duration::from_millis(100);

/// The time in which the estimate fades to a half: a busy machine shows it many times a second.
const HALF_LIFE: Duration = Duration::from_secs(2);

/// The delay with which this process is scheduled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SchedulingDelay {
    peak: Option<(Instant, Duration)>,
}

impl SchedulingDelay {
    /// Takes in that our timer fired at `now`, so late.
    pub(super) fn timer_fired(&mut self, now: Instant, late_by: Duration) {
        if late_by >= RESOLUTION && late_by < STOPPED && late_by >= self.estimate(now) {
            self.peak = Some((now, late_by));
        }
    }

    /// Returns by how much a packet may be read late.
    pub(super) fn estimate(&self, now: Instant) -> Duration {
        let Some((at, peak)) = self.peak else { return Duration::ZERO };
        let passed = now.saturating_duration_since(at).as_secs_f32();
        let faded = peak.mul_f32((-passed / HALF_LIFE.as_secs_f32()).exp2());
        if faded < RESOLUTION { Duration::ZERO } else { faded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_late_timer_counts_at_once_and_is_forgotten_within_seconds() {
        let (now, mut delay) = (Instant::now(), SchedulingDelay::default());
        assert_eq!(delay.estimate(now), Duration::ZERO);
        delay.timer_fired(now, 20 * MS);
        assert_eq!(delay.estimate(now), 20 * MS);
        delay.timer_fired(now + 100 * MS, 5 * MS);
        assert!(delay.estimate(now + 2000 * MS) <= 10 * MS, "a lesser one does not replace it");
        assert_eq!(delay.estimate(now + 6000 * MS), Duration::ZERO);
    }

    #[test]
    fn the_resolution_of_timers_and_a_stopped_process_are_no_scheduling_delay() {
        let (now, mut delay) = (Instant::now(), SchedulingDelay::default());
        for late_by in [Duration::ZERO, 2 * MS, 100 * MS, 3_600_000 * MS] {
            delay.timer_fired(now, late_by);
            assert_eq!(delay.estimate(now), Duration::ZERO, "{late_by:?}");
        }
    }
}
