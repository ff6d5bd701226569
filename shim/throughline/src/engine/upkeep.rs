//! What a node does all the time: keeps a session with each peer that it can dial, and notices that
//! the system was suspended.
//!
//! **Tasks and their owner.** One task per peer with a locator ([`keep_session`]) and one for the clock
//! ([`watch_clock`]) belong to the node and hold it weakly: they end when it shuts down or is gone.
//! Aborting them is safe, as they hold no state of any session.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::sessions::Sessions;
use crate::clock::{self, SuspendDetector};
use throughline_proto::types::PeerId;
use throughline_uplinks::Snapshot;

/// Sessions with a peer are begun this far apart, so that a peer that keeps rejecting us, or a linger
/// time that is over at once, costs little. A session that lived longer is replaced at once.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Keeps a session with a peer that can be dialed.
pub(crate) async fn keep_session(sessions: Weak<Sessions>, peer: PeerId) {
    let mut may_begin = Instant::now();
    loop {
        tokio::time::sleep_until(may_begin).await;
        let Some(registry) = sessions.upgrade() else { return };
        if registry.is_shutting_down() {
            return;
        }
        if registry.initiate(peer) {
            may_begin = Instant::now() + RESTART_DELAY;
        }
        let mut changes = registry.changes();
        let exists = !registry.with_peer(peer).is_empty();
        drop(registry);
        if !exists {
            // No locator is known.
            tokio::time::sleep(RESTART_DELAY).await;
        } else if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Notices that the system was suspended, for as long as the uplinks are watched.
pub(crate) async fn watch_clock(
    sessions: Weak<Sessions>,
    mut uplinks: watch::Receiver<Arc<Snapshot>>,
) {
    let mut detector = SuspendDetector::new();
    loop {
        let gone = async { while uplinks.changed().await.is_ok() {} };
        tokio::select! {
            () = clock::may_have_been_suspended() => {}
            // The node's watcher of uplinks ends with the node.
            () = gone => return,
        }
        let Some(sessions) = sessions.upgrade() else { return };
        if sessions.is_shutting_down() {
            return;
        }
        if let Some(duration) = detector.suspended_for() {
            sessions.resumed_after(duration);
        }
    }
}
