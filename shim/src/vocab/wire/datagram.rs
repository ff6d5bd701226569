//! QUIC DATAGRAMs (RFC 9221) of a lane: probes and their answers.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{DecodeError, get_varint, put_varint};

/// A datagram of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A probe. Under suspicion it is padded to the path's MTU, so that a small answer clears
    /// nothing that a large packet's silence raised.
    Ping {
        /// Grows with every probe on the lane.
        seq: u64,
    },
    /// The answer to a probe.
    Pong {
        /// The probe's number.
        seq: u64,
    },
}

impl Datagram {
    /// The datagram, padded with zeros to `len` bytes if it is shorter.
    pub fn to_bytes(self, len: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(len.max(16));
        let (kind, seq) = match self {
            Self::Ping { seq } => (1, seq),
            Self::Pong { seq } => (2, seq),
        };
        put_varint(&mut out, kind);
        put_varint(&mut out, seq);
        if out.len() < len {
            out.put_bytes(0, len - out.len());
        }
        out.freeze()
    }

    /// Reads a datagram; padding is ignored. A kind we do not know is `None`.
    pub fn decode(mut bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let kind = get_varint(&mut bytes, "datagram kind")?;
        let mut seq = || get_varint(&mut bytes, "probe number");
        match kind {
            1 => Ok(Some(Self::Ping { seq: seq()? })),
            2 => Ok(Some(Self::Pong { seq: seq()? })),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_survive_the_wire_with_padding() {
        for datagram in [Datagram::Ping { seq: 7 }, Datagram::Pong { seq: 1 << 40 }] {
            for len in [0, 1200] {
                let bytes = datagram.to_bytes(len);
                assert!(bytes.len() >= len);
                assert_eq!(Datagram::decode(&bytes), Ok(Some(datagram)));
            }
        }
        assert_eq!(Datagram::decode(&[]), Err(DecodeError::Truncated("datagram kind")));
        assert_eq!(Datagram::decode(&[0x3f]), Ok(None));
    }
}
