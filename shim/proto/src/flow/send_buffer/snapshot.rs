//! The unacknowledged bytes in a snapshot.

use std::collections::VecDeque;

use super::SendBuffer;
use crate::snapshot::{RestoreError, end_of, get_chunks, get_ranges, put_chunks, put_ranges};
use crate::wire::codec::{get_varint, put_varint};

impl SendBuffer {
    /// Appends what is kept.
    pub(in crate::flow) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.base);
        let kept = self.slice(self.base..self.end);
        put_chunks(out, self.retained(), kept.iter().map(|chunk| &chunk[..]));
        put_ranges(out, &self.acked);
    }

    /// Reads what [`put`](Self::put) has written.
    pub(in crate::flow) fn get(record: &mut &[u8]) -> Result<Self, RestoreError> {
        let base = get_varint(record, "acknowledged bytes")?;
        let (len, chunks) = get_chunks(record, "bytes to send")?;
        end_of(base, len, "bytes to send")?;
        let mut buffer = Self { base, end: base, chunks: VecDeque::new(), ..Self::default() };
        chunks.for_each(|chunk| buffer.push(chunk));
        // What is acknowledged at the base would have moved it.
        let above = (base + 1).min(buffer.end)..buffer.end;
        buffer.acked = get_ranges(record, "acknowledged ranges", &above)?;
        Ok(buffer)
    }
}
