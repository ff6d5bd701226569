//! The handle of an ISP: what it does can be changed and read while it runs.

use std::sync::Arc;
use std::time::Duration;

use throughline_link::{DuplexHandle, DuplexStats, LinkControl, Loss, Profile, Queue, Rate, Way};

/// An ISP: cheap to clone, usable from any thread. A change takes effect at the next tick, within
/// a millisecond.
#[derive(Clone, Debug)]
pub struct IspHandle {
    name: Arc<str>,
    links: DuplexHandle,
}

impl IspHandle {
    pub(super) fn new(name: String, profile: Profile) -> Self {
        Self { name: name.into(), links: DuplexHandle::new(profile) }
    }

    /// Returns the ISP's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Drops everything in this direction, silently, from now on; what is under way too.
    pub fn blackhole(&self, way: Way) {
        self.links.blackhole(way);
    }

    /// Ends a blackhole.
    pub fn heal(&self, way: Way) {
        self.links.heal(way);
    }

    /// Returns whether this direction (with [`Way::Both`]: either) is a blackhole.
    pub fn is_blackholed(&self, way: Way) -> bool {
        self.links.is_blackholed(way)
    }

    /// Sets the rate, in bit/s; 0 is without limit.
    pub fn set_rate(&self, way: Way, rate: u64) {
        self.change(way, |profile| profile.rate = Rate::from_bits(rate));
    }

    /// Sets the one-way delay. A shorter one lets no packet overtake those under way.
    pub fn set_delay(&self, way: Way, delay: Duration) {
        self.change(way, |profile| profile.delay = delay);
    }

    /// Sets the queue.
    pub fn set_queue(&self, way: Way, queue: Queue) {
        self.change(way, |profile| profile.queue = queue);
    }

    /// Sets the probability that a datagram is lost, 0 to 1.
    pub fn set_loss(&self, way: Way, probability: f64) {
        self.change(way, |profile| profile.loss = Loss::Random(probability));
    }

    /// Sets the largest datagram that passes, in bytes with headers; `None` is without limit. Larger
    /// ones are dropped silently. It does not concern TCP relays.
    pub fn set_mtu(&self, way: Way, mtu: Option<usize>) {
        self.change(way, |profile| profile.mtu = mtu);
    }

    /// Changes the settings of a direction.
    pub fn change(&self, way: Way, change: impl Fn(&mut Profile)) {
        self.links.change(way, change);
    }

    /// Returns what became of the packets so far (of TCP relays: the chunks), as of the last tick.
    pub fn stats(&self) -> DuplexStats {
        self.links.stats()
    }

    /// Returns what is shared with the thread that runs the links up and down, in this order.
    pub(super) fn controls(&self) -> [Arc<LinkControl>; 2] {
        self.links.controls()
    }
}
