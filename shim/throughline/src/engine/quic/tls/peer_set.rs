//! The keys that may dial us.

use std::collections::HashSet;

use throughline_proto::types::PeerId;

/// The keys that may dial us, the same for every listening address.
#[derive(Debug, Default)]
pub(crate) struct PeerSet(HashSet<PeerId>);

impl PeerSet {
    /// Makes the set of `peers`.
    pub(crate) fn new(peers: impl IntoIterator<Item = PeerId>) -> Self {
        Self(peers.into_iter().collect())
    }

    /// Returns whether `peer` may dial us.
    pub(crate) fn contains(&self, peer: PeerId) -> bool {
        self.0.contains(&peer)
    }
}
