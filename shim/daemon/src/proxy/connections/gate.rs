//! A bound on how many are in at once, which may be another one at any time.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Counts who is in. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inside: Mutex<usize>,
    /// Wakes the one that waits: a gate has one loop that enters.
    changed: Notify,
}

/// A place inside; dropping it leaves.
#[derive(Debug)]
pub struct Place(Arc<Shared>);

impl Gate {
    /// Enters, where fewer than `limit` are inside.
    pub fn try_enter(&self, limit: usize) -> Option<Place> {
        let mut inside = self.0.inside.lock();
        if *inside >= limit {
            return None;
        }
        *inside += 1;
        Some(Place(Arc::clone(&self.0)))
    }

    /// Enters as soon as fewer are inside than `limit` says then. One at a time may wait. Cancel-safe.
    pub async fn enter(&self, limit: impl Fn() -> usize) -> Place {
        loop {
            let changed = self.0.changed.notified();
            if let Some(place) = self.try_enter(limit()) {
                return place;
            }
            changed.await;
        }
    }

    /// Has whoever waits look at the limit again.
    pub fn limit_changed(&self) {
        self.0.changed.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.inside.lock() -= 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn whoever_waits_enters_when_somebody_leaves_or_the_limit_grows() {
        let (gate, limit) = (Gate::default(), Arc::new(AtomicUsize::new(1)));
        let first = gate.try_enter(1).unwrap();
        assert!(gate.try_enter(1).is_none());
        let enter = || {
            let (gate, limit) = (gate.clone(), limit.clone());
            tokio::spawn(async move { gate.enter(|| limit.load(Ordering::Relaxed)).await })
        };
        let second = enter();
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        let second = second.await.unwrap();
        let third = enter();
        tokio::task::yield_now().await;
        limit.store(2, Ordering::Relaxed);
        gate.limit_changed();
        let third = third.await.unwrap();
        // A lower limit ends nobody, and lets nobody in before enough have left.
        assert!(gate.try_enter(1).is_none());
        drop(second);
        assert!(gate.try_enter(1).is_none());
        drop(third);
        assert!(gate.try_enter(1).is_some());
    }
}
