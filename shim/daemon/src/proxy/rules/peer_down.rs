//! What happens to a new flow while none of its peers is reachable.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What happens to a new flow while none of its peers is reachable.
///
/// Open flows wait in any case: a session exists for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PeerDown {
    /// It waits for a peer, for as long as an application can be kept waiting.
    #[default]
    Wait,
    /// It is dialed from this host itself; Throughline encrypts nothing of it.
    Direct,
    /// It is refused at once.
    Reject,
}

/// A text is not a [`PeerDown`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a `peer-down` action; write \"wait\", \"direct\" or \"reject\"")]
pub struct ParsePeerDownError(pub String);

impl FromStr for PeerDown {
    type Err = ParsePeerDownError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "wait" => Ok(Self::Wait),
            "direct" => Ok(Self::Direct),
            "reject" => Ok(Self::Reject),
            other => Err(ParsePeerDownError(other.to_owned())),
        }
    }
}

impl fmt::Display for PeerDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wait => "wait",
            Self::Direct => "direct",
            Self::Reject => "reject",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_parses_back_from_its_text() {
        for action in [PeerDown::Wait, PeerDown::Direct, PeerDown::Reject] {
            assert_eq!(action.to_string().parse(), Ok(action));
        }
        let error = "drop".parse::<PeerDown>().unwrap_err().to_string();
        let choices = "\"wait\", \"direct\" or \"reject\"";
        assert!(error.contains("`drop`") && error.contains(choices), "{error}");
    }
}
