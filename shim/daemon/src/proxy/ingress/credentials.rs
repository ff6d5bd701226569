//! The user name and password that an ingress wants of its clients.

use sha2::{Digest, Sha256};

/// The user of an ingress. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name, 1 to 255 bytes.
    pub username: String,
    /// The password, 1 to 255 bytes.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.username)
    }
}

impl Credentials {
    /// Returns whether these are the credentials, in a time that reveals nothing about the password.
    pub(super) fn matches(&self, username: &str, password: &str) -> bool {
        // Whole digests are compared, so that the duration does not depend on what they begin with.
        let same = |given: &str, right: &str| {
            let (given, right) =
                (Sha256::digest(given.as_bytes()), Sha256::digest(right.as_bytes()));
            given.iter().zip(right.iter()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
        };
        same(username, &self.username) & same(password, &self.password)
    }
}
