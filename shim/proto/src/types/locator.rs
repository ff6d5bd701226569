//! Locators: where a peer can be reached. A peer has several, from several prefixes.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::types::{Host, ParseTargetError, Target};

/// An address (or a name to be resolved) and UDP port where a peer can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Locator {
    /// The address or name.
    pub host: Host,
    /// The UDP port.
    pub port: u16,
}

impl FromStr for Locator {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse()? {
            Target::Tcp { host, port } => Ok(Self { host, port }),
            other => Err(ParseTargetError::Host(other.to_string())),
        }
    }
}

impl From<SocketAddr> for Locator {
    fn from(addr: SocketAddr) -> Self {
        Self { host: Host::Ip(addr.ip()), port: addr.port() }
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
