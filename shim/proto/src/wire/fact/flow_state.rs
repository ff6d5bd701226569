//! The state of a flow at one end.

use std::ops::Range;

use bytes::{Buf, BufMut};

use super::open::{Open, Outcome};
use crate::types::FlowId;
use crate::wire::codec::{DecodeError, MAX_VARINT, get_bounded, get_varint, put_varint};

/// The most ranges that a [`FlowState`] lists. Higher ones are sent later; they are not lost.
pub const MAX_RANGES: usize = 32;

/// A reset of the whole flow. Each end sets it once (cf. RESET_STREAM_AT,
/// draft-ietf-quic-reliable-stream-reset).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetAt {
    /// The application's error code.
    pub code: u64,
    /// The reliable size: what precedes this offset is still delivered.
    pub at: u64,
}

/// The state of a flow at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowState {
    /// The flow.
    pub flow: FlowId,
    /// Grows with every change of this end's state.
    pub version: u64,
    /// The ranges in the assembler, from the lowest: at most [`MAX_RANGES`], disjoint, ascending.
    pub received: Vec<Range<u64>>,
    /// The peer may send what precedes this offset (cf. MAX_STREAM_DATA, RFC 9000 §19.10). Never
    /// shrinks.
    pub max_offset: u64,
    /// How many bytes this end sends in all, once it knows.
    pub final_size: Option<u64>,
    /// The open (at the opener's end only).
    pub open: Option<Open>,
    /// The outcome of the open (at the acceptor's end only).
    pub outcome: Option<Outcome>,
    /// This end's reset of the flow.
    pub reset: Option<ResetAt>,
}

// Flags that say which optional fields follow.
const HAS_FINAL_SIZE: u8 = 1;
const HAS_OPEN: u8 = 2;
const HAS_OUTCOME: u8 = 4;
const HAS_RESET: u8 = 8;

impl FlowState {
    pub(in crate::wire) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.flow.0);
        put_varint(out, self.version);
        put_varint(out, self.max_offset);
        let flag = |set: bool, bit| if set { bit } else { 0 };
        out.put_u8(
            flag(self.final_size.is_some(), HAS_FINAL_SIZE)
                | flag(self.open.is_some(), HAS_OPEN)
                | flag(self.outcome.is_some(), HAS_OUTCOME)
                | flag(self.reset.is_some(), HAS_RESET),
        );
        put_varint(out, self.received.len() as u64);
        let mut last = 0;
        for range in &self.received {
            put_varint(out, range.start - last);
            put_varint(out, range.end - range.start);
            last = range.end;
        }
        if let Some(size) = self.final_size {
            put_varint(out, size);
        }
        if let Some(open) = &self.open {
            open.put(out);
        }
        if let Some(outcome) = &self.outcome {
            outcome.put(out);
        }
        if let Some(reset) = self.reset {
            put_varint(out, reset.code);
            put_varint(out, reset.at);
        }
    }

    pub(in crate::wire) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        let flow = FlowId(get_varint(buf, "flow id")?);
        let version = get_varint(buf, "fact version")?;
        let max_offset = get_varint(buf, "max offset")?;
        if !buf.has_remaining() {
            return Err(DecodeError::Truncated("flow flags"));
        }
        let flags = buf.get_u8();
        if flags & !(HAS_FINAL_SIZE | HAS_OPEN | HAS_OUTCOME | HAS_RESET) != 0 {
            return Err(DecodeError::Invalid("flow flags", flags.into()));
        }
        let has = |bit| flags & bit != 0;
        Ok(Self {
            flow,
            version,
            max_offset,
            received: get_ranges(buf)?,
            final_size: has(HAS_FINAL_SIZE).then(|| get_varint(buf, "final size")).transpose()?,
            open: has(HAS_OPEN).then(|| Open::get(buf)).transpose()?,
            outcome: has(HAS_OUTCOME).then(|| Outcome::get(buf)).transpose()?,
            reset: has(HAS_RESET).then(|| ResetAt::get(buf)).transpose()?,
        })
    }
}

impl ResetAt {
    fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        Ok(Self { code: get_varint(buf, "reset code")?, at: get_varint(buf, "reset offset")? })
    }
}

fn get_ranges(buf: &mut impl Buf) -> Result<Vec<Range<u64>>, DecodeError> {
    let count = get_bounded(buf, "range count", MAX_RANGES as u64)?;
    let mut ranges: Vec<Range<u64>> = Vec::with_capacity(count as usize);
    let mut last = 0u64;
    for index in 0..count {
        let gap = get_varint(buf, "range gap")?;
        let len = get_varint(buf, "range length")?;
        if len == 0 || (gap == 0 && index > 0) {
            return Err(DecodeError::Invalid("range length or gap", 0));
        }
        let start = last + gap;
        let end = start + len;
        if end > MAX_VARINT {
            return Err(DecodeError::TooLarge("range end", end, MAX_VARINT));
        }
        ranges.push(start..end);
        last = end;
    }
    Ok(ranges)
}
