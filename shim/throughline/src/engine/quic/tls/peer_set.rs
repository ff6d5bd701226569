//! The keys that may dial us.

use std::collections::HashSet;

use parking_lot::RwLock;

use throughline_proto::types::PeerId;

/// The keys that may dial us, the same for every listening address. The lock is a leaf.
#[derive(Debug, Default)]
pub(crate) struct PeerSet(RwLock<HashSet<PeerId>>);

impl PeerSet {
    /// Makes the set of `keys`.
    pub(crate) fn new(keys: impl IntoIterator<Item = PeerId>) -> Self {
        Self(RwLock::new(keys.into_iter().collect()))
    }

    /// Returns whether whoever has `key` may dial us.
    pub(crate) fn contains(&self, key: PeerId) -> bool {
        self.0.read().contains(&key)
    }

    /// Lets in those who have one of `keys` from now on, and nobody else.
    pub(crate) fn set(&self, keys: impl IntoIterator<Item = PeerId>) {
        *self.0.write() = keys.into_iter().collect();
    }
}
