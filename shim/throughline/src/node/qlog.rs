//! Reads the qlog of lanes, for as long as somebody wants it.

use std::fmt;
use std::sync::{Arc, Weak};

use thiserror::Error;

use super::handle::Node;
use crate::engine::drains::UnknownUplink;
use crate::engine::qlog::{QlogPart, Queue};
use crate::engine::sessions::Sessions;
use throughline_proto::types::{PeerId, PeerName};

/// Why the qlog of lanes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QlogError {
    /// There is no such peer.
    #[error("{0} is no peer of this node")]
    UnknownPeer(PeerId),
    /// There is no such uplink.
    #[error(transparent)]
    UnknownUplink(#[from] UnknownUplink),
    /// Somebody reads it already.
    #[error("the qlog of lanes to {0} is being read by somebody else; wait for its end, or end it")]
    Taken(PeerName),
}

/// The qlog of lanes to a peer, from [`Node::qlog`]. What it began ends when it is dropped. It does not keep the node
/// alive.
pub struct QlogReader {
    sessions: Weak<Sessions>,
    peer: PeerId,
    queue: Arc<Queue>,
}

impl Node {
    /// Begins to read what QUIC logs of the lanes to a peer: each packet that is sent, received or lost, with its
    /// number and length, and what becomes of round trips and of the congestion window; no byte of what is carried.
    /// With `uplink` only of lanes over that one.
    ///
    /// QUIC logs a connection from its beginning or not at all. So lanes that are there are replaced by others, now and
    /// when the reader is dropped. Those that we dialed are replaced make before break; of those that the peer dialed
    /// one at a time is closed, and only while another answers, since the peer then dials it anew. A connection of
    /// which nobody reads the qlog costs nothing; one of which somebody does some microseconds more for each packet.
    ///
    /// # Errors
    /// There is no such peer or uplink, or somebody reads the qlog of the peer's lanes already.
    pub fn qlog(&self, peer: PeerId, uplink: Option<&str>) -> Result<QlogReader, QlogError> {
        let sessions = self.sessions();
        let peers = &sessions.context.peers;
        let key = peers.resolve(peer);
        if !peers.ids().contains(&key) {
            return Err(QlogError::UnknownPeer(peer));
        }
        if let Some(name) = uplink {
            sessions.known(name)?;
        }
        let queue = sessions.context.qlogs.begin(key, uplink.map(str::to_owned));
        let queue = queue.ok_or_else(|| QlogError::Taken(peers.name(key)))?;
        sessions.follow_qlog(key);
        Ok(QlogReader { sessions: Arc::downgrade(sessions), peer: key, queue })
    }
}

impl QlogReader {
    /// Waits until something was logged, and returns what was logged since the last call, of each lane one part.
    /// `None` once the node has ended. Cancel-safe.
    ///
    /// Whoever calls it at once again wakes up for each packet; ten times a second is as good, and soon enough.
    pub async fn next(&mut self) -> Option<Vec<QlogPart>> {
        let sessions = self.sessions.clone();
        let mut changes = sessions.upgrade()?.changes();
        loop {
            let parts = self.queue.take();
            if !parts.is_empty() {
                return Some(parts);
            }
            if sessions.upgrade().is_none_or(|sessions| sessions.is_shutting_down()) {
                return None;
            }
            tokio::select! {
                () = self.queue.something() => {}
                changed = changes.changed() => changed.ok()?,
            }
        }
    }
}

impl Drop for QlogReader {
    fn drop(&mut self) {
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.context.qlogs.end(&self.queue);
            sessions.follow_qlog(self.peer);
        }
    }
}

impl fmt::Debug for QlogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QlogReader").field("peer", &self.peer).finish_non_exhaustive()
    }
}
