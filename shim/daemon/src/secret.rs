//! What is done with secrets, wherever there are any: files that hold one, and comparing with one.

use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

/// What a secret is compared by, in a time that reveals nothing about it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Returns that of a text.
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Returns whether this is the secret.
    pub(crate) fn matches(&self, given: &str) -> bool {
        // Whole digests are compared, so that the duration does not depend on what they begin with.
        let given = Self::of(given);
        given.0.iter().zip(&self.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

/// Returns the mode of a file that users may read or change who are neither its owner nor in its group.
///
/// # Errors
/// The file is not there, or cannot be looked at.
pub(crate) fn exposed_mode(path: &Path) -> io::Result<Option<u32>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        /// Permission bits of users that are neither the owner nor in the group.
        const OTHERS: u32 = 0o007;
        let mode = std::fs::metadata(path)?.permissions().mode() & 0o7777;
        Ok((mode & OTHERS != 0).then_some(mode))
    }
    #[cfg(not(unix))]
    std::fs::metadata(path).map(|_| None)
}
