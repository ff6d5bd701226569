//! One direction of a wire, as a pure machine: packets in with the time they come, packets out
//! with the time they are due.
//!
//! The link is a line that is busy until `line_free_at`; the time from now until then is the queue.
//! Invariants: packets leave in the order they came, but for those made late on purpose; a packet
//! is counted once, when its fate is known.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::handle::{Control, LinkStats};
use super::profile::{Oversize, Profile};

/// One direction of a wire.
pub(super) struct Link {
    control: Arc<Mutex<Control>>,
    profile: Profile,
    queue_time: Duration,
    blackhole: bool,
    stats: LinkStats,
    published: LinkStats,
    line_free_at: Instant,
    last_due: Instant,
    flight: BinaryHeap<Reverse<InFlight>>,
    count: u64,
    rng: StdRng,
}

/// Ordered by when it is due, then by when it came.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    due: Instant,
    number: u64,
    packet: Vec<u8>,
}

/// What a link says to a packet that comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is under way.
    Accepted,
    /// It is gone without a word; its buffer can be used again.
    Dropped(Vec<u8>),
    /// It is larger than this, and its sender is to be told.
    TooBig(Vec<u8>, usize),
}

impl Link {
    pub(super) fn new(control: Arc<Mutex<Control>>, seed: u64, now: Instant) -> Self {
        let profile = control.lock().profile;
        Self {
            control,
            profile,
            queue_time: profile.queue_time(),
            blackhole: false,
            stats: LinkStats::default(),
            published: LinkStats::default(),
            line_free_at: now,
            last_due: now,
            flight: BinaryHeap::new(),
            count: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Takes over changed settings and publishes the counters: once a round.
    pub(super) fn synchronise(&mut self) {
        let mut control = self.control.lock();
        self.blackhole = control.blackhole;
        if self.profile != control.profile {
            self.profile = control.profile;
            self.queue_time = self.profile.queue_time();
        }
        if self.published != self.stats {
            control.stats = self.stats;
            self.published = self.stats;
        }
    }

    /// The addresses of the router before the link.
    pub(super) fn router(&self) -> (std::net::Ipv4Addr, std::net::Ipv6Addr) {
        self.control.lock().router
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.flight.peek().map(|Reverse(first)| first.due)
    }

    /// A packet comes at `at`.
    pub(super) fn admit(&mut self, at: Instant, packet: Vec<u8>) -> Admission {
        let bytes = packet.len();
        if self.blackhole {
            self.stats.blackhole.count(bytes);
            return Admission::Dropped(packet);
        }
        if self.profile.mtu > 0 && bytes > self.profile.mtu {
            self.stats.oversize.count(bytes);
            return match self.profile.oversize {
                Oversize::Silent => Admission::Dropped(packet),
                Oversize::TooBig => Admission::TooBig(packet, self.profile.mtu),
            };
        }
        if self.happens(self.profile.loss) {
            self.stats.loss.count(bytes);
            return Admission::Dropped(packet);
        }
        let send_time = self.profile.send_time(bytes as u64);
        let waiting = self.line_free_at.saturating_duration_since(at);
        // A packet that finds an idle line is never dropped, however small the queue.
        if !waiting.is_zero() && waiting + send_time > self.queue_time {
            self.stats.queue.count(bytes);
            return Admission::Dropped(packet);
        }
        self.line_free_at = self.line_free_at.max(at) + send_time;
        let mut due = self.line_free_at + self.profile.delay;
        if self.happens(self.profile.reorder) {
            due += self.profile.late_by;
        } else {
            due = due.max(self.last_due);
            self.last_due = due;
        }
        self.count += 1;
        self.flight.push(Reverse(InFlight { due, number: self.count, packet }));
        Admission::Accepted
    }

    /// The next packet due at `now`, and whether it arrives: a blackhole that opened while it was
    /// under way has it.
    pub(super) fn release(&mut self, now: Instant) -> Option<(Vec<u8>, bool)> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(InFlight { packet, .. }) = self.flight.pop()?;
        if self.blackhole {
            self.stats.blackhole.count(packet.len());
        }
        Some((packet, !self.blackhole))
    }

    /// Says what became of a packet that arrived.
    pub(super) fn delivered(&mut self, bytes: usize, taken: bool) {
        let tally = if taken { &mut self.stats.passed } else { &mut self.stats.refused };
        tally.count(bytes);
    }

    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random::<f64>() < probability
    }
}

#[cfg(test)]
mod tests;
