//! Why an identity's file is of no use, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

/// Why an identity could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no such file.
    #[error("no identity file at {path}; make one with `throughline keygen {path}`", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there already; an identity is never overwritten.
    #[error("{path} exists already and is kept as it is; name another file or remove this one", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others can read the file, or anybody but its owner can change it; or its group can read it, and it is not
    /// root who gave it to that group.
    #[error("identity file {path} is open to other users (mode {mode:04o}); run `chmod 600 {path}`, or as root `chown root:GROUP` and `chmod 640` for a daemon in GROUP", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold an Ed25519 private key.
    #[error("{path} is not an Ed25519 private key in PKCS#8 PEM form: {reason}; make one with `throughline keygen FILE`", path = path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file could not be read.
    #[error("cannot read identity file {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The directory that the file is to be in is not there.
    #[error("there is no directory {path} to write an identity to; run `mkdir -p {path}`", path = path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The file could not be written.
    #[error("cannot write identity file {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
