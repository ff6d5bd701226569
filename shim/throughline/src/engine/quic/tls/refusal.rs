//! Why a key was refused, as a person reads it.

use std::fmt;

use thiserror::Error;

use throughline_proto::types::{PeerId, printable};

/// Why the other end's certificate is not accepted.
#[derive(Clone, PartialEq, Eq, Error)]
pub(crate) enum KeyRefused {
    /// We dialed one peer and another answered. Both ends log this text, so it is in neither's view.
    #[error(
        "key {presented} was shown where {} was expected; correct `key` or the locator at the end that dials",
        one_of(expected)
    )]
    Unexpected {
        /// The key that it showed.
        presented: PeerId,
        /// The keys we pinned: as a rule one.
        expected: Vec<PeerId>,
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

fn one_of(keys: &[PeerId]) -> String {
    keys.iter().map(PeerId::to_string).collect::<Vec<_>>().join(" or ")
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

/// What is said where the ends have no ALPN protocol in common (RFC 7301 §3.2). Both log it.
const NO_COMMON_ALPN: &str = "no common protocol version: one end does not speak throughline/1 (ALPN); \
                              update the older one";

/// The TLS alert `no_application_protocol`, as QUIC carries it (RFC 9001 §4.8).
fn no_common_alpn() -> quinn::TransportErrorCode {
    quinn::TransportErrorCode::crypto(120)
}

/// Returns why the connection ended, without the layers' wrapping, and which end refused. The peer
/// chooses its reason, so what must not be printed is replaced: every text of a connection's end
/// comes through here.
pub(crate) fn reason(error: &quinn::ConnectionError) -> String {
    use quinn::ConnectionError::{ConnectionClosed, Reset, TransportError};
    let text = match error {
        TransportError(error) if error.code == no_common_alpn() => NO_COMMON_ALPN.to_owned(),
        ConnectionClosed(close) if close.error_code == no_common_alpn() => {
            NO_COMMON_ALPN.to_owned()
        }
        TransportError(error) => unwrapped(&error.reason).unwrap_or_else(|| error.to_string()),
        ConnectionClosed(close) => match unwrapped(&String::from_utf8_lossy(&close.reason)) {
            Some(text) => format!("the peer refused us: {text}"),
            None => format!("closed by the peer: {close}"),
        },
        // A stateless reset (RFC 9000 §10.3): its process is another one, or forgot the lane. No path failed.
        Reset => {
            "the peer's process ended: the one at its address does not know this lane".to_owned()
        }
        other => other.to_string(),
    };
    printable(&text).into_owned()
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

/// Returns whether either end does not know the key that the other one has shown.
pub(crate) fn is_of_a_key(error: &quinn::ConnectionError) -> bool {
    use quinn::ConnectionError::{ConnectionClosed, TransportError};
    match error {
        TransportError(error) => unwrapped(&error.reason).is_some(),
        ConnectionClosed(close) => unwrapped(&String::from_utf8_lossy(&close.reason)).is_some(),
        _ => false,
    }
}

/// Which end refused a connection for what the other one has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFault {
    /// We did: another key was expected.
    ShownHere(PeerId),
    /// The other end did: it does not know our key.
    RefusedThere,
    /// Either did: they have no ALPN protocol in common.
    NoCommonProtocol,
}

/// Returns whose key, or whose protocol, was refused, if that is why the connection failed.
pub(crate) fn key_fault(error: &quinn::ConnectionError) -> Option<KeyFault> {
    use quinn::ConnectionError::{ConnectionClosed, TransportError};
    match error {
        TransportError(error) if error.code == no_common_alpn() => Some(KeyFault::NoCommonProtocol),
        ConnectionClosed(close) if close.error_code == no_common_alpn() => {
            Some(KeyFault::NoCommonProtocol)
        }
        TransportError(error) => {
            let key = unwrapped(&error.reason)?.split(' ').nth(1)?.parse().ok()?;
            Some(KeyFault::ShownHere(key))
        }
        ConnectionClosed(close) => {
            unwrapped(&String::from_utf8_lossy(&close.reason)).map(|_| KeyFault::RefusedThere)
        }
        _ => None,
    }
}

fn unwrapped(text: &str) -> Option<String> {
    let text = text.strip_prefix(WRAPPING.0)?;
    Some(text.strip_suffix(WRAPPING.1).unwrap_or(text).to_owned())
}
