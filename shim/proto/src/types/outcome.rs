//! Why a flow could not be opened, in terms a SOCKS5 reply (RFC 1928 §6) can carry.

use std::fmt;

/// Why a flow could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureCode {
    /// The destination refused the connection.
    Refused,
    /// The destination's host cannot be reached.
    HostUnreachable,
    /// The destination's network cannot be reached.
    NetworkUnreachable,
    /// The peer's policy does not allow this destination.
    NotAllowed,
    /// The destination did not answer in time.
    TimedOut,
    /// The destination's name does not resolve.
    NameNotFound,
    /// No application at the peer serves this target.
    NoService,
    /// A limit of the peer is reached.
    LimitReached,
    /// Another error of the peer.
    Other,
}

impl FailureCode {
    /// Returns the number on the wire.
    pub(crate) const fn to_wire(self) -> u64 {
        match self {
            Self::Refused => 1,
            Self::HostUnreachable => 2,
            Self::NetworkUnreachable => 3,
            Self::NotAllowed => 4,
            Self::TimedOut => 5,
            Self::NameNotFound => 6,
            Self::NoService => 7,
            Self::LimitReached => 8,
            Self::Other => 9,
        }
    }

    /// Returns the code for a number from the wire; an unknown number is [`FailureCode::Other`].
    pub(crate) const fn from_wire(code: u64) -> Self {
        match code {
            1 => Self::Refused,
            2 => Self::HostUnreachable,
            3 => Self::NetworkUnreachable,
            4 => Self::NotAllowed,
            5 => Self::TimedOut,
            6 => Self::NameNotFound,
            7 => Self::NoService,
            8 => Self::LimitReached,
            _ => Self::Other,
        }
    }
}

/// A flow that was not opened: the code, and a text for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFailure {
    /// Why, for a program.
    pub code: FailureCode,
    /// Why, for a person: lower case, without an end mark, at most 255 bytes.
    pub detail: String,
}

impl OpenFailure {
    /// Creates a failure with this code and explanation (truncated to 255 bytes).
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        let mut end = detail.len().min(255);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        detail.truncate(end);
        Self { code, detail }
    }
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for OpenFailure {}
