//! A drill: what goes over an uplink vanishes for a time, both ways, as if its ISP had died silently.
//!
//! Nothing above the sockets knows of it, so that what is seen is what a real failure would show. It ends by
//! itself, whatever becomes of whoever asked for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

/// Our addresses that are cut off, and until when. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cuts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there may be any: all that a packet costs at other times.
    any: AtomicBool,
    /// By our address. The lock is a leaf.
    until: Mutex<HashMap<IpAddr, Instant>>,
}

impl Cuts {
    /// Cuts addresses off until this moment.
    pub(crate) fn add(&self, addresses: &[IpAddr], until: Instant) {
        let mut all = self.0.until.lock();
        for ip in addresses {
            let known = all.entry(ip.to_canonical()).or_insert(until);
            *known = until.max(*known);
        }
        self.0.any.store(true, Ordering::Release);
    }

    /// Returns whether packets from and to this address of ours vanish now.
    pub(crate) fn is_cut(&self, ours: IpAddr, now: impl FnOnce() -> Instant) -> bool {
        if !self.0.any.load(Ordering::Acquire) {
            return false;
        }
        let (mut until, now) = (self.0.until.lock(), now());
        until.retain(|_, until| *until > now);
        if until.is_empty() {
            self.0.any.store(false, Ordering::Release);
        }
        until.contains_key(&ours.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_cut_ends_by_itself_and_costs_no_clock_afterwards() {
        let (cuts, now) = (Cuts::default(), Instant::now());
        let [a, b] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let mapped = std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        cuts.add(&[a], now + Duration::from_secs(2));
        // A shorter one does not end it.
        cuts.add(&[a], now);
        let at = |seconds| move || now + Duration::from_secs(seconds);
        assert!(cuts.is_cut(a, at(1)) && cuts.is_cut(mapped.into(), at(1)));
        assert!(!cuts.is_cut(b, at(1)));
        assert!(!cuts.is_cut(a, at(2)));
        assert!(!cuts.is_cut(a, || unreachable!("there is none")));
    }
}
