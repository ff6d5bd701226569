//! The received bytes in a snapshot.

use super::Assembler;
use super::in_order::InOrder;
use super::out_of_order::OutOfOrder;
use crate::snapshot::{RestoreError, end_of, get_chunks, put_chunks};
use crate::wire::codec::{get_varint, put_varint};

impl Assembler {
    /// Appends what has been received, and how far it was read.
    pub(in crate::flow) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.read);
        put_chunks(out, self.readable(), self.in_order.iter());
        put_varint(out, self.duplicate);
        put_varint(out, self.out_of_order.chunks().count() as u64);
        for (start, chunk) in self.out_of_order.chunks() {
            put_varint(out, start);
            put_chunks(out, chunk.len() as u64, std::iter::once(chunk));
        }
    }

    /// Reads what [`put`](Self::put) has written.
    pub(in crate::flow) fn get(record: &mut &[u8]) -> Result<Self, RestoreError> {
        let read = get_varint(record, "read offset")?;
        let (len, chunks) = get_chunks(record, "received bytes")?;
        let head = end_of(read, len, "received bytes")?;
        let mut in_order = InOrder::default();
        chunks.for_each(|chunk| in_order.push(chunk));
        let duplicate = get_varint(record, "duplicate bytes")?;
        let mut out_of_order = OutOfOrder::default();
        for _ in 0..get_varint(record, "chunks out of order")? {
            let mut at = get_varint(record, "offset out of order")?;
            let (len, chunks) = get_chunks(record, "bytes out of order")?;
            let end = end_of(at, len, "bytes out of order")?;
            if at <= head || out_of_order.ranges().first_gap(at..end) != Some(at..end) {
                return Err(RestoreError::Contradiction("offset out of order"));
            }
            for chunk in chunks {
                out_of_order.insert(at, &chunk);
                at += chunk.len() as u64;
            }
        }
        Ok(Self { read, head, in_order, out_of_order, duplicate })
    }
}
