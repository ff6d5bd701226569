//! The peers of a node: what is configured, who waits for one, and whether dials get through.
//!
//! Within the node a peer is called by a number that stays while its keys change ([`registry`]); what is
//! asked for by a key, as applications and certificates do, is [resolved](Peers::resolve) first.

mod registry;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::PeerConfig;
use crate::label::PeerLabel;
use throughline_proto::throttle::TokenBucket;
use throughline_proto::types::{Locator, PeerId, PeerName};

/// The peers; clones share them. The lock is taken before those of the peers' labels.
#[derive(Clone)]
pub(crate) struct Peers(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// In the order in which they were configured.
    order: Vec<PeerId>,
    /// Those in `order`, and those that are removed but not [forgotten](Peers::forget) yet.
    peers: HashMap<PeerId, Peer>,
    /// The peer of each key, and of each key that it was known by before.
    of_key: HashMap<PeerId, PeerId>,
}

struct Peer {
    config: PeerConfig,
    label: Arc<PeerLabel>,
    /// Applications that wait for a session.
    waiting: usize,
    failing: Option<Failing>,
    /// Dials that failed for the sake of a key, although other lanes answer.
    refused: Option<Failing>,
    /// What may be sent to addresses that only the peer named.
    named: TokenBucket,
}

/// Packets to addresses that a peer named and we did not configure: so many at once, and one in an
/// interval. A dial counts as [`PACKETS_OF_A_DIAL`], a probe as one. The dials of one session are
/// bounded by uplink anyway; this holds over all of a peer's sessions, however often it ends one to have
/// us begin another. An hour's outage of a site with four uplinks takes no more.
const NAMED_BURST: u32 = 1024;
const NAMED_INTERVAL: Duration = Duration::from_secs(1);

/// The packets of a dial that nobody answers: two, sent four times.
pub(crate) const PACKETS_OF_A_DIAL: u32 = 8;

/// Every dial to a peer fails, and no lane answers.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    /// When the first dial failed after the last that succeeded.
    pub(crate) since: Instant,
    /// Why the last one failed.
    pub(crate) error: String,
}

impl Failing {
    /// Returns what is known after another failure.
    fn again(before: Option<Self>, error: String) -> Self {
        let since = before.map_or_else(Instant::now, |before| before.since);
        Self { since, error }
    }
}

/// What became of the peers when they were configured anew, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct PeersChange {
    /// Those that are new, or whose name, keys or locators are others now.
    pub(crate) changed: Vec<PeerId>,
    /// Those that are gone: known until they are [forgotten](Peers::forget).
    pub(crate) removed: Vec<PeerId>,
}

impl Peers {
    pub(crate) fn new(configs: Vec<PeerConfig>) -> Self {
        let peers = Self(Arc::default());
        peers.replace(configs);
        peers
    }

    /// Takes over the peers as they are configured now. Those that are gone accept no key any more; what
    /// there is of them ends when the caller has ended it, and [forgets](Self::forget) them.
    pub(crate) fn replace(&self, configs: Vec<PeerConfig>) -> PeersChange {
        let mut known = self.0.lock();
        let of = |number: &PeerId| known.peers.get(number).map(|p| (*number, &p.config));
        let old: Vec<_> = known.order.iter().filter_map(of).collect();
        let mint = || PeerId::from_bytes(rand::random());
        let numbers = registry::numbers(&old, &configs, mint);
        let mut change = PeersChange::default();
        for (number, config) in numbers.iter().zip(configs) {
            if known.set(*number, config) {
                change.changed.push(*number);
            }
        }
        change.removed = known.order.iter().filter(|n| !numbers.contains(n)).copied().collect();
        for number in &change.removed {
            known.peers.get(number).inspect(|peer| peer.label.remove());
        }
        known.order = numbers;
        change
    }

    /// Forgets peers that were removed, and the keys that were theirs.
    pub(crate) fn forget(&self, removed: &[PeerId]) {
        let mut known = self.0.lock();
        known.peers.retain(|number, _| !removed.contains(number));
        known.of_key.retain(|_, number| !removed.contains(number));
    }

    /// Returns the peers in the order in which they were configured.
    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.0.lock().order.clone()
    }

    /// Returns the peer that has this key, or had it when it was known by another one; an unknown key
    /// itself.
    pub(crate) fn resolve(&self, key: PeerId) -> PeerId {
        self.0.lock().of_key.get(&key).copied().unwrap_or(key)
    }

    /// Returns every key that a peer may show.
    pub(crate) fn keys(&self) -> Vec<PeerId> {
        let known = self.0.lock();
        let peers = known.order.iter().filter_map(|number| known.peers.get(number));
        peers.flat_map(|peer| peer.config.keys()).collect()
    }

    /// Returns the keys that a peer may show.
    pub(crate) fn keys_of(&self, peer: PeerId) -> Vec<PeerId> {
        self.0.lock().peers.get(&peer).map(|p| p.config.keys().collect()).unwrap_or_default()
    }

    /// Returns what is configured of a peer.
    pub(crate) fn config(&self, peer: PeerId) -> Option<PeerConfig> {
        self.0.lock().peers.get(&peer).map(|p| p.config.clone())
    }

    /// Returns the configured locators of a peer.
    pub(crate) fn locators(&self, peer: PeerId) -> Vec<Locator> {
        self.0.lock().peers.get(&peer).map(|p| p.config.locators.clone()).unwrap_or_default()
    }

    /// Returns what the peer is called here; the beginning of its key where it is unknown.
    pub(crate) fn name(&self, peer: PeerId) -> PeerName {
        self.label(peer).map_or_else(|| peer.short().as_str().into(), |label| label.name())
    }

    /// Returns what the peer is called, now and later.
    pub(crate) fn label(&self, peer: PeerId) -> Option<Arc<PeerLabel>> {
        self.0.lock().peers.get(&peer).map(|p| p.label.clone())
    }

    /// Returns whether an application waits for a session with the peer.
    pub(crate) fn has_demand(&self, peer: PeerId) -> bool {
        self.0.lock().peers.get(&peer).is_some_and(|p| p.waiting > 0)
    }

    /// Counts an application that waits for a session with the peer, until the guard is dropped.
    pub(crate) fn demand(&self, peer: PeerId) -> DemandGuard {
        self.with(peer, |p| p.waiting += 1);
        DemandGuard { peers: self.clone(), peer }
    }

    /// Returns whether so many packets may be sent to an address that only the peer named, and counts
    /// them.
    pub(crate) fn may_send_to_named(&self, peer: PeerId, packets: u32) -> bool {
        let mut known = self.0.lock();
        known.peers.get_mut(&peer).is_some_and(|p| p.named.take_many(Instant::now(), packets))
    }

    /// Notes that a dial got through.
    pub(crate) fn dialed(&self, peer: PeerId) {
        self.with(peer, |p| (p.failing, p.refused) = (None, None));
    }

    /// Notes that a dial failed as one end does not know the other's key, while other lanes answer.
    pub(crate) fn key_refused(&self, peer: PeerId, error: String) {
        self.with(peer, |p| p.refused = Some(Failing::again(p.refused.take(), error)));
    }

    /// Forgets which peers do not know our key, as we have another one.
    pub(crate) fn forget_refusals(&self) {
        self.0.lock().peers.values_mut().for_each(|peer| peer.refused = None);
    }

    /// Returns since when dials have failed for the sake of a key, while other lanes answer.
    pub(crate) fn refused(&self, peer: PeerId) -> Option<Failing> {
        self.0.lock().peers.get(&peer).and_then(|p| p.refused.clone())
    }

    /// Notes that the peer is reached: another lane answers.
    pub(crate) fn reached(&self, peer: PeerId) {
        self.with(peer, |p| p.failing = None);
    }

    /// Notes that a dial failed, and why.
    pub(crate) fn dial_failed(&self, peer: PeerId, error: String) {
        self.with(peer, |p| p.failing = Some(Failing::again(p.failing.take(), error)));
    }

    /// Returns since when every dial to the peer has failed, if all do.
    pub(crate) fn failing(&self, peer: PeerId) -> Option<Failing> {
        self.0.lock().peers.get(&peer).and_then(|p| p.failing.clone())
    }

    fn with(&self, peer: PeerId, change: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.0.lock().peers.get_mut(&peer) {
            change(peer);
        }
    }
}

impl Known {
    /// Takes over what is configured of a peer; returns whether that is new.
    fn set(&mut self, number: PeerId, config: PeerConfig) -> bool {
        for key in config.keys() {
            self.of_key.insert(key, number);
        }
        match self.peers.get_mut(&number) {
            Some(peer) if peer.config == config => false,
            Some(peer) => {
                // It may be about keys that were changed.
                peer.refused = None;
                peer.label.set(&config);
                peer.config = config;
                true
            }
            None => {
                let label = Arc::new(PeerLabel::new(&config));
                let named = TokenBucket::new(NAMED_BURST, NAMED_INTERVAL);
                self.peers.insert(
                    number,
                    Peer { config, label, waiting: 0, failing: None, refused: None, named },
                );
                true
            }
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
