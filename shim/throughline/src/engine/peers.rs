//! The peers of a node: what was configured, who waits for one, and whether dials get through.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::PeerConfig;
use throughline_proto::types::{Locator, PeerId, PeerName};

/// The peers; clones share them. The lock is a leaf.
#[derive(Clone)]
pub(crate) struct Peers(Arc<Inner>);

struct Inner {
    /// In the order in which they were configured.
    order: Vec<PeerId>,
    peers: Mutex<HashMap<PeerId, Peer>>,
}

struct Peer {
    config: PeerConfig,
    /// Applications that wait for a session.
    waiting: usize,
    failing: Option<Failing>,
}

/// Every dial to a peer fails.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    /// When the first dial failed after the last that succeeded.
    pub(crate) since: Instant,
    /// Why the last one failed.
    pub(crate) error: String,
}

impl Peers {
    pub(crate) fn new(configs: Vec<PeerConfig>) -> Self {
        let order = configs.iter().map(|config| config.id).collect();
        let peer = |config: PeerConfig| (config.id, Peer { config, waiting: 0, failing: None });
        let peers = Mutex::new(configs.into_iter().map(peer).collect());
        Self(Arc::new(Inner { order, peers }))
    }

    /// Returns the peers in the order in which they were configured.
    pub(crate) fn ids(&self) -> &[PeerId] {
        &self.0.order
    }

    /// Returns what was configured of a peer.
    pub(crate) fn config(&self, peer: PeerId) -> Option<PeerConfig> {
        self.0.peers.lock().get(&peer).map(|p| p.config.clone())
    }

    /// Returns the configured locators of a peer.
    pub(crate) fn locators(&self, peer: PeerId) -> Vec<Locator> {
        self.0.peers.lock().get(&peer).map(|p| p.config.locators.clone()).unwrap_or_default()
    }

    /// Returns what the peer is called here; the beginning of its key where it is unknown.
    pub(crate) fn name(&self, peer: PeerId) -> PeerName {
        let peers = self.0.peers.lock();
        peers
            .get(&peer)
            .map_or_else(|| peer.short().as_str().into(), |p| p.config.name.as_str().into())
    }

    /// Returns whether an application waits for a session with the peer.
    pub(crate) fn has_demand(&self, peer: PeerId) -> bool {
        self.0.peers.lock().get(&peer).is_some_and(|p| p.waiting > 0)
    }

    /// Counts an application that waits for a session with the peer, until the guard is dropped.
    pub(crate) fn demand(&self, peer: PeerId) -> DemandGuard {
        self.with(peer, |p| p.waiting += 1);
        DemandGuard { peers: self.clone(), peer }
    }

    /// Notes that a dial got through.
    pub(crate) fn dial_succeeded(&self, peer: PeerId) {
        self.with(peer, |p| p.failing = None);
    }

    /// Notes that a dial failed, and why.
    pub(crate) fn dial_failed(&self, peer: PeerId, error: String) {
        self.with(peer, |p| {
            let since = p.failing.take().map_or_else(Instant::now, |failing| failing.since);
            p.failing = Some(Failing { since, error });
        });
    }

    /// Returns since when every dial to the peer has failed, if all do.
    pub(crate) fn failing(&self, peer: PeerId) -> Option<Failing> {
        self.0.peers.lock().get(&peer).and_then(|p| p.failing.clone())
    }

    fn with(&self, peer: PeerId, change: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.0.peers.lock().get_mut(&peer) {
            change(peer);
        }
    }
}

/// An application waits for a session with a peer; see [`Peers::demand`].
pub(crate) struct DemandGuard {
    peers: Peers,
    peer: PeerId,
}

impl Drop for DemandGuard {
    fn drop(&mut self) {
        self.peers.with(self.peer, |p| p.waiting = p.waiting.saturating_sub(1));
    }
}
