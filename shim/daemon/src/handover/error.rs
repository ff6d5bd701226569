//! Why a successor does not take over.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use throughline::handover::RestoreError;

/// A successor could not take over; the daemon that runs goes on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TakeOverError {
    /// There is no admin socket to ask at.
    #[error(
        "there is no admin socket to take over by; remove `admin = false` and restart the daemon once"
    )]
    NoAdminSocket,
    /// The daemon cannot be asked.
    #[error(
        "cannot ask the daemon at {path} to hand over: {source}; run this as its user, or as root"
    )]
    Connection {
        /// The path of its admin socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon does not hand over.
    #[error("the daemon that runs does not hand over: {0}; it goes on")]
    Refused(String),
    /// Another identity.
    #[error(
        "the daemon that runs is {theirs}, and this configuration's identity is {ours}: sessions cannot \
         be taken over from another key; have it reload this configuration first. It goes on"
    )]
    Identity {
        /// The key of the daemon that runs.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// The state cannot be restored.
    #[error("the state of the daemon that runs cannot be restored: {0}; it goes on")]
    State(#[from] RestoreError),
    /// The state cannot be read.
    #[error("the state of the daemon that runs cannot be read: {0}; it goes on")]
    Read(#[source] io::Error),
    /// The daemon does not answer.
    #[error(
        "the daemon that runs does not answer: it is stopped, or is reading its configuration; try again in a \
         moment. Nothing was taken over"
    )]
    Silent,
    /// What was left is too old.
    #[error("it was left {} s ago, and applications wait for {} s at most", age.as_secs(), limit.as_secs())]
    Late {
        /// How long ago it was left.
        age: Duration,
        /// How long it may be.
        limit: Duration,
    },
    /// The daemon is another user's.
    #[error(
        "the daemon at {0} is of another user: nothing is taken over from it; run this as that user"
    )]
    OtherUser(PathBuf),
    /// The daemon did not let go.
    #[error(
        "the daemon that runs did not let go: {0}; if it has ended, start this one without --take-over"
    )]
    NotOurs(#[source] io::Error),
}

impl TakeOverError {
    /// Returns why what another process has left cannot be used, where that has ended.
    pub(crate) fn of_kept(&self) -> String {
        match self {
            Self::State(error) => error.to_string(),
            Self::Read(error) | Self::NotOurs(error) => error.to_string(),
            Self::Identity { theirs, ours } => {
                format!("it was {theirs}, and the identity of this configuration is {ours}")
            }
            Self::Refused(reason) => reason.clone(),
            other => other.to_string(),
        }
    }
}
