//! Why a key was refused, as a person reads it.

use std::fmt;

use thiserror::Error;

use throughline_proto::types::PeerId;

/// Why the other end's certificate is not accepted.
#[derive(Clone, PartialEq, Eq, Error)]
pub(crate) enum KeyRefused {
    /// We dialed one peer and another answered. Both ends log this text, so it is in neither's view.
    #[error(
        "key {presented} was shown where {expected} was expected; correct `key` or the locator at the end that dials"
    )]
    Unexpected {
        /// The key that it showed.
        presented: PeerId,
        /// The key we pinned.
        expected: PeerId,
    },
    /// An unknown peer dialed us.
    #[error("key {presented} is not among the peers; add it to let it in")]
    Unknown {
        /// The key that it showed.
        presented: PeerId,
    },
    /// The certificate has no Ed25519 key.
    #[error(
        "the peer's certificate holds no Ed25519 key: {0}; make its identity with `throughline keygen FILE`"
    )]
    NotEd25519(String),
}

impl fmt::Debug for KeyRefused {
    // rustls shows a verifier's error by its `Debug` form, and quinn keeps only that text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<KeyRefused> for rustls::Error {
    fn from(refused: KeyRefused) -> Self {
        rustls::CertificateError::Other(rustls::OtherError(std::sync::Arc::new(refused))).into()
    }
}

/// What rustls wraps around the text of a [`KeyRefused`].
const WRAPPING: (&str, &str) = ("invalid peer certificate: Other(OtherError(", "))");

/// Returns why the connection ended, without the layers' wrapping, and which end refused.
pub(crate) fn reason(error: &quinn::ConnectionError) -> String {
    use quinn::ConnectionError::{ConnectionClosed, TransportError};
    match error {
        TransportError(error) => unwrapped(&error.reason).unwrap_or_else(|| error.to_string()),
        ConnectionClosed(close) => match unwrapped(&String::from_utf8_lossy(&close.reason)) {
            Some(text) => format!("the peer refused us: {text}"),
            None => format!("closed by the peer: {close}"),
        },
        other => other.to_string(),
    }
}

/// Returns the key of an unknown peer, if that is why we refused the connection. It was shown and not
/// authenticated: nobody is asked to prove a key that is not let in. What cannot be a key is not
/// returned, since it cannot be added as a peer either.
pub(crate) fn unknown_peer(error: &quinn::ConnectionError) -> Option<PeerId> {
    let quinn::ConnectionError::TransportError(error) = error else { return None };
    let text = unwrapped(&error.reason)?;
    let presented = text.split(' ').nth(1)?.parse().ok()?;
    (text == KeyRefused::Unknown { presented }.to_string()).then_some(presented)
}

fn unwrapped(text: &str) -> Option<String> {
    let text = text.strip_prefix(WRAPPING.0)?;
    Some(text.strip_suffix(WRAPPING.1).unwrap_or(text).to_owned())
}
