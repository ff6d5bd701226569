//! The keepers of sessions: a task for each peer that can be dialed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::engine::sessions::Sessions;
use crate::engine::supervise::supervise;
use crate::engine::upkeep;
use throughline_proto::types::PeerId;

/// The keepers, by peer. Aborting one is safe: it holds no state of any session.
#[derive(Debug, Default)]
pub(super) struct Keepers(Mutex<HashMap<PeerId, AbortHandle>>);

impl Keepers {
    /// Has a keeper for each peer that has a locator, and for no other.
    pub(super) fn follow_peers(&self, sessions: &Arc<Sessions>) {
        let peers = &sessions.context.peers;
        let mut dialed = peers.ids();
        dialed.retain(|peer| !peers.locators(*peer).is_empty());
        let mut keepers = self.0.lock();
        for (_, keeper) in keepers.extract_if(|peer, _| !dialed.contains(peer)) {
            keeper.abort();
        }
        for peer in dialed {
            keepers.entry(peer).or_insert_with(|| {
                let weak = Arc::downgrade(sessions);
                let keeper = supervise("the keeper of a session", move || {
                    upkeep::keep_session(weak.clone(), peer)
                });
                tokio::spawn(keeper).abort_handle()
            });
        }
    }
}
