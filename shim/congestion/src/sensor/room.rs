//! Tells a lane's writer when its path has room for more.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Wakes the writer when packets left, or are in flight no longer, if it asked for that.
#[derive(Debug, Default)]
pub(super) struct Room {
    wanted: AtomicBool,
    changed: Notify,
}

impl Room {
    /// Has the next change wake whoever waits. To be called before looking whether there is room.
    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    /// Takes note that there may be more room.
    pub(super) fn changed(&self) {
        if self.wanted.load(Ordering::SeqCst) && self.wanted.swap(false, Ordering::SeqCst) {
            self.changed.notify_one();
        }
    }

    /// Completes after a change, once it was wanted. Cancel-safe.
    pub(super) async fn wait(&self) {
        self.changed.notified().await;
    }
}
