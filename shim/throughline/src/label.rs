//! What a peer is called now, for all that speak of it: sessions outlive a change of its name and keys.

use std::time::Instant;

use parking_lot::RwLock;

use crate::config::PeerConfig;
use throughline_proto::types::{PeerId, PeerName};

/// A peer's name and keys as they are configured now. The lock is a leaf.
#[derive(Debug)]
pub(crate) struct PeerLabel(RwLock<Label>);

#[derive(Clone, Debug)]
struct Label {
    name: PeerName,
    /// The key that it is known by, first; none once the peer was removed.
    keys: Vec<PeerId>,
    /// The key that it is called by where it has none any more.
    key: PeerId,
    /// Since when it has these keys, in this order.
    since: Instant,
}

impl PeerLabel {
    pub(crate) fn new(config: &PeerConfig) -> Self {
        Self(RwLock::new(Label::of(config)))
    }

    /// Returns the peer's name in the configuration.
    pub(crate) fn name(&self) -> PeerName {
        self.0.read().name.clone()
    }

    /// Returns the key that the peer is known by.
    pub(crate) fn key(&self) -> PeerId {
        self.0.read().key
    }

    /// Returns whether the peer may show this key.
    pub(crate) fn accepts(&self, key: PeerId) -> bool {
        self.0.read().keys.contains(&key)
    }

    /// Returns whether a lane is to be dialed anew on which the peer has shown `key`: it is known by another
    /// one since, which it may show by now.
    pub(crate) fn outdates(&self, key: PeerId, attached_at: Instant) -> bool {
        let label = self.0.read();
        key != label.key && attached_at < label.since
    }

    /// Takes over what was configured anew.
    pub(crate) fn set(&self, config: &PeerConfig) {
        let mut label = self.0.write();
        let since = label.since;
        let keys = std::mem::replace(&mut *label, Label::of(config)).keys;
        if label.keys == keys {
            label.since = since;
        }
    }

    /// Notes that the peer was removed: it may show no key any more.
    pub(crate) fn remove(&self) {
        self.0.write().keys.clear();
    }
}

impl Label {
    fn of(config: &PeerConfig) -> Self {
        Self {
            name: config.name.as_str().into(),
            keys: config.keys().collect(),
            key: config.id,
            since: Instant::now(),
        }
    }
}
