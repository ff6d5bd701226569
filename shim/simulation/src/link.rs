//! One direction of a path in virtual time: the shared link model, with blackholes that end by
//! themselves.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::SmallRng;
use throughline_link::{
    Duplication, Fate, Lateness, LinkModel, Loss, Profile, Queue, Rate, Reordering,
};

/// Virtual time in nanoseconds since the run began.
pub type Nanos = u64;

/// A millisecond.
pub const MS: Nanos = 1_000_000;
/// A second.
pub const SEC: Nanos = 1_000 * MS;

/// What an MTU black hole passes: less than the least packet that QUIC pads its handshakes to.
const MTU_BLACK_HOLE: usize = 600;
/// How long after a packet its copy may come.
const DUPLICATE_WITHIN: Duration = Duration::from_millis(20);
/// The least rate of a healed link, in bit/s, so that what has piled up drains in time.
const HEALED_RATE: u64 = 16_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Link {
    model: LinkModel,
    /// When the run began, for the model.
    epoch: Instant,
    /// Everything is lost until then.
    pub(crate) hole_until: Nanos,
    /// Packets above [`MTU_BLACK_HOLE`] are lost until then, silently.
    pub(crate) narrow_until: Nanos,
}

impl Link {
    /// Draws a link; a rough one may lose, hold up and double packets.
    pub(crate) fn draw(rng: &mut SmallRng, rough: bool) -> Self {
        let rough = |rng: &mut SmallRng, max: f64| {
            if rough && rng.random_bool(0.5) { rng.random_range(0.0..max) } else { 0.0 }
        };
        let bytes_per_second: u64 = rng.random_range(250_000..20_000_000);
        let delay = Duration::from_nanos(rng.random_range(MS..60 * MS));
        let mut profile = Profile::new(bytes_per_second * 8, delay)
            .queue(Queue::Bytes(rng.random_range(16_000..300_000)))
            .loss(Loss::Random(rough(rng, 0.1)));
        profile.reordering = Reordering::Random {
            probability: rough(rng, 0.2),
            late: Lateness::Below(Duration::from_nanos(rng.random_range(MS..40 * MS))),
        };
        profile.duplication =
            Duplication::Random { probability: rough(rng, 0.05), within: DUPLICATE_WITHIN };
        Self::new(profile, rng.random())
    }

    /// Returns one that loses, holds up and doubles nothing; `rate` is in bytes a second.
    pub(crate) fn smooth(rate: u64, delay: Nanos, queue: u64) -> Self {
        let profile = Profile::new(rate * 8, Duration::from_nanos(delay));
        Self::new(profile.queue(Queue::Bytes(queue)), 0)
    }

    fn new(profile: Profile, seed: u64) -> Self {
        let model = LinkModel::new(profile, seed);
        Self { model, epoch: Instant::now(), hole_until: 0, narrow_until: 0 }
    }

    /// Returns the one-way delay.
    pub(crate) fn delay(&self) -> Nanos {
        self.model.profile().delay.as_nanos() as Nanos
    }

    /// Ends whatever is wrong with it.
    pub(crate) fn heal(&mut self) {
        let profile = self.model.profile_mut();
        profile.loss = Loss::None;
        profile.reordering = Reordering::None;
        profile.duplication = Duplication::None;
        if let Rate::Fixed(rate) = &mut profile.rate {
            *rate = HEALED_RATE.max(*rate);
        }
        self.hole_until = 0;
        self.narrow_until = 0;
    }

    /// Returns when the copies of a packet arrive, if they do.
    pub(crate) fn carry(&mut self, now: Nanos, size: u64) -> [Option<Nanos>; 2] {
        self.model.set_blackhole(now < self.hole_until);
        self.model.profile_mut().mtu = (now < self.narrow_until).then_some(MTU_BLACK_HOLE);
        match self.model.transmit(self.epoch + Duration::from_nanos(now), size as usize) {
            Fate::Arrives { at, duplicate } => {
                let nanos = |at: Instant| at.duration_since(self.epoch).as_nanos() as Nanos;
                [Some(nanos(at)), duplicate.map(nanos)]
            }
            Fate::Dropped(_) => [None, None],
        }
    }
}
