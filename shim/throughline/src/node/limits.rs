//! What a node is given: its bounds and its peers.

use std::time::Duration;

use throughline_proto::types::{Locator, PeerId};

/// A peer as given to [`crate::NodeBuilder::peer`].
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Its public key.
    pub id: PeerId,
    /// A name for logs and status.
    pub name: String,
    /// Where it can be reached; empty where only the peer dials.
    pub locators: Vec<Locator>,
}

/// Bounds. Each is enforced where it is named; what happens at it is said there.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes held for flows in all (send buffers and assemblers). At it windows stop growing.
    pub memory: u64,
    /// Flows a peer may have open in a session. The next open is refused.
    pub flows_per_session: usize,
    /// Sessions a peer may have. The longest detached goes first.
    pub sessions_per_peer: usize,
    /// How long a session without any lane is kept.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            flows_per_session: 1024,
            sessions_per_peer: 4,
            linger: Duration::from_secs(12 * 3600),
        }
    }
}
