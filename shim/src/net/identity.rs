//! This host's identity: an Ed25519 key (RFC 8032), kept in a file with mode 0600.

use std::path::Path;

use thiserror::Error;

use crate::vocab::ids::PeerId;

/// An Ed25519 key pair; its public half is this host's [`PeerId`].
#[derive(Clone)]
pub struct Identity {
    peer_id: PeerId,
}

/// Why an identity could not be made, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// placeholder
    #[error("placeholder")]
    Placeholder,
}

impl Identity {
    /// A new random identity, in memory only.
    pub fn generate() -> Self {
        todo!()
    }
    /// Reads the identity in the file `path`.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let _ = path;
        todo!()
    }
    /// Writes a new identity to the file `path`, which must not exist yet; mode 0600.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let _ = path;
        todo!()
    }
    /// The public key.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }
}
