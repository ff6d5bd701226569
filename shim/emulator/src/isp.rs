//! The handle of an ISP: what it does can be changed and read while it runs.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::profile::{Profile, Queue, Way};

/// An ISP's place in the emulator's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IspId(pub(super) usize);

/// What a handle and the engine share of one link. The engine takes a copy of the settings once
/// a tick and leaves its counters; neither holds the lock for longer.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) profile: Profile,
    pub(super) blackhole: bool,
    pub(super) stats: LinkStats,
}

/// An ISP: cheap to clone, usable from any thread. A change takes effect at the next tick, within
/// a millisecond.
#[derive(Clone, Debug)]
pub struct IspHandle {
    name: Arc<str>,
    links: [Arc<Mutex<Control>>; 2],
}

/// Packets and their bytes, headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets; for TCP relays, pieces.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What became of the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Delivered.
    pub passed: Tally,
    /// Dropped because the queue was full.
    pub queue: Tally,
    /// Dropped by random loss.
    pub loss: Tally,
    /// Dropped because they were larger than the MTU.
    pub too_large: Tally,
    /// Dropped by a blackhole.
    pub blackhole: Tally,
}

/// What became of the packets of an ISP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IspStats {
    /// From the site into the internet.
    pub up: LinkStats,
    /// From the internet to the site.
    pub down: LinkStats,
}

impl Tally {
    pub(super) fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

impl IspHandle {
    pub(super) fn new(name: String, profile: Profile) -> Self {
        let link = || {
            let stats = LinkStats::default();
            Arc::new(Mutex::new(Control { profile, blackhole: false, stats }))
        };
        Self { name: name.into(), links: [link(), link()] }
    }

    /// The ISP's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Drops everything in this direction, silently, from now on; what is under way too.
    pub fn blackhole(&self, way: Way) {
        self.change(way, |link| link.blackhole = true);
    }

    /// Ends a blackhole.
    pub fn heal(&self, way: Way) {
        self.change(way, |link| link.blackhole = false);
    }

    /// Whether this direction (with [`Way::Both`]: either) is a blackhole.
    pub fn is_blackholed(&self, way: Way) -> bool {
        self.ways(way).iter().any(|link| link.lock().blackhole)
    }

    /// Sets the rate, in bit/s; 0 is without limit.
    pub fn set_rate(&self, way: Way, rate: u64) {
        self.change(way, |link| link.profile.rate = rate);
    }

    /// Sets the one-way delay. A shorter one lets no packet overtake those under way.
    pub fn set_delay(&self, way: Way, delay: Duration) {
        self.change(way, |link| link.profile.delay = delay);
    }

    /// Sets the queue.
    pub fn set_queue(&self, way: Way, queue: Queue) {
        self.change(way, |link| link.profile.queue = queue);
    }

    /// Sets the probability of loss, 0 to 1.
    pub fn set_loss(&self, way: Way, loss: f64) {
        self.change(way, |link| link.profile.loss = loss);
    }

    /// Sets the largest datagram that passes, in bytes with headers.
    pub fn set_mtu(&self, way: Way, mtu: usize) {
        self.change(way, |link| link.profile.mtu = mtu);
    }

    /// What became of the packets so far, as of the last tick.
    pub fn stats(&self) -> IspStats {
        IspStats { up: self.links[0].lock().stats, down: self.links[1].lock().stats }
    }

    /// The control of the links up and down, in this order.
    pub(super) fn links(&self) -> &[Arc<Mutex<Control>>; 2] {
        &self.links
    }

    fn ways(&self, way: Way) -> &[Arc<Mutex<Control>>] {
        match way {
            Way::Up => &self.links[..1],
            Way::Down => &self.links[1..],
            Way::Both => &self.links,
        }
    }

    fn change(&self, way: Way, change: impl Fn(&mut Control)) {
        self.ways(way).iter().for_each(|link| change(&mut link.lock()));
    }
}
