//! The user name and password that an ingress wants of its clients.

use crate::secret::SecretDigest;

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
        let same = |given: &str, right: &str| SecretDigest::of(right).matches(given);
        same(username, &self.username) & same(password, &self.password)
    }
}
