//! One direction of an ISP, as a pure machine: packets in with the time they come, packets out
//! with the time they are due.
//!
//! The link is a line that is busy until `line_free_at`. The time from now until then is
//! the queue. Invariants: packets leave in the order they came, also when the delay shrinks; a
//! packet is counted once, when its fate is known.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::isp::{Control, LinkStats};
use super::profile::Profile;

/// One direction of an ISP, carrying items of type `T`.
pub(super) struct Link<T> {
    control: Arc<Mutex<Control>>,
    profile: Profile,
    queue_time: Duration,
    blackhole: bool,
    stats: LinkStats,
    published: LinkStats,
    line_free_at: Instant,
    last_due: Instant,
    flight: VecDeque<InFlight<T>>,
    rng: StdRng,
}

struct InFlight<T> {
    due: Instant,
    bytes: usize,
    item: T,
}

/// What a link says to a packet that comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission<T> {
    /// It is under way.
    Accepted,
    /// Dropped at random, for its size, or because the queue is full.
    Dropped(T),
    /// Dropped by the blackhole.
    Blackholed(T),
}

/// What comes out of a link.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival<T> {
    /// Delivered at this time.
    Delivered(Instant, T),
    /// Lost to a blackhole that opened while it was under way.
    Blackholed(T),
}

impl<T> Link<T> {
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
            flight: VecDeque::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Takes over changed settings and publishes the counters: once a tick.
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

    pub(super) fn is_blackhole(&self) -> bool {
        self.blackhole
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.flight.is_empty()
    }

    /// Whether a reliable sender may add something now.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let waiting = self.line_free_at.saturating_duration_since(now);
        waiting.is_zero() || waiting < self.queue_time
    }

    /// A datagram of `bytes` comes at `at`.
    pub(super) fn admit(&mut self, at: Instant, bytes: usize, item: T) -> Admission<T> {
        if self.blackhole {
            self.stats.blackhole.count(bytes);
            return Admission::Blackholed(item);
        }
        if bytes > self.profile.mtu {
            self.stats.too_large.count(bytes);
            return Admission::Dropped(item);
        }
        if self.profile.loss > 0.0 && self.rng.random::<f64>() < self.profile.loss {
            self.stats.loss.count(bytes);
            return Admission::Dropped(item);
        }
        let send_time = self.profile.send_time(bytes as u64);
        let waiting = self.line_free_at.saturating_duration_since(at);
        // A packet that finds an idle line is never dropped, however small the queue.
        if !waiting.is_zero() && waiting + send_time > self.queue_time {
            self.stats.queue.count(bytes);
            return Admission::Dropped(item);
        }
        self.carry(at, send_time, bytes, item);
        Admission::Accepted
    }

    /// A piece of a reliable stream comes, whose sender has seen that there is room: it meets
    /// the blackhole, but neither loss nor tail drop.
    pub(super) fn admit_reliable(&mut self, at: Instant, bytes: usize, item: T) -> Admission<T> {
        if self.blackhole {
            self.stats.blackhole.count(bytes);
            return Admission::Blackholed(item);
        }
        let send_time = self.profile.send_time(bytes as u64);
        self.carry(at, send_time, bytes, item);
        Admission::Accepted
    }

    fn carry(&mut self, at: Instant, send_time: Duration, bytes: usize, item: T) {
        self.line_free_at = self.line_free_at.max(at) + send_time;
        self.last_due = self.last_due.max(self.line_free_at + self.profile.delay);
        self.flight.push_back(InFlight { due: self.last_due, bytes, item });
    }

    /// The next item due at `now`.
    pub(super) fn release(&mut self, now: Instant) -> Option<Arrival<T>> {
        if self.flight.front()?.due > now {
            return None;
        }
        let InFlight { due, bytes, item } = self.flight.pop_front()?;
        if self.blackhole {
            self.stats.blackhole.count(bytes);
            return Some(Arrival::Blackholed(item));
        }
        self.stats.passed.count(bytes);
        Some(Arrival::Delivered(due, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isp::{IspHandle, Tally};
    use crate::profile::{Queue, Way};

    const MS: Duration = Duration::from_millis(1);

    fn link(profile: Profile) -> (IspHandle, Link<u32>, Instant) {
        let isp = IspHandle::new("isp".into(), profile);
        let now = Instant::now();
        let link = Link::new(Arc::clone(&isp.links()[0]), 7, now);
        (isp, link, now)
    }

    fn drain(link: &mut Link<u32>, now: Instant) -> Vec<Arrival<u32>> {
        std::iter::from_fn(|| link.release(now)).collect()
    }

    #[test]
    fn a_packet_arrives_after_its_sending_time_and_the_delay() {
        // 1,000 bytes at 8 Mbit/s take 1 ms.
        let (_isp, mut link, t0) = link(Profile::new(8_000_000, 10 * MS));
        assert_eq!(link.admit(t0, 1000, 1), Admission::Accepted);
        assert_eq!(link.admit(t0, 1000, 2), Admission::Accepted);
        assert_eq!(drain(&mut link, t0 + 10 * MS), []);
        assert_eq!(drain(&mut link, t0 + 11 * MS), [Arrival::Delivered(t0 + 11 * MS, 1)]);
        assert_eq!(drain(&mut link, t0 + 20 * MS), [Arrival::Delivered(t0 + 12 * MS, 2)]);
    }

    #[test]
    fn a_full_queue_drops_what_comes_last_and_counts_it() {
        let profile = Profile::new(8_000_000, MS).queue(Queue::Bytes(3000));
        let (isp, mut link, t0) = link(profile);
        let fates: Vec<_> =
            (0..5).map(|i| link.admit(t0, 1000, i) == Admission::Accepted).collect();
        assert_eq!(fates, [true, true, true, false, false]);
        // A millisecond later the line has sent one: there is room for one.
        assert_eq!(link.admit(t0 + MS, 1000, 5), Admission::Accepted);
        assert_eq!(link.admit(t0 + MS, 1000, 6), Admission::Dropped(6));
        link.synchronise();
        assert_eq!(isp.stats().up.queue.packets, 3);
    }

    #[test]
    fn a_blackhole_swallows_what_comes_and_what_is_under_way() {
        let (isp, mut link, t0) = link(Profile::new(0, 10 * MS));
        assert_eq!(link.admit(t0, 100, 1), Admission::Accepted);
        isp.blackhole(Way::Up);
        link.synchronise();
        assert_eq!(link.admit(t0, 100, 2), Admission::Blackholed(2));
        assert_eq!(drain(&mut link, t0 + 10 * MS), [Arrival::Blackholed(1)]);
        isp.heal(Way::Both);
        link.synchronise();
        assert_eq!(link.admit(t0 + 20 * MS, 100, 3), Admission::Accepted);
        assert_eq!(drain(&mut link, t0 + 30 * MS), [Arrival::Delivered(t0 + 30 * MS, 3)]);
        link.synchronise();
        assert_eq!(isp.stats().up.blackhole.packets, 2);
        assert_eq!(isp.stats().down, LinkStats::default());
    }

    #[test]
    fn what_is_larger_than_the_mtu_is_dropped_without_a_word() {
        let (isp, mut link, t0) = link(Profile::new(0, MS));
        isp.set_mtu(Way::Up, 1300);
        link.synchronise();
        assert_eq!(link.admit(t0, 1300, 1), Admission::Accepted);
        assert_eq!(link.admit(t0, 1301, 2), Admission::Dropped(2));
        assert_eq!(link.admit_reliable(t0, 65_000, 3), Admission::Accepted);
        link.synchronise();
        assert_eq!(isp.stats().up.too_large, Tally { packets: 1, bytes: 1301 });
    }

    #[test]
    fn a_shorter_delay_lets_no_packet_overtake() {
        let (isp, mut link, t0) = link(Profile::new(0, 10 * MS));
        assert_eq!(link.admit(t0, 100, 1), Admission::Accepted);
        isp.set_delay(Way::Up, MS);
        link.synchronise();
        assert_eq!(link.admit(t0, 100, 2), Admission::Accepted);
        assert_eq!(drain(&mut link, t0 + 9 * MS), []);
        assert_eq!(drain(&mut link, t0 + 10 * MS).len(), 2);
    }

    #[test]
    fn two_links_of_one_seed_lose_alike_and_at_the_asked_rate() {
        let run = || {
            let (_isp, mut link, t0) = link(Profile::new(0, MS).loss(0.1));
            (0..10_000).map(|i| link.admit(t0, 100, i) == Admission::Accepted).collect::<Vec<_>>()
        };
        let fates = run();
        assert_eq!(fates, run());
        let lost = fates.iter().filter(|accepted| !**accepted).count();
        assert!((900..1100).contains(&lost), "{lost} of 10000 lost at 10 %");
    }
}
