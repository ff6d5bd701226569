//! Identifiers, each a type of its own, so that a swapped argument does not compile.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use thiserror::Error;

use super::ed25519;

/// Identifies a peer by its Ed25519 public key (RFC 8032), never by an address.
///
/// Its text form is `tlk1` and the key in lower-case base32 (RFC 4648 §6) without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

/// The prefix of a [`PeerId`]'s text form.
const PEER_ID_PREFIX: &str = "tlk1";

impl PeerId {
    /// Returns the peer whose raw Ed25519 public key is `key`.
    pub const fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Returns the raw Ed25519 public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first characters of the text form, enough to tell peers apart in a log.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PEER_ID_PREFIX}{}", BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// Why a text is not a [`PeerId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParsePeerIdError {
    /// The text does not begin with `tlk1`.
    #[error("a public key begins with `tlk1`; print one with `throughline id FILE`")]
    Prefix,
    /// What follows the prefix is not base32.
    #[error("a public key is base32 (a-z, 2-7) after `tlk1`: {0}; copy it again, whole")]
    Encoding(data_encoding::DecodeError),
    /// The key is not 32 bytes long.
    #[error("a public key has 52 characters after `tlk1`, this one has {0}")]
    Length(usize),
    /// The text is 32 bytes, but no Ed25519 key.
    #[error(
        "this is no public key, though it looks like one: a character of it is wrong; copy it again, \
         whole"
    )]
    NoKey,
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let body = text.strip_prefix(PEER_ID_PREFIX).ok_or(ParsePeerIdError::Prefix)?;
        if body.len() != 52 {
            return Err(ParsePeerIdError::Length(body.chars().count()));
        }
        let key = BASE32_NOPAD
            .decode(body.to_ascii_uppercase().as_bytes())
            .map_err(ParsePeerIdError::Encoding)?;
        let key = key.try_into().map_err(|_| ParsePeerIdError::Length(body.len()))?;
        if !ed25519::is_point(&key) {
            return Err(ParsePeerIdError::NoKey);
        }
        Ok(Self(key))
    }
}

/// Identifies a session: 128 random bits, drawn by its initiator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u128);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One end of a session. Only the initiator dials and migrates lanes (RFC 9000 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that drew the session id and dials the lanes; its flow ids are even.
    Initiator,
    /// The end that is dialed; its flow ids are odd.
    Acceptor,
}

impl Side {
    /// Returns the other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::Initiator => Self::Acceptor,
            Self::Acceptor => Self::Initiator,
        }
    }

    /// Returns the first flow id of this end; the next ones follow in steps of two.
    pub const fn first_flow(self) -> FlowId {
        match self {
            Self::Initiator => FlowId(0),
            Self::Acceptor => FlowId(1),
        }
    }
}

/// Identifies a flow within a session: even ids are the initiator's, odd ones the acceptor's. Never
/// reused (cf. stream ids, RFC 9000 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

impl FlowId {
    /// Returns the end that opened the flow.
    pub const fn opener(self) -> Side {
        if self.0 & 1 == 0 { Side::Initiator } else { Side::Acceptor }
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{}", self.0)
    }
}

impl fmt::Debug for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Identifies a lane within a session, numbered by the initiator in the order of dialing. Never
/// reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u64);

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l{}", self.0)
    }
}

impl fmt::Debug for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_survives_formatting_and_parsing() {
        let text = "tlk1mv2ihfjrkhkx5mulx5jgeygygvwmjczhbcegl6zagqrnonzzj3zq";
        let id = text.parse::<PeerId>().unwrap();
        assert_eq!(id.to_string(), text);
    }

    #[test]
    fn a_bad_peer_id_names_what_is_wrong() {
        assert_eq!("xyz".parse::<PeerId>(), Err(ParsePeerIdError::Prefix));
        assert_eq!("tlk1abc".parse::<PeerId>(), Err(ParsePeerIdError::Length(3)));
        let bad = format!("tlk1{}", "1".repeat(52));
        assert!(matches!(bad.parse::<PeerId>(), Err(ParsePeerIdError::Encoding(_))));
        let slip = "tlk1bv2ihfjrkhkx5mulx5jgeygygvwmjczhbcegl6zagqrnonzzj3zq";
        assert_eq!(slip.parse::<PeerId>(), Err(ParsePeerIdError::NoKey));
    }

    #[test]
    fn a_flow_id_tells_its_opener() {
        assert_eq!(Side::Initiator.first_flow().opener(), Side::Initiator);
        assert_eq!(Side::Acceptor.first_flow().opener(), Side::Acceptor);
        assert_eq!(FlowId(6).opener(), Side::Initiator);
    }
}
