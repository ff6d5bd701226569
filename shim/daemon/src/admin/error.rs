//! Errors of the admin socket, at either end.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The admin socket cannot be created, or does not answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Another daemon answers at the path.
    #[error("another daemon answers at {0}; stop it, or give this one its own `admin` path")]
    InUse(PathBuf),
    /// Something other than a socket is at the path.
    #[error("{0} exists and is not a socket; move it, or set another path with `admin`")]
    NotASocket(PathBuf),
    /// The socket cannot be created.
    #[error("cannot create the admin socket {path}: {source}; set another path with `admin`")]
    Bind {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No daemon answers.
    #[error(
        "no daemon answers at {path}: {source}; start it with `throughline run -c FILE`, or name \
         its configuration (-c FILE) or its socket (--socket PATH)"
    )]
    NotRunning {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many clients are before this one.
    #[error(
        "the daemon at {0} is busy: other clients of its admin socket do not make room; end those that have it open \
         (`ss -xp src {0}`)"
    )]
    Busy(PathBuf),
    /// This user may not connect.
    #[error("cannot open {path}: {source}; run this as the daemon's user or as root")]
    PermissionDenied {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon refuses the request.
    #[error("{0}")]
    Refused(String),
    /// The daemon answered with an error, not in time, or with an unexpected answer.
    #[error("the daemon at {path} gave no valid answer: {reason}; is it of another version?")]
    InvalidAnswer {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl AdminError {
    /// Says why nobody is reached at `path`.
    pub(super) fn unreachable(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { path, source },
            io::ErrorKind::WouldBlock => Self::Busy(path),
            _ => Self::NotRunning { path, source },
        }
    }
}
