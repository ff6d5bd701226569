//! The handle of a wire: what it does can be changed and read while it runs.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::lab::access::Access;
use parking_lot::Mutex;
use throughline_link::{DuplexHandle, DuplexStats, LinkControl, Profile, Way};

/// Addresses of the router before a link, from which ICMP errors come.
pub(super) type RouterAddrs = (Ipv4Addr, Ipv6Addr);

/// A wire: cheap to clone, usable from any thread. A change takes effect before the next packet
/// is taken or delivered.
#[derive(Clone, Debug)]
pub struct WireHandle {
    links: DuplexHandle,
    router: Arc<Mutex<RouterAddrs>>,
}

impl WireHandle {
    pub(super) fn new(access: Access) -> Self {
        let router = Mutex::new((Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED));
        Self { links: DuplexHandle::asymmetric(access.up, access.down), router: Arc::new(router) }
    }

    /// Drops everything in this direction, silently, from now on; what is under way too.
    pub fn blackhole(&self, way: Way) {
        self.links.blackhole(way);
    }

    /// Ends a blackhole.
    pub fn heal(&self, way: Way) {
        self.links.heal(way);
    }

    /// Changes the settings of a direction.
    pub fn change(&self, way: Way, change: impl Fn(&mut Profile)) {
        self.links.change(way, change);
    }

    /// Sets the addresses that ICMP errors come from.
    pub fn set_router(&self, v4: Ipv4Addr, v6: Ipv6Addr) {
        *self.router.lock() = (v4, v6);
    }

    /// Returns what became of the packets so far.
    pub fn stats(&self) -> DuplexStats {
        self.links.stats()
    }

    /// Returns the addresses that ICMP errors come from.
    pub(super) fn router(&self) -> RouterAddrs {
        *self.router.lock()
    }

    /// Returns what is shared with the thread that runs the links up and down, in this order.
    pub(super) fn controls(&self) -> [Arc<LinkControl>; 2] {
        self.links.controls()
    }
}
