//! A datagram that is longer than a packet of the path takes: a QUIC unidirectional stream of its own, which ends with
//! it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::codec::{DecodeError, get_varint, put_varint};
use super::fact::Open;
use super::flow_datagram::{FlowDatagram, get_class};
use crate::types::{FlowId, TrafficClass};

/// The first byte of the stream; that of a segment is 1.
pub const KIND: u8 = 2;

/// The longest datagram of a flow: what UDP over IPv4 carries (RFC 768, RFC 791).
pub const MAX_DATAGRAM: usize = 65_507;

/// The longest header, in bytes, as that of a segment.
pub const MAX_HEADER: usize = super::segment::MAX_HEADER;

const HAS_OPEN: u8 = 2;
const HAS_CLASS: u8 = 4;

/// Says which datagram of which flow follows, to the stream's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongDatagramHeader {
    /// The flow.
    pub flow: FlowId,
    /// Its number in the flow and direction, as that of a [`FlowDatagram`].
    pub seq: u64,
    /// The open request, while the peer is not known to have it.
    pub open: Option<Open>,
    /// Its traffic class, as that of a [`FlowDatagram`].
    pub class: TrafficClass,
}

impl LongDatagramHeader {
    /// Returns the header's bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(32);
        out.put_u8(KIND);
        let has_class = !self.class.is_default();
        let open = if self.open.is_some() { HAS_OPEN } else { 0 };
        out.put_u8(open | if has_class { HAS_CLASS } else { 0 });
        if has_class {
            out.put_u8(self.class.to_byte());
        }
        put_varint(&mut out, self.flow.0);
        put_varint(&mut out, self.seq);
        if let Some(open) = &self.open {
            open.put(&mut out);
        }
        out.freeze()
    }

    /// Reads a header from the front of `buf`. [`DecodeError::Truncated`] asks for more bytes (never more than
    /// [`MAX_HEADER`] in all).
    ///
    /// # Errors
    /// The header is cut short or has a value that the protocol does not define.
    pub fn decode(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        if buf.remaining() < 2 {
            return Err(DecodeError::Truncated("datagram header"));
        }
        let kind = buf.get_u8();
        if kind != KIND {
            return Err(DecodeError::Invalid("stream kind", kind.into()));
        }
        let flags = buf.get_u8();
        if flags & !(HAS_OPEN | HAS_CLASS) != 0 {
            return Err(DecodeError::Invalid("datagram flags", flags.into()));
        }
        let has_class = flags & HAS_CLASS != 0;
        let class = if has_class { get_class(buf)? } else { TrafficClass::DEFAULT };
        let flow = FlowId(get_varint(buf, "flow id")?);
        let seq = get_varint(buf, "sequence number")?;
        let open = if flags & HAS_OPEN == 0 { None } else { Some(Open::get(buf)?) };
        Ok(Self { flow, seq, open, class })
    }

    /// Returns the datagram of which this was the header.
    pub fn with_payload(self, payload: Bytes) -> FlowDatagram {
        let Self { flow, seq, open, class } = self;
        FlowDatagram { flow, seq, open, class, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Mode;

    #[test]
    fn headers_survive_the_wire_and_truncated_ones_ask_for_more() {
        let target = format!("{}:65535/udp", "a".repeat(255)).parse().unwrap();
        let open = Some(Open { target, mode: Mode::Redundant });
        for (open, class) in [(None, 0), (None, 0xb9), (open.clone(), 0), (open, 3)] {
            let class = TrafficClass::from_byte(class);
            let header = LongDatagramHeader { flow: FlowId(1 << 40), seq: 1 << 50, open, class };
            let bytes = header.to_bytes();
            assert!(bytes.len() <= MAX_HEADER);
            assert_eq!(LongDatagramHeader::decode(&mut &bytes[..]), Ok(header));
            for end in 0..bytes.len() {
                let decoded = LongDatagramHeader::decode(&mut &bytes[..end]);
                assert!(matches!(decoded, Err(DecodeError::Truncated(_))));
            }
        }
    }

    #[test]
    fn an_error_names_the_invalid_field() {
        for (bytes, field) in [([1, 0], "stream kind"), ([2, 9], "datagram flags")] {
            let decoded = LongDatagramHeader::decode(&mut &bytes[..]);
            assert!(matches!(decoded, Err(DecodeError::Invalid(name, _)) if name == field));
        }
    }
}
