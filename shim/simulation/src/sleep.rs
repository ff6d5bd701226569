//! When a host sleeps, and what waits for it meanwhile.

use std::time::Duration;

use crate::link::Nanos;

/// When a host last slept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sleep {
    from: Nanos,
    until: Nanos,
    /// The bytes that wait in its socket's buffer.
    waiting: u64,
}

impl Sleep {
    /// Sleeps from `now` on, or longer than before.
    pub(crate) fn extend(&mut self, now: Nanos, duration: Nanos) {
        if self.until <= now {
            *self = Self { from: now, until: now, waiting: 0 };
        }
        self.until = self.until.max(now + duration);
    }

    /// Returns when it ends, or has ended.
    pub(crate) fn until(&self) -> Nanos {
        self.until
    }

    /// Returns how late timers fire at `now`: by as long as the host slept, when it has just woken.
    pub(crate) fn late_by(&self, now: Nanos) -> Duration {
        Duration::from_nanos(if self.until == now { self.until - self.from } else { 0 })
    }

    /// Puts a packet into the socket's buffer, if there is room; returns whether there was.
    pub(crate) fn buffer(&mut self, size: u64, limit: u64) -> bool {
        let fits = self.waiting + size <= limit;
        self.waiting += if fits { size } else { 0 };
        fits
    }
}
