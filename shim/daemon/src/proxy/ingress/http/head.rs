//! The head of a connection's first request: which version of HTTP it is, and whether it can be read.
//!
//! hyper answers a malformed request with a bare status. The first request of a connection is read here
//! before hyper sees it, so that whoever has configured something wrongly is told what.

use std::io;

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::proxy::ingress::handshake::HANDSHAKE_TIMEOUT;
use crate::proxy::stream::Stream;

/// The longest head of a request, in bytes: several times what browsers send with all their cookies, and
/// what common servers take.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// Header fields of a request; as many as hyper reads.
pub(super) const MAX_FIELDS: usize = 100;

/// What an HTTP/2 client with prior knowledge begins with (RFC 9113 §3.4), up to its first empty line.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1; the head of the first request is complete and well-formed.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// A client's first request cannot be read.
#[derive(Debug, Error)]
pub(super) enum HeadError {
    #[error("the client sent no complete request within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error("the client closed the connection before its request was complete")]
    Closed,
    #[error("the head of the request is longer than {} KiB", MAX_HEAD / 1024)]
    TooLong,
    #[error("the request has more than {MAX_FIELDS} header fields")]
    TooManyFields,
    #[error("what the client sent is no HTTP request: {0}")]
    Malformed(httparse::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the head of the first request; returns all that was read.
pub(super) async fn read_head(tcp: &mut Stream) -> (BytesMut, Result<Version, HeadError>) {
    let mut read = BytesMut::new();
    let reading = async {
        let mut examined = 0;
        loop {
            if let Some(version) = examine(&read, examined)? {
                return Ok(version);
            }
            examined = read.len();
            read.reserve(1024);
            if tcp.read_buf(&mut read).await? == 0 {
                return Err(HeadError::Closed);
            }
        }
    };
    let version = timeout(HANDSHAKE_TIMEOUT, reading).await;
    (read, version.unwrap_or(Err(HeadError::Timeout)))
}

/// Decides by the bytes so far, of which the first `examined` were not enough; `None` if these are not,
/// either.
fn examine(bytes: &[u8], examined: usize) -> Result<Option<Version>, HeadError> {
    if bytes.starts_with(HTTP2_PREFACE) {
        return Ok(Some(Version::Http2));
    }
    if HTTP2_PREFACE.starts_with(bytes) {
        return Ok(None);
    }
    // Parsed when the first line is there, so that somebody who types something else is told at once, and
    // when the head is; not for each byte of a client that sends them singly.
    let lines = bytes[examined..].contains(&b'\n');
    if lines {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        match httparse::Request::new(&mut fields).parse(bytes) {
            Ok(httparse::Status::Complete(_)) => return Ok(Some(Version::Http1)),
            Ok(httparse::Status::Partial) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
            Err(error) => return Err(HeadError::Malformed(error)),
        }
    }
    if bytes.len() > MAX_HEAD { Err(HeadError::TooLong) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_to_its_end_and_no_further() {
        for (bytes, version) in [
            (&b""[..], None),
            (b"P", None),
            (b"PRI * HTTP/2.0\r\n\r", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Version::Http2)),
            (b"PUT http://h/ HTTP/1.1\r\n", None),
            (b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\nmore", Some(Version::Http1)),
            (b"\r\nGET / HTTP/1.0\n\n", Some(Version::Http1)),
        ] {
            assert_eq!(examine(bytes, 0).unwrap(), version, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_by_its_first_line() {
        for bytes in [&b"SSH-2.0-OpenSSH_9\r\n"[..], b"hello\n", b"GET / HTTP/3\r\n", b"\0\n"] {
            assert!(matches!(examine(bytes, 0), Err(HeadError::Malformed(_))), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_is_bounded_in_bytes_and_in_fields() {
        let long = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(MAX_HEAD));
        assert!(matches!(examine(long.as_bytes(), 100), Err(HeadError::TooLong)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: a\r\n".repeat(MAX_FIELDS + 1));
        assert!(matches!(examine(many.as_bytes(), 0), Err(HeadError::TooManyFields)));
    }
}
