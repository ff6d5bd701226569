//! The header of a segment: the first bytes of a QUIC unidirectional stream.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::codec::{DecodeError, MAX_VARINT, get_varint, put_varint};
use super::fact::Open;
use crate::types::FlowId;

/// The most payload bytes of a segment.
pub const MAX_SEGMENT: u64 = 1 << 20;

/// The longest header, in bytes: five fields and a target with a name of 255 bytes.
pub const MAX_HEADER: usize = 320;

/// Says which bytes of which flow follow on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The flow.
    pub flow: FlowId,
    /// The offset of the first byte after the header.
    pub offset: u64,
    /// Some of it was sent on another lane, which is suspect. The receiver sends its state at once.
    pub resent: bool,
    /// The open, until the opener knows that the peer has it.
    pub open: Option<Open>,
}

const KIND: u8 = 1;
const RESENT: u8 = 1;
const HAS_OPEN: u8 = 2;

impl SegmentHeader {
    /// Returns the header's bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(24);
        out.put_u8(KIND);
        out.put_u8(u8::from(self.resent) * RESENT + u8::from(self.open.is_some()) * HAS_OPEN);
        put_varint(&mut out, self.flow.0);
        put_varint(&mut out, self.offset);
        if let Some(open) = &self.open {
            open.put(&mut out);
        }
        out.freeze()
    }

    /// Reads a header from the front of `buf`. [`DecodeError::Truncated`] asks for more bytes
    /// (never more than [`MAX_HEADER`] in all).
    pub fn decode(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        if buf.remaining() < 2 {
            return Err(DecodeError::Truncated("segment header"));
        }
        let kind = buf.get_u8();
        if kind != KIND {
            return Err(DecodeError::Invalid("segment kind", kind.into()));
        }
        let flags = buf.get_u8();
        if flags & !(RESENT | HAS_OPEN) != 0 {
            return Err(DecodeError::Invalid("segment flags", flags.into()));
        }
        let flow = FlowId(get_varint(buf, "flow id")?);
        let offset = get_varint(buf, "segment offset")?;
        if offset > MAX_VARINT - MAX_SEGMENT {
            return Err(DecodeError::TooLarge("segment offset", offset, MAX_VARINT - MAX_SEGMENT));
        }
        let open = match flags & HAS_OPEN {
            0 => None,
            _ => Some(Open::get(buf)?),
        };
        Ok(Self { flow, offset, resent: flags & RESENT != 0, open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Mode, Target};

    #[test]
    fn headers_survive_the_wire_and_truncated_ones_ask_for_more() {
        let name = format!("{}:65535", "a".repeat(255)).parse().unwrap();
        for open in [None, Some(Open { target: name, mode: Mode::Bond })] {
            let header =
                SegmentHeader { flow: FlowId(1 << 40), offset: 1 << 50, resent: true, open };
            let bytes = header.to_bytes();
            assert!(bytes.len() <= MAX_HEADER);
            assert_eq!(SegmentHeader::decode(&mut &bytes[..]), Ok(header));
            for end in 0..bytes.len() {
                let decoded = SegmentHeader::decode(&mut &bytes[..end]);
                assert!(matches!(decoded, Err(DecodeError::Truncated(_))));
            }
        }
    }

    #[test]
    fn an_error_names_the_invalid_field() {
        assert_eq!(
            SegmentHeader::decode(&mut &[9, 0][..]),
            Err(DecodeError::Invalid("segment kind", 9))
        );
        assert_eq!(
            SegmentHeader::decode(&mut &[1, 0x80][..]),
            Err(DecodeError::Invalid("segment flags", 0x80))
        );
        let far = SegmentHeader {
            flow: FlowId(0),
            offset: MAX_VARINT,
            resent: false,
            open: Some(Open { target: Target::service("x"), mode: Mode::Auto }),
        };
        assert!(matches!(
            SegmentHeader::decode(&mut &far.to_bytes()[..]),
            Err(DecodeError::TooLarge("segment offset", ..))
        ));
    }
}
