//! The budget of bytes that flows may hold, shared by all sessions of a node.

use std::sync::atomic::{AtomicU64, Ordering};

/// A bound on granted windows.
///
/// The first window of each flow is granted whatever is left: it was promised in `Hello`, and flows
/// are bounded by number. Beyond that, windows grow only while the bound allows.
#[derive(Debug)]
pub struct Memory {
    limit: u64,
    used: AtomicU64,
}

impl Memory {
    /// Creates a bound of `limit` bytes.
    pub const fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    /// Returns the bound.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns how many bytes are set aside now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Sets promised bytes aside, whatever the bound.
    pub fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sets bytes aside if the bound allows; returns whether it does.
    pub fn try_take(&self, bytes: u64) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|total| *total <= self.limit)
            })
            .is_ok()
    }

    /// Gives bytes back.
    pub fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_stops_at_the_bound_and_promises_do_not() {
        let memory = Memory::new(100);
        assert!(memory.try_take(60));
        assert!(!memory.try_take(41));
        memory.take(50);
        assert_eq!(memory.used(), 110);
        memory.release(60);
        assert!(memory.try_take(50));
    }
}
