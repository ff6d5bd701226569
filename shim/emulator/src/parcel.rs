//! What links carry: datagrams, and chunks of TCP streams.

use bytes::Bytes;
use quinn_udp::EcnCodepoint;

use super::ids::LinkId;

/// Bytes of an IPv4 and a UDP header, charged to the link with every datagram.
const UDP_OVERHEAD: usize = 28;
/// Bytes of an IPv4 and a TCP header with timestamps, charged with every TCP segment.
const TCP_OVERHEAD: usize = 52;
/// The payload of a segment, for counting headers.
const MSS: usize = 1448;

/// What a link carries.
#[derive(Clone)]
pub(super) enum Parcel {
    /// A datagram.
    Udp(Packet),
    /// A chunk of a TCP stream.
    Tcp(Chunk),
}

/// Where a parcel is heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Toward {
    Server,
    Client,
}

/// A datagram under way.
#[derive(Clone)]
pub(super) struct Packet {
    /// The relay it belongs to.
    pub(super) relay: u64,
    pub(super) toward: Toward,
    pub(super) data: Bytes,
    pub(super) ecn: Option<EcnCodepoint>,
    /// The link after this one.
    pub(super) next: Option<LinkId>,
}

/// A chunk of one direction of a TCP connection.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) connection: u64,
    pub(super) toward: Toward,
    /// Its place in the direction.
    pub(super) number: u64,
    pub(super) content: Content,
}

/// What a chunk is of a TCP stream.
#[derive(Clone)]
pub(super) enum Content {
    /// The client's SYN, or the server's answer.
    Syn,
    Data(Bytes),
    Fin,
}

impl Packet {
    /// Returns what it takes on the wire.
    pub(super) fn wire_bytes(&self) -> usize {
        self.data.len() + UDP_OVERHEAD
    }
}

impl Content {
    /// Returns what it takes on the wire.
    pub(super) fn wire_bytes(&self) -> usize {
        match self {
            Self::Syn | Self::Fin => TCP_OVERHEAD,
            Self::Data(data) => data.len() + data.len().div_ceil(MSS) * TCP_OVERHEAD,
        }
    }
}
