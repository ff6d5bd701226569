//! One direction of a path: rate, delay, queue, loss, reordering, duplication, blackholes.

use rand::Rng;
use rand::rngs::SmallRng;

/// Virtual time in nanoseconds since the run began.
pub type Nanos = u64;

/// A millisecond.
pub const MS: Nanos = 1_000_000;
/// A second.
pub const SEC: Nanos = 1_000 * MS;

/// What an MTU black hole passes.
const NARROW: u64 = 600;

#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Bytes a second.
    pub(crate) rate: u64,
    pub(crate) delay: Nanos,
    /// Bytes that may wait.
    pub(crate) queue: u64,
    pub(crate) loss: f64,
    /// How likely a packet is held up, and how long at most.
    pub(crate) jitter: (f64, Nanos),
    pub(crate) duplicate: f64,
    /// Everything is lost until then.
    pub(crate) hole_until: Nanos,
    /// Packets above [`NARROW`] are lost until then, and nobody says so.
    pub(crate) narrow_until: Nanos,
    busy_until: Nanos,
}

impl Link {
    pub(crate) fn draw(rng: &mut SmallRng, rough: bool) -> Self {
        let rough = |rng: &mut SmallRng, max: f64| {
            if rough && rng.random_bool(0.5) { rng.random_range(0.0..max) } else { 0.0 }
        };
        Self {
            rate: rng.random_range(250_000..20_000_000),
            delay: rng.random_range(MS..60 * MS),
            queue: rng.random_range(16_000..300_000),
            loss: rough(rng, 0.1),
            jitter: (rough(rng, 0.2), rng.random_range(MS..40 * MS)),
            duplicate: rough(rng, 0.05),
            hole_until: 0,
            narrow_until: 0,
            busy_until: 0,
        }
    }

    /// One that is as it should be.
    pub(crate) fn smooth(rate: u64, delay: Nanos, queue: u64) -> Self {
        Self {
            rate,
            delay,
            queue,
            loss: 0.0,
            jitter: (0.0, 0),
            duplicate: 0.0,
            hole_until: 0,
            narrow_until: 0,
            busy_until: 0,
        }
    }

    /// No more misfortune.
    pub(crate) fn heal(&mut self) {
        self.loss = 0.0;
        self.jitter.0 = 0.0;
        self.duplicate = 0.0;
        self.hole_until = 0;
        self.narrow_until = 0;
        self.rate = self.rate.max(2_000_000);
    }

    /// When the copies of a packet arrive, if they do.
    pub(crate) fn carry(
        &mut self,
        now: Nanos,
        size: u64,
        rng: &mut SmallRng,
    ) -> [Option<Nanos>; 2] {
        if (now < self.narrow_until && size > NARROW)
            || now < self.hole_until
            || (self.loss > 0.0 && rng.random_bool(self.loss))
        {
            return [None, None];
        }
        let start = self.busy_until.max(now);
        if (start - now) * self.rate / SEC > self.queue {
            return [None, None];
        }
        self.busy_until = start + size * SEC / self.rate;
        let mut at = self.busy_until + self.delay;
        if self.jitter.0 > 0.0 && rng.random_bool(self.jitter.0) {
            at += rng.random_range(0..self.jitter.1);
        }
        let twice = self.duplicate > 0.0 && rng.random_bool(self.duplicate);
        [Some(at), twice.then(|| at + rng.random_range(0..20 * MS))]
    }
}
