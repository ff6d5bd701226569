//! The datagrams of a lane (RFC 9221): pings, pongs and notices.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{DecodeError, get_varint, put_varint};

/// A datagram of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A probe of the path's delay, or of whether the path works.
    ///
    /// The latter is padded to the path's MTU: that small packets arrive does not prove that large
    /// ones do.
    Ping {
        /// The ping's number, which grows with every ping on the lane.
        seq: u64,
    },
    /// The answer to a ping.
    Pong {
        /// The ping's number.
        seq: u64,
        /// When the ping arrived, in microseconds since a moment that the answering end chooses
        /// once for the lane.
        received: u64,
    },
    /// The sender suspects this lane.
    ///
    /// It says so in facts, too, but those wait behind what was lost before them on the control stream.
    Notice {
        /// Its large packets are lost there, and small ones pass.
        narrow: bool,
    },
}

/// Room in a probe's packet for acknowledgements: QUIC writes them first, and a datagram that does not fit beside them
/// waits, and all others behind it.
const ACK_ROOM: usize = 64;

impl Datagram {
    /// Returns how long a probe is that fills a packet, where datagrams may have `max` bytes.
    pub fn probe_len(max: usize) -> usize {
        max.saturating_sub(ACK_ROOM)
    }

    /// Returns the datagram, padded with zeros to at least `len` bytes.
    pub fn to_bytes(self, len: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(len.max(16));
        match self {
            Self::Ping { seq } => {
                put_varint(&mut out, 1);
                put_varint(&mut out, seq);
            }
            Self::Pong { seq, received } => {
                put_varint(&mut out, 2);
                put_varint(&mut out, seq);
                put_varint(&mut out, received);
            }
            Self::Notice { narrow } => {
                put_varint(&mut out, 5);
                put_varint(&mut out, narrow.into());
            }
        }
        if out.len() < len {
            out.put_bytes(0, len - out.len());
        }
        out.freeze()
    }

    /// Reads a datagram and ignores its padding; returns `None` for an unknown kind.
    pub fn decode(mut bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let kind = get_varint(&mut bytes, "datagram kind")?;
        match kind {
            1 => Ok(Some(Self::Ping { seq: get_varint(&mut bytes, "ping number")? })),
            2 => {
                let seq = get_varint(&mut bytes, "ping number")?;
                let received = get_varint(&mut bytes, "pong time")?;
                Ok(Some(Self::Pong { seq, received }))
            }
            5 => {
                let narrow = get_varint(&mut bytes, "notice")? != 0;
                Ok(Some(Self::Notice { narrow }))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_survive_the_wire_with_padding() {
        let pong = Datagram::Pong { seq: 1 << 40, received: 123_456_789 };
        let notices = [false, true].map(|narrow| Datagram::Notice { narrow });
        for datagram in [Datagram::Ping { seq: 7 }, pong].into_iter().chain(notices) {
            for len in [0, 1200] {
                let bytes = datagram.to_bytes(len);
                assert!(bytes.len() >= len);
                assert_eq!(Datagram::decode(&bytes), Ok(Some(datagram)));
            }
        }
        assert_eq!(Datagram::decode(&[]), Err(DecodeError::Truncated("datagram kind")));
        assert_eq!(Datagram::decode(&[2, 7]), Err(DecodeError::Truncated("pong time")));
        assert_eq!(Datagram::decode(&[0x3f]), Ok(None));
    }
}
