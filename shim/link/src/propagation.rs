//! From the line's end to the far end: delay, packets that are overtaken, packets that arrive twice.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use crate::jitter::JitterState;
use crate::loss::happens;
use crate::profile::{Duplication, Lateness, Profile, Reordering};

/// Keeps the order of packets that are not held up on purpose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Propagation {
    last_arrival: Option<Instant>,
    jitter: JitterState,
}

impl Propagation {
    /// Returns when a packet that left the line at `left` arrives, and when its copy does if it has
    /// one.
    pub(crate) fn arrivals(
        &mut self,
        left: Instant,
        profile: &Profile,
        rng: &mut StdRng,
    ) -> (Instant, Option<Instant>) {
        let usual = left + profile.delay + self.jitter.next(profile.jitter, left, rng);
        let at = match profile.reordering {
            Reordering::Random { probability, late } if happens(probability, rng) => {
                // It holds up no other: the order is kept among the rest.
                usual + late.draw(rng)
            }
            _ if profile.jitter.reorders() => usual,
            _ => self.in_order(usual),
        };
        let duplicate = match profile.duplication {
            Duplication::Random { probability, within } if happens(probability, rng) => {
                Some(at + Lateness::Below(within).draw(rng))
            }
            _ => None,
        };
        (at, duplicate)
    }

    /// The same for one that is neither held up nor doubled.
    pub(crate) fn arrival(
        &mut self,
        left: Instant,
        profile: &Profile,
        rng: &mut StdRng,
    ) -> Instant {
        let extra = self.jitter.next(profile.jitter, left, rng);
        self.in_order(left + profile.delay + extra)
    }

    /// A shorter delay lets no packet overtake those under way.
    fn in_order(&mut self, at: Instant) -> Instant {
        let at = self.last_arrival.map_or(at, |last| last.max(at));
        self.last_arrival = Some(at);
        at
    }
}

impl Lateness {
    fn draw(self, rng: &mut StdRng) -> Duration {
        match self {
            Self::Exactly(time) => time,
            Self::Below(Duration::ZERO) => Duration::ZERO,
            Self::Below(most) => rng.random_range(Duration::ZERO..most),
        }
    }
}
