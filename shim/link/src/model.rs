//! The fate of each packet, decided when it comes.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::drop_reason::DropReason;
use crate::line::Line;
use crate::loss::LossState;
use crate::policer::PolicerState;
use crate::profile::{Oversize, Profile};
use crate::propagation::Propagation;

/// One direction of a link, without its packets: asked of each packet as it comes, it says when that
/// arrives.
#[derive(Clone, Debug)]
pub struct LinkModel {
    profile: Profile,
    blackhole: bool,
    loss: LossState,
    policer: PolicerState,
    line: Line,
    propagation: Propagation,
    rng: StdRng,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrives {
        /// When.
        at: Instant,
        /// When a copy of it arrives, if one does.
        duplicate: Option<Instant>,
    },
    /// It does not.
    Dropped(DropReason),
}

impl LinkModel {
    /// Returns an idle link; `seed` decides what it draws.
    pub fn new(profile: Profile, seed: u64) -> Self {
        Self {
            profile,
            blackhole: false,
            loss: LossState::default(),
            policer: PolicerState::default(),
            line: Line::default(),
            propagation: Propagation::default(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Returns what the link is like.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Changes what the link is like, for packets that come from now on.
    pub fn profile_mut(&mut self) -> &mut Profile {
        &mut self.profile
    }

    /// Returns whether the link loses everything.
    pub fn is_blackhole(&self) -> bool {
        self.blackhole
    }

    /// Makes the link lose everything, or carry again.
    pub fn set_blackhole(&mut self, blackhole: bool) {
        self.blackhole = blackhole;
    }

    /// Returns how long a packet that comes at `now` waits before it is sent.
    pub fn queueing_delay(&self, now: Instant) -> Duration {
        self.line.waiting(now)
    }

    /// Returns whether the queue has room at `now`.
    pub fn has_room(&self, now: Instant) -> bool {
        self.line.has_room(now, &self.profile.rate, self.profile.queue)
    }

    /// Decides the fate of a packet of `bytes` that comes at `at`.
    pub fn transmit(&mut self, at: Instant, bytes: usize) -> Fate {
        if self.blackhole {
            return Fate::Dropped(DropReason::Blackhole);
        }
        if let Some(mtu) = self.profile.mtu.filter(|mtu| bytes > *mtu) {
            return Fate::Dropped(match self.profile.oversize {
                Oversize::Silent => DropReason::TooLarge { mtu },
                Oversize::PacketTooBig => DropReason::PacketTooBig { mtu },
            });
        }
        if self.loss.takes_next(self.profile.loss, &mut self.rng) {
            return Fate::Dropped(DropReason::Loss);
        }
        if self.profile.policer.is_some_and(|policer| !self.policer.passes(policer, at, bytes)) {
            return Fate::Dropped(DropReason::Policed);
        }
        let left = match self.line.enqueue(at, bytes, &self.profile.rate, self.profile.queue) {
            Ok(left) => left,
            Err(reason) => return Fate::Dropped(reason),
        };
        let (at, duplicate) = self.propagation.arrivals(left, &self.profile, &mut self.rng);
        Fate::Arrives { at, duplicate }
    }

    /// Decides the fate of a chunk of a reliable stream whose sender has seen that there is room and
    /// repeats what is lost by itself: a blackhole has it, but neither loss nor a policer nor a queue.
    pub fn transmit_reliably(&mut self, at: Instant, bytes: usize) -> Fate {
        if self.blackhole {
            return Fate::Dropped(DropReason::Blackhole);
        }
        let left = self.line.enqueue_unbounded(at, bytes, &self.profile.rate);
        let at = self.propagation.arrival(left, &self.profile, &mut self.rng);
        Fate::Arrives { at, duplicate: None }
    }
}
