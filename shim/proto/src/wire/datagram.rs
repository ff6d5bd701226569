//! QUIC DATAGRAMs (RFC 9221) of a lane: probes and their answers.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{DecodeError, get_varint, put_varint};

/// A datagram of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A probe, of the path's delay or of whether it is alive. In the latter case it is padded to
    /// the path's MTU, so that a small answer clears nothing that a large packet's silence raised.
    Ping {
        /// Grows with every probe on the lane.
        seq: u64,
    },
    /// The answer to a probe.
    Pong {
        /// The probe's number.
        seq: u64,
        /// When the probe came, in microseconds since a moment of the answering end's choice, the
        /// same one for all the lane's answers.
        received: u64,
    },
}

impl Datagram {
    /// The datagram, padded with zeros to `len` bytes if it is shorter.
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
        }
        if out.len() < len {
            out.put_bytes(0, len - out.len());
        }
        out.freeze()
    }

    /// Reads a datagram; padding is ignored. A kind we do not know is `None`.
    pub fn decode(mut bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let kind = get_varint(&mut bytes, "datagram kind")?;
        match kind {
            1 => Ok(Some(Self::Ping { seq: get_varint(&mut bytes, "probe number")? })),
            2 => {
                let seq = get_varint(&mut bytes, "probe number")?;
                let received = get_varint(&mut bytes, "time of a probe")?;
                Ok(Some(Self::Pong { seq, received }))
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
        for datagram in [Datagram::Ping { seq: 7 }, pong] {
            for len in [0, 1200] {
                let bytes = datagram.to_bytes(len);
                assert!(bytes.len() >= len);
                assert_eq!(Datagram::decode(&bytes), Ok(Some(datagram)));
            }
        }
        assert_eq!(Datagram::decode(&[]), Err(DecodeError::Truncated("datagram kind")));
        assert_eq!(Datagram::decode(&[2, 7]), Err(DecodeError::Truncated("time of a probe")));
        assert_eq!(Datagram::decode(&[0x3f]), Ok(None));
    }
}
