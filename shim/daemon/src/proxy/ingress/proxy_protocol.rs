//! The PROXY protocol, version 2: who a client is, as a load balancer before us says, and as a server
//! behind us is told.
//!
//! Whoever may send a header can claim to be anybody, so it is read only from the sources that are
//! configured, and must be there then; what others send is taken as it is. It is [HAProxy's
//! specification](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ipnet::IpNet;
use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::handshake::HANDSHAKE_TIMEOUT;
use crate::proxy::stream::{ClientAddr, Stream};

/// What begins a header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, the command, the family and the length of what follows.
const FIXED: usize = 16;

/// The longest header, in bytes: ten times what load balancers send with all they know of TLS.
const MAX_HEADER: usize = 4096;

/// Who says who a client is, and who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Connections from here begin with a header.
    pub accept_from: Vec<IpNet>,
    /// Whether flows begin with one.
    pub send: bool,
}

/// The ends of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The client.
    pub(super) from: ClientAddr,
    /// What it connected to, where that is known.
    pub(super) reached: Option<SocketAddr>,
}

/// There is no header where there has to be one.
#[derive(Debug, Error)]
pub(super) enum HeaderError {
    #[error("no PROXY protocol header came within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error(
        "the connection does not begin with a header of the PROXY protocol, version 2; let {0} send \
         it (HAProxy: send-proxy-v2), or take it out of `accept-proxy-protocol`"
    )]
    Missing(IpAddr),
    #[error("the PROXY protocol header is longer than {MAX_HEADER} bytes")]
    TooLong,
    #[error("the PROXY protocol header is not valid")]
    Invalid,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ProxyProtocol {
    /// Returns the ends of a connection: as a header says where there has to be one.
    pub(super) async fn ends(
        &self,
        tcp: &mut Stream,
        from: ClientAddr,
    ) -> Result<Ends, HeaderError> {
        let connected = Ends { from, reached: tcp.local_addr() };
        let Some(from) = from.ip() else { return Ok(connected) };
        let source = from.ip().to_canonical();
        if !self.accept_from.iter().any(|prefix| prefix.contains(&source)) {
            return Ok(connected);
        }
        let reading = read(tcp, source);
        let said =
            timeout(HANDSHAKE_TIMEOUT, reading).await.map_err(|_| HeaderError::Timeout)??;
        Ok(said.unwrap_or(connected))
    }

    /// Returns what a flow begins with.
    pub(super) fn first_bytes(&self, ends: Ends) -> Bytes {
        if self.send { header(ends) } else { Bytes::new() }
    }
}

/// Reads a header, and nothing behind it. `None` says that the sender speaks for itself, as in a check of
/// our health.
async fn read(tcp: &mut Stream, source: IpAddr) -> Result<Option<Ends>, HeaderError> {
    let mut header = vec![0; FIXED];
    let mut length = 0;
    while length < FIXED {
        let read = tcp.read(&mut header[length..]).await?;
        length += read;
        let compared = length.min(SIGNATURE.len());
        if read == 0 || header[..compared] != SIGNATURE[..compared] {
            return Err(HeaderError::Missing(source));
        }
    }
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if FIXED + rest > MAX_HEADER {
        return Err(HeaderError::TooLong);
    }
    header.resize(FIXED + rest, 0);
    tcp.read_exact(&mut header[FIXED..]).await?;
    parse(&header)
}

fn parse(header: &[u8]) -> Result<Option<Ends>, HeaderError> {
    let config = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };
    let (header, _) = ProxyHeader::parse(header, config).map_err(|_| HeaderError::Invalid)?;
    Ok(header
        .proxied_address()
        .map(|address| Ends { from: address.source.into(), reached: Some(address.destination) }))
}

/// Returns the header that says these ends.
fn header(ends: Ends) -> Bytes {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let Some(from) = ends.from.ip().map(plain) else { return encoded(&ProxyHeader::with_local()) };
    // What is not known is said as no address.
    let nowhere = if from.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let reached = ends.reached.map(plain).or_else(|| nowhere.parse().ok());
    let header = match reached {
        Some(reached) if from.is_ipv4() == reached.is_ipv4() => {
            ProxyHeader::with_address(ProxiedAddress::stream(from, reached))
        }
        Some(reached) => {
            ProxyHeader::with_address(ProxiedAddress::stream(as_ipv6(from), as_ipv6(reached)))
        }
        None => ProxyHeader::with_local(),
    };
    encoded(&header)
}

fn encoded(header: &ProxyHeader<'_>) -> Bytes {
    let mut bytes = Vec::new();
    // This fails where the families differ, and they do not.
    let _ = header.encode_v2(&mut bytes);
    bytes.into()
}

fn as_ipv6(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(from: &str, reached: Option<&str>) -> Ends {
        Ends {
            from: ClientAddr::Ip(from.parse().unwrap()),
            reached: reached.map(|text| text.parse().unwrap()),
        }
    }

    #[test]
    fn a_header_says_both_ends_in_either_family_and_mixed() {
        for (said, heard) in [
            (
                ends("192.0.2.1:5000", Some("198.51.100.2:80")),
                ends("192.0.2.1:5000", Some("198.51.100.2:80")),
            ),
            (
                ends("[2001:db8::1]:5000", Some("[2001:db8::2]:80")),
                ends("[2001:db8::1]:5000", Some("[2001:db8::2]:80")),
            ),
            (
                ends("[::ffff:192.0.2.1]:5000", Some("198.51.100.2:80")),
                ends("192.0.2.1:5000", Some("198.51.100.2:80")),
            ),
            (
                ends("192.0.2.1:5000", Some("[2001:db8::2]:80")),
                ends("[::ffff:192.0.2.1]:5000", Some("[2001:db8::2]:80")),
            ),
            (ends("192.0.2.1:5000", None), ends("192.0.2.1:5000", Some("0.0.0.0:0"))),
        ] {
            assert_eq!(parse(&header(said)).unwrap(), Some(heard));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let header = header(ends("192.0.2.1:5000", Some("198.51.100.2:80")));
        let expected =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x13\x88\0\x50";
        assert_eq!(header, expected[..]);
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        assert_eq!(parse(local).unwrap(), None);
        for wrong in [
            &b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x13\x88\0\x50"[..],
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\xc0\0\x02\x01",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x77\0\0",
        ] {
            assert!(matches!(parse(wrong), Err(HeaderError::Invalid)), "{wrong:?}");
        }
    }
}
