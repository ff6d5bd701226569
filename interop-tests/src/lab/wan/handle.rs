//! The handle of a wire: what it does can be changed and read while it runs.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use super::profile::{Profile, Way};

/// What a handle and the engine share of one link. The engine takes a copy of the settings once a
/// round and leaves its counters; neither holds the lock for longer.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) profile: Profile,
    pub(super) blackhole: bool,
    pub(super) stats: LinkStats,
    /// Who sends ICMP errors: the router before the link.
    pub(super) router: (Ipv4Addr, Ipv6Addr),
}

/// A wire: cheap to clone, usable from any thread. A change takes effect before the next packet
/// is taken or delivered.
#[derive(Clone, Debug)]
pub struct WireHandle {
    links: [Arc<Mutex<Control>>; 2],
}

/// Packets and their bytes, IP headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets.
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
    /// Dropped by a blackhole.
    pub blackhole: Tally,
    /// Too large.
    pub oversize: Tally,
    /// Refused by the far device: it is down or has no carrier.
    pub refused: Tally,
}

/// What became of the packets of a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireStats {
    /// From the site into the internet.
    pub up: LinkStats,
    /// From the internet to the site.
    pub down: LinkStats,
}

impl WireStats {
    /// Bytes delivered both ways.
    pub fn carried(&self) -> u64 {
        self.up.passed.bytes + self.down.passed.bytes
    }
}

impl Tally {
    pub(super) fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

impl WireHandle {
    pub(super) fn new(profile: Profile) -> Self {
        let link = || {
            Arc::new(Mutex::new(Control {
                profile,
                blackhole: false,
                stats: LinkStats::default(),
                router: (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
            }))
        };
        Self { links: [link(), link()] }
    }

    /// Drops everything in this direction, silently, from now on; what is under way too.
    pub fn blackhole(&self, way: Way) {
        self.with(way, |link| link.blackhole = true);
    }

    /// Ends a blackhole.
    pub fn heal(&self, way: Way) {
        self.with(way, |link| link.blackhole = false);
    }

    /// Changes the settings of a direction.
    pub fn change(&self, way: Way, change: impl Fn(&mut Profile)) {
        self.with(way, |link| change(&mut link.profile));
    }

    /// Says which addresses ICMP errors come from.
    pub fn router(&self, v4: Ipv4Addr, v6: Ipv6Addr) {
        self.with(Way::Both, |link| link.router = (v4, v6));
    }

    /// What became of the packets so far.
    pub fn stats(&self) -> WireStats {
        WireStats { up: self.links[0].lock().stats, down: self.links[1].lock().stats }
    }

    /// The control of the links up and down, in this order.
    pub(super) fn links(&self) -> &[Arc<Mutex<Control>>; 2] {
        &self.links
    }

    fn with(&self, way: Way, change: impl Fn(&mut Control)) {
        let links = match way {
            Way::Up => &self.links[..1],
            Way::Down => &self.links[1..],
            Way::Both => &self.links[..],
        };
        links.iter().for_each(|link| change(&mut link.lock()));
    }
}
