//! Which protocol a client speaks, by its first byte.

use std::io;

use thiserror::Error;
use tokio::time::timeout;

use super::handshake::HANDSHAKE_TIMEOUT;
use crate::proxy::stream::Stream;

/// A protocol by which applications reach a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// RFC 1928 §3: the version.
    Socks5,
    /// The version.
    Socks4,
    /// RFC 8446 §5.1: a record of the handshake.
    Tls,
    /// A request is text; and so is most of what reaches a wrong port.
    Http,
}

/// A client has not shown what it speaks.
#[derive(Debug, Error)]
pub(super) enum OpeningError {
    #[error("the client sent nothing within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error("the client closed the connection and sent nothing")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Waits for the first byte, and leaves it where it is.
pub(super) async fn protocol_of(stream: &Stream) -> Result<Protocol, OpeningError> {
    let first = timeout(HANDSHAKE_TIMEOUT, stream.first_byte()).await;
    let first = first.map_err(|_| OpeningError::Timeout)??;
    first.map(Protocol::of).ok_or(OpeningError::Closed)
}

impl Protocol {
    fn of(first: u8) -> Self {
        match first {
            5 => Self::Socks5,
            4 => Self::Socks4,
            22 => Self::Tls,
            _ => Self::Http,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_known_by_its_first_byte() {
        for (first, protocol) in [
            (5, Protocol::Socks5),
            (4, Protocol::Socks4),
            (22, Protocol::Tls),
            (b'C', Protocol::Http),
            (b'P', Protocol::Http),
            (0, Protocol::Http),
        ] {
            assert_eq!(Protocol::of(first), protocol, "{first}");
        }
    }
}
