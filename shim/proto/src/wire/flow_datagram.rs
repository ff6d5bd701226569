//! The datagrams of a datagram flow, each in a DATAGRAM frame (RFC 9221) of a lane.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::codec::{DecodeError, get_varint, put_varint};
use super::fact::Open;
use crate::types::{FlowId, MAX_NAME, TrafficClass};

/// The kind of one whose flow the peer knows, and of one that opens its flow. Pings are 1, pongs 2, notices 5.
const KIND: u64 = 3;
const KIND_WITH_OPEN: u64 = 4;

/// The same of one that has a traffic class.
const KIND_WITH_CLASS: u64 = 6;
const KIND_WITH_OPEN_AND_CLASS: u64 = 7;

/// The longest header: three numbers, a class, and an open of a mode and a name with its length and port.
const MAX_HEADER: usize = 3 * 8 + 1 + 1 + 1 + 2 + MAX_NAME + 2;

/// A datagram of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowDatagram {
    /// The flow.
    pub flow: FlowId,
    /// Its number in the flow and direction: from 0 on, in the order in which they were written. The same
    /// datagram has the same number on every lane.
    pub seq: u64,
    /// The open request, while the peer is not known to have it.
    pub open: Option<Open>,
    /// Its traffic class; another one than the default only where
    /// [the lane's version has them](super::version::has_traffic_classes).
    pub class: TrafficClass,
    /// What the application wrote.
    pub payload: Bytes,
}

impl FlowDatagram {
    /// Returns the datagram as it is sent.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.payload.len() + 32);
        self.put_header(&mut out);
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// Returns how many bytes precede the payload.
    pub fn header_len(&self) -> usize {
        let mut header = [0; MAX_HEADER];
        let mut rest = &mut header[..];
        self.put_header(&mut rest);
        let left = rest.len();
        MAX_HEADER - left
    }

    fn put_header(&self, out: &mut impl BufMut) {
        put_varint(
            out,
            match (self.open.is_some(), self.class.is_default()) {
                (false, true) => KIND,
                (true, true) => KIND_WITH_OPEN,
                (false, false) => KIND_WITH_CLASS,
                (true, false) => KIND_WITH_OPEN_AND_CLASS,
            },
        );
        if !self.class.is_default() {
            out.put_u8(self.class.to_byte());
        }
        put_varint(out, self.flow.0);
        put_varint(out, self.seq);
        if let Some(open) = &self.open {
            open.put(out);
        }
    }

    /// Reads a datagram of a flow; returns `None` for another kind.
    ///
    /// # Errors
    /// The header is cut short or has a value that the protocol does not define.
    pub fn decode(bytes: &Bytes) -> Result<Option<Self>, DecodeError> {
        let mut rest = &bytes[..];
        let (has_open, has_class) = match get_varint(&mut rest, "datagram kind")? {
            KIND => (false, false),
            KIND_WITH_OPEN => (true, false),
            KIND_WITH_CLASS => (false, true),
            KIND_WITH_OPEN_AND_CLASS => (true, true),
            _ => return Ok(None),
        };
        let class = if has_class { get_class(&mut rest)? } else { TrafficClass::DEFAULT };
        let flow = FlowId(get_varint(&mut rest, "flow id")?);
        let seq = get_varint(&mut rest, "sequence number")?;
        let open = if has_open { Some(Open::get(&mut rest)?) } else { None };
        let payload = bytes.slice(bytes.len() - rest.remaining()..);
        Ok(Some(Self { flow, seq, open, class, payload }))
    }
}

/// Reads a traffic class.
pub(super) fn get_class(buf: &mut impl Buf) -> Result<TrafficClass, DecodeError> {
    match buf.has_remaining() {
        true => Ok(TrafficClass::from_byte(buf.get_u8())),
        false => Err(DecodeError::Truncated("traffic class")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Mode, Target};

    #[test]
    fn datagrams_survive_the_wire_and_are_as_long_as_they_say() {
        let open = Open { target: "10.0.0.1:53/udp".parse().unwrap(), mode: Mode::Auto };
        for (open, class) in [(None, 0), (None, 1), (Some(open.clone()), 0), (Some(open), 0xb9)] {
            for payload in [Bytes::new(), Bytes::from_static(b"hello")] {
                let class = TrafficClass::from_byte(class);
                let (flow, open) = (FlowId(6), open.clone());
                let datagram = FlowDatagram { flow, seq: 70_000, open, class, payload };
                let bytes = datagram.to_bytes();
                assert_eq!(bytes.len(), datagram.header_len() + datagram.payload.len());
                assert_eq!(FlowDatagram::decode(&bytes), Ok(Some(datagram.clone())));
                for end in 0..datagram.header_len() {
                    FlowDatagram::decode(&bytes.slice(..end)).unwrap_err();
                }
            }
        }
    }

    #[test]
    fn a_class_costs_a_byte_and_the_default_one_none() {
        let of = |class| {
            let class = TrafficClass::from_byte(class);
            FlowDatagram { flow: FlowId(6), seq: 0, open: None, class, payload: Bytes::new() }
        };
        // An older end knows no other kinds than these.
        assert_eq!(&of(0).to_bytes()[..], [3, 6, 0]);
        assert_eq!(&of(0xb9).to_bytes()[..], [6, 0xb9, 6, 0]);
        // Nor is it wrong to say that it is the default one.
        let said = Bytes::from_static(&[6, 0, 6, 0]);
        assert_eq!(FlowDatagram::decode(&said), Ok(Some(of(0))));
        let truncated = Err(DecodeError::Truncated("traffic class"));
        assert_eq!(FlowDatagram::decode(&said.slice(..1)), truncated);
    }

    #[test]
    fn another_kind_is_none_and_an_open_of_nothing_is_an_error() {
        assert_eq!(FlowDatagram::decode(&Bytes::from_static(&[1, 7])), Ok(None));
        let open = Open { target: Target::datagram_service("x"), mode: Mode::Single };
        let (flow, class, payload) = (FlowId(0), TrafficClass::DEFAULT, Bytes::new());
        let datagram = FlowDatagram { flow, seq: 0, open: Some(open), class, payload };
        let mut bytes = datagram.to_bytes().to_vec();
        bytes[4] = 9;
        let invalid = DecodeError::Invalid("target kind", 9);
        assert_eq!(FlowDatagram::decode(&bytes.into()), Err(invalid));
    }
}
