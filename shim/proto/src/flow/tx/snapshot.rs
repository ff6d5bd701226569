//! The sending direction in a snapshot. The lanes are not in it: they do not outlive their process.

use super::{SendBuffer, Tx};
use crate::flow::rate_meter::RateMeter;
use crate::snapshot::{RestoreError, get_option, put_option};
use crate::wire::codec::{get_varint, put_varint};

impl Tx {
    /// Appends what outlives the lanes.
    pub(in crate::flow) fn put(&self, out: &mut Vec<u8>) {
        self.buffer.put(out);
        put_varint(out, self.next);
        put_option(out, self.fin);
        put_varint(out, self.max_offset);
        put_varint(out, self.duplicate_from);
        put_varint(out, self.resent);
        self.meter.put(out);
    }

    /// Reads what [`put`](Self::put) has written: what was sent and is not acknowledged is at risk.
    pub(in crate::flow) fn get(record: &mut &[u8]) -> Result<Self, RestoreError> {
        let buffer = SendBuffer::get(record)?;
        let next = get_varint(record, "sent bytes")?;
        let sent_to = buffer.acked().last().map_or(buffer.base(), |range| range.end);
        if next < sent_to || next > buffer.end() {
            return Err(RestoreError::Contradiction("sent bytes"));
        }
        let fin = get_option(record, "final size to send")?;
        if fin.is_some_and(|fin| fin != buffer.end()) {
            return Err(RestoreError::Contradiction("final size to send"));
        }
        Ok(Self {
            next,
            fin,
            at_risk: next > buffer.base(),
            buffer,
            max_offset: get_varint(record, "offset that the peer accepts")?,
            duplicate_from: get_varint(record, "duplicated from")?,
            resent: get_varint(record, "bytes sent again")?,
            meter: RateMeter::get(record)?,
            ..Self::new(0)
        })
    }
}
