//! Which protocol a client speaks, by its first byte.

use std::io;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::handshake::HANDSHAKE_TIMEOUT;

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
pub(super) async fn protocol_of(tcp: &TcpStream) -> Result<Protocol, OpeningError> {
    let mut first = [0];
    let peeked = timeout(HANDSHAKE_TIMEOUT, tcp.peek(&mut first)).await;
    match peeked.map_err(|_| OpeningError::Timeout)?? {
        0 => Err(OpeningError::Closed),
        _ => Ok(Protocol::of(first[0])),
    }
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
