//! The token that permits changes, and reading from elsewhere.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::secret::{self, SecretDigest};

/// The shortest token, in bytes: half of what `openssl rand -hex 16` prints is more than anybody guesses.
const MIN_LENGTH: usize = 16;

/// The longest file, in bytes: a token is a line.
const MAX_LENGTH: usize = 1024;

/// A token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(SecretDigest);

/// Why a file holds no token.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}; make one with `openssl rand -hex 16`, readable for the daemon's user", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it.
    #[error("every user may read or change {} (mode {mode:o}); run `chmod o-rwx {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no such token.
    #[error(
        "{} holds no token; write one line of 16 to 1024 printable characters without spaces into it, as \
         `openssl rand -hex 16` prints it",
        path.display()
    )]
    Invalid {
        /// The file.
        path: PathBuf,
    },
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads the token of a file.
    ///
    /// # Errors
    /// It cannot be read, others can, or it holds none.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |source| TokenError::Read { path: path.to_owned(), source };
        if let Some(mode) = secret::exposed_mode(path).map_err(unreadable)? {
            return Err(TokenError::Exposed { path: path.to_owned(), mode });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let token = text.trim();
        let fits = (MIN_LENGTH..=MAX_LENGTH).contains(&token.len());
        if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Invalid { path: path.to_owned() });
        }
        Ok(Self::of(token))
    }

    /// Returns the token of a text.
    pub(super) fn of(text: &str) -> Self {
        Self(SecretDigest::of(text))
    }

    /// Returns whether this is the token, in a time that reveals nothing about it.
    pub(super) fn matches(&self, given: &str) -> bool {
        self.0.matches(given)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_a_line_that_others_cannot_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Token::load(&path).map_err(|error| error.to_string())
        };
        let token = write("0123456789abcdef\n", 0o640).unwrap();
        assert!(token.matches("0123456789abcdef"));
        assert!(!token.matches("0123456789abcdeg") && !token.matches(""));
        assert_eq!(format!("{token:?}"), "Token");
        assert!(write("0123456789abcdef\n", 0o644).unwrap_err().contains("chmod o-rwx"));
        for text in ["", "short", "0123456789abcdef 0123456789abcdef", "0123456789abcde\u{e9}"] {
            assert!(write(text, 0o600).unwrap_err().contains("openssl rand"), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(Token::load(&path).unwrap_err().to_string().contains("openssl rand"));
    }
}
