//! The receiving direction in a snapshot.

use super::{Assembler, DuplicateCounter, Rx};
use crate::snapshot::{RestoreError, get_flags, get_option, put_flags, put_option};
use crate::wire::codec::{get_varint, put_varint};

impl Rx {
    /// Appends the direction.
    pub(in crate::flow) fn put(&self, out: &mut Vec<u8>) {
        self.assembler.put(out);
        put_option(out, self.final_size);
        put_option(out, self.reset_at);
        put_flags(out, [self.discard, self.end_seen]);
        put_varint(out, self.unreported);
        self.duplicates.put(out);
        put_varint(out, self.max_offset);
        put_varint(out, self.window);
    }

    /// Reads what [`put`](Self::put) has written.
    pub(in crate::flow) fn get(record: &mut &[u8]) -> Result<Self, RestoreError> {
        let assembler = Assembler::get(record)?;
        let final_size = get_option(record, "final size")?;
        let reset_at = get_option(record, "reset offset")?;
        let [discard, end_seen] = get_flags(record)?;
        let rx = Self {
            assembler,
            final_size,
            reset_at,
            discard,
            end_seen,
            unreported: get_varint(record, "unreported bytes")?,
            duplicates: DuplicateCounter::get(record)?,
            max_offset: get_varint(record, "granted offset")?,
            window: get_varint(record, "window")?,
            epoch: None,
        };
        let highest = rx.assembler.highest();
        if highest > rx.max_offset || rx.end().is_some_and(|end| highest > end) {
            return Err(RestoreError::Contradiction("received bytes"));
        }
        Ok(rx)
    }
}
