//! Why a node cannot have a configuration.

use std::net::SocketAddr;

use thiserror::Error;

use crate::engine::quic::socket;
use throughline_uplinks::ManageError;

/// Why a node could not be started, or cannot take a configuration over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A UDP address to listen on is taken or not ours.
    #[error("cannot listen on udp {addr}: {source}; {}", socket::bind_hint(source))]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Two peers have one key.
    #[error("peers `{0}` and `{1}` have the same key; give each its own")]
    DuplicatePeer(String, String),
    /// A peer has our own key.
    #[error("peer `{0}` has this node's own key; give it the peer's")]
    OwnKey(String),
    /// The routes cannot be managed.
    #[error("cannot manage routes: {0}")]
    Routes(#[from] ManageError),
}
