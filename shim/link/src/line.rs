//! The line: it sends one packet after the other, and a bounded queue waits before it.

use std::time::{Duration, Instant};

use crate::profile::{Queue, Rate};

/// A line that is busy until `free_at`; the time from now until then is its queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    free_at: Option<Instant>,
}

impl Line {
    /// Returns how long a packet that comes at `at` waits before it is sent.
    pub(crate) fn waiting(&self, at: Instant) -> Duration {
        self.free_at.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(at))
    }

    /// Returns when the last byte of a packet that comes at `at` leaves; `None` if the queue is full.
    pub(crate) fn enqueue(
        &mut self,
        at: Instant,
        bytes: usize,
        rate: Rate,
        queue: Queue,
    ) -> Option<Instant> {
        let (waiting, send_time) = (self.waiting(at), rate.send_time(bytes as u64));
        // A packet that finds an idle line is never dropped, however small the queue.
        if !waiting.is_zero() && waiting + send_time > queue.time(rate) {
            return None;
        }
        Some(self.send(at, send_time))
    }

    /// The same for a sender that has seen that there is room.
    pub(crate) fn enqueue_unbounded(&mut self, at: Instant, bytes: usize, rate: Rate) -> Instant {
        self.send(at, rate.send_time(bytes as u64))
    }

    /// Returns whether a sender that waits for room may send at `now`.
    pub(crate) fn has_room(&self, now: Instant, rate: Rate, queue: Queue) -> bool {
        let waiting = self.waiting(now);
        waiting.is_zero() || waiting < queue.time(rate)
    }

    fn send(&mut self, at: Instant, send_time: Duration) -> Instant {
        let free_at = at + self.waiting(at) + send_time;
        self.free_at = Some(free_at);
        free_at
    }
}
