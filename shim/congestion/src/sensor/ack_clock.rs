//! The acknowledgement clock: how far apart acknowledgements arrive while the lane is busy.

use std::time::{Duration, Instant};

/// Acknowledgements closer together than this belong to one tick of the clock.
const TICK: Duration = Duration::from_millis(1);

/// The acknowledgement clock of the current path.
#[derive(Debug)]
pub(super) struct AckClock {
    /// The first acknowledgement of the last tick, if something was outstanding ever since.
    last_tick: Option<Instant>,
    interval: Duration,
}

impl AckClock {
    pub(super) fn new() -> Self {
        Self { last_tick: None, interval: TICK }
    }

    /// Returns the smoothed interval between ticks.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Stops the clock: nothing is outstanding.
    pub(super) fn stop(&mut self) {
        self.last_tick = None;
    }

    /// Takes in an acknowledgement. `max` bounds the interval: a pause as long as a round trip is an
    /// outage or a lull, not the clock's rate.
    pub(super) fn on_ack(&mut self, now: Instant, max: Duration) {
        let Some(last) = self.last_tick else {
            self.last_tick = Some(now);
            return;
        };
        let interval = now.saturating_duration_since(last);
        if interval < TICK {
            return;
        }
        self.last_tick = Some(now);
        let interval = interval.min(max);
        // Quick to rise: an uneven clock must not look stopped.
        self.interval = if interval > self.interval {
            (3 * self.interval + interval) / 4
        } else {
            (15 * self.interval + interval) / 16
        };
    }
}
