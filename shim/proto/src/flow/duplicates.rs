//! Tells the second copy of a flow on two lanes from bytes that were sent again.

use crate::wire::codec::{DecodeError, get_varint, put_varint};

/// Counts the bytes that were received twice because the flow is on two lanes, as intended.
///
/// Bytes that were sent again are no duplicates in this sense, and neither is their first copy if it
/// arrives after all.
#[derive(Debug, Default)]
pub(super) struct DuplicateCounter {
    duplicated: u64,
    /// The bytes whose first arrival was in a segment marked as re-sent: their first copy may still
    /// arrive.
    resent_first: u64,
}

impl DuplicateCounter {
    /// Returns the number of bytes that were received twice as intended.
    pub(super) fn duplicated(&self) -> u64 {
        self.duplicated
    }

    /// Appends the counts to a snapshot.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.duplicated);
        put_varint(out, self.resent_first);
    }

    /// Reads what [`put`](Self::put) has written.
    pub(super) fn get(record: &mut &[u8]) -> Result<Self, DecodeError> {
        let duplicated = get_varint(record, "duplicated bytes")?;
        Ok(Self { duplicated, resent_first: get_varint(record, "bytes that came again first")? })
    }

    /// Counts a part of a segment, of which `new` bytes were new and `known` were received before.
    /// `on_two_lanes` says whether the flow may be on two lanes.
    pub(super) fn count(&mut self, resent: bool, on_two_lanes: bool, new: u64, known: u64) {
        if resent {
            self.resent_first += new;
            return;
        }
        let late = known.min(self.resent_first);
        self.resent_first -= late;
        if on_two_lanes {
            self.duplicated += known - late;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_on_a_secondary_lane_are_told_from_bytes_that_were_sent_again() {
        let mut counter = DuplicateCounter::default();
        // A thin flow on two lanes: everything arrives twice.
        counter.count(false, true, 100, 0);
        counter.count(false, true, 0, 100);
        assert_eq!(counter.duplicated(), 100);
        // Sent again in vain: no duplicate.
        counter.count(true, true, 0, 50);
        assert_eq!(counter.duplicated(), 100);
        // Sent again, and the first copy arrives after all: no duplicate either.
        counter.count(true, true, 70, 0);
        counter.count(false, true, 0, 70);
        assert_eq!(counter.duplicated(), 100);
        counter.count(false, true, 0, 1);
        assert_eq!(counter.duplicated(), 101);
        // A flow that is never on two lanes has no duplicates.
        counter.count(false, false, 0, 10);
        assert_eq!(counter.duplicated(), 101);
    }
}
