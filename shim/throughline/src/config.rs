//! What a node is configured with: its bounds and its peers.

use std::time::Duration;

use throughline_proto::types::{Locator, PeerId};

/// A peer that a node trusts, for [`NodeBuilder::peer`](crate::NodeBuilder::peer).
///
/// ```
/// use std::net::SocketAddr;
/// use throughline::{Identity, PeerConfig};
///
/// let key = Identity::generate().peer_id(); // or `"tlk1…".parse()?`
/// let address = SocketAddr::from(([203, 0, 113, 5], 5443));
/// let server = PeerConfig::new(key, "server").locator(address);
/// assert_eq!(server.locators[0].to_string(), "203.0.113.5:5443");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerConfig {
    /// Its public key.
    pub id: PeerId,
    /// Other keys that it may show, while it changes its key.
    pub other_keys: Vec<PeerId>,
    /// Its name in the log, in events and in the status.
    pub name: String,
    /// Where it can be dialed; empty where only the peer dials.
    pub locators: Vec<Locator>,
}

impl PeerConfig {
    /// Creates a peer without a locator: one that only dials us.
    #[must_use]
    pub fn new(id: PeerId, name: impl Into<String>) -> Self {
        Self { id, other_keys: Vec::new(), name: name.into(), locators: Vec::new() }
    }

    /// Adds another key that the peer may show, while it changes its key. Whatever key it shows, it is the
    /// same peer: a session goes on over lanes with any of them. Call it again for more.
    #[must_use]
    pub fn other_key(mut self, key: PeerId) -> Self {
        self.other_keys.push(key);
        self
    }

    /// Returns every key that the peer may show, the one that it is known by first.
    pub fn keys(&self) -> impl Iterator<Item = PeerId> + use<'_> {
        std::iter::once(self.id).chain(self.other_keys.iter().copied())
    }

    /// Adds a locator, where the peer can be dialed. Call it again for more.
    #[must_use]
    pub fn locator(mut self, locator: impl Into<Locator>) -> Self {
        self.locators.push(locator.into());
        self
    }

    /// Adds locators.
    #[must_use]
    pub fn locators(mut self, locators: impl IntoIterator<Item = impl Into<Locator>>) -> Self {
        self.locators.extend(locators.into_iter().map(Into::into));
        self
    }
}

/// The bounds of a node. Each is enforced where it is named; what happens at it is said there.
///
/// ```
/// use std::time::Duration;
/// use throughline::Limits;
///
/// let limits = Limits::default().memory(64 << 20).linger(Duration::from_secs(3600));
/// assert_eq!(limits.flows_per_session, 16_384);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes held for flows in all (send buffers and assemblers). At it windows stop growing.
    pub memory: u64,
    /// Flows that a peer may have open in a session. The next open is refused. It is also how many may wait
    /// to be accepted by one listener.
    pub flows_per_session: usize,
    /// Sessions that a peer may have. The one longest without a lane goes first.
    pub sessions_per_peer: usize,
    /// Lanes of a session that its other end may dial, those that are silent or leaving included; twice as
    /// many in all sessions of a peer. The next is refused.
    pub lanes_per_session: usize,
    /// How long a session without any lane is kept.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            // With 16 KiB of window each they fill the default memory.
            flows_per_session: 16_384,
            sessions_per_peer: 4,
            // The initiator keeps four, and dials anew beside silent ones.
            lanes_per_session: 16,
            linger: Duration::from_secs(12 * 3600),
        }
    }
}

impl Limits {
    /// Bounds the bytes held for flows in all.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Bounds the flows that a peer may have open in a session.
    #[must_use]
    pub fn flows_per_session(mut self, flows: usize) -> Self {
        self.flows_per_session = flows;
        self
    }

    /// Bounds the sessions that a peer may have.
    #[must_use]
    pub fn sessions_per_peer(mut self, sessions: usize) -> Self {
        self.sessions_per_peer = sessions;
        self
    }

    /// Bounds the lanes of a session that its other end may dial.
    #[must_use]
    pub fn lanes_per_session(mut self, lanes: usize) -> Self {
        self.lanes_per_session = lanes;
        self
    }

    /// Sets how long a session without any lane is kept.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }
}
