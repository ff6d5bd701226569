//! The primitive fields of a snapshot: what a session and its flows are made of when another process
//! takes them over.
//!
//! A snapshot is a list of records: first the session's own ([`Session::snapshot`]), then one of each
//! flow. Each begins with its format's version. It never leaves the host, and who may write it may do
//! anything to the sessions; so it is checked for faults, not for malice.
//!
//! [`Session::snapshot`]: crate::session::Session::snapshot

use std::ops::Range;

use bytes::{Buf, Bytes};
use thiserror::Error;

use crate::flow::ranges::RangeSet;
use crate::wire::codec::{DecodeError, MAX_VARINT, get_varint, put_varint};

/// The version of the format that is written, and the highest that is read. All from 1 on are read.
pub const VERSION: u64 = 1;

/// The size of the chunks that bytes are restored in: none keeps much more memory than it is long.
const CHUNK: usize = 64 * 1024;

/// Why a record of a snapshot cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The record is of a version that is not known here.
    #[error("state of version {0}; this program reads versions 1 to {VERSION}")]
    Version(u64),
    /// The record ends early, or a field has no such value.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// Fields contradict each other.
    #[error("{0} contradicts the rest of the record")]
    Contradiction(&'static str),
}

/// Begins a record.
pub(crate) fn put_version(out: &mut Vec<u8>) {
    put_varint(out, VERSION);
}

/// Reads the version of a record.
pub(crate) fn get_version(record: &mut &[u8]) -> Result<u64, RestoreError> {
    match get_varint(record, "version")? {
        version @ 1..=VERSION => Ok(version),
        other => Err(RestoreError::Version(other)),
    }
}

/// Returns an error unless the record ends here.
pub(crate) fn get_end(record: &[u8], what: &'static str) -> Result<(), RestoreError> {
    match record.is_empty() {
        true => Ok(()),
        false => Err(DecodeError::Trailing(what, record.len()).into()),
    }
}

/// Appends flags as one byte, the first as its lowest bit.
pub(crate) fn put_flags<const N: usize>(out: &mut Vec<u8>, flags: [bool; N]) {
    const { assert!(N <= 8) };
    out.push(flags.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag)));
}

/// Reads flags.
pub(crate) fn get_flags<const N: usize>(record: &mut &[u8]) -> Result<[bool; N], RestoreError> {
    let byte = get_byte(record, "flags")?;
    match N < 8 && byte >> N != 0 {
        true => Err(DecodeError::Invalid("flags", byte.into()).into()),
        false => Ok(std::array::from_fn(|bit| byte >> bit & 1 == 1)),
    }
}

pub(crate) fn get_byte(record: &mut &[u8], field: &'static str) -> Result<u8, RestoreError> {
    match record.has_remaining() {
        true => Ok(record.get_u8()),
        false => Err(DecodeError::Truncated(field).into()),
    }
}

/// Appends a number that may be missing.
pub(crate) fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    put_varint(out, value.map_or(0, |value| value + 1));
}

/// Reads a number that may be missing.
pub(crate) fn get_option(
    record: &mut &[u8],
    field: &'static str,
) -> Result<Option<u64>, RestoreError> {
    Ok(get_varint(record, field)?.checked_sub(1))
}

/// Appends bytes, given as chunks of this length in all, with the length in front.
pub(crate) fn put_chunks<'a>(out: &mut Vec<u8>, len: u64, chunks: impl Iterator<Item = &'a [u8]>) {
    put_varint(out, len);
    chunks.for_each(|chunk| out.extend_from_slice(chunk));
}

/// Reads bytes, copied into chunks of their own.
pub(crate) fn get_chunks<'a>(
    record: &mut &'a [u8],
    field: &'static str,
) -> Result<(u64, impl Iterator<Item = Bytes> + use<'a>), RestoreError> {
    let len = get_varint(record, field)?;
    let fits = usize::try_from(len).ok().filter(|len| *len <= record.len());
    let (bytes, rest) = record.split_at(fits.ok_or(DecodeError::Truncated(field))?);
    *record = rest;
    Ok((len, bytes.chunks(CHUNK).map(Bytes::copy_from_slice)))
}

/// Appends ranges of offsets.
pub(crate) fn put_ranges(out: &mut Vec<u8>, ranges: &RangeSet) {
    put_varint(out, ranges.count() as u64);
    for range in ranges.iter() {
        put_varint(out, range.start);
        put_varint(out, range.end);
    }
}

/// Reads ranges of offsets, which lie within `bounds`.
pub(crate) fn get_ranges(
    record: &mut &[u8],
    field: &'static str,
    bounds: &Range<u64>,
) -> Result<RangeSet, RestoreError> {
    let mut ranges = RangeSet::new();
    for _ in 0..get_varint(record, field)? {
        let range = get_varint(record, field)?..get_varint(record, field)?;
        if range.is_empty() || range.start < bounds.start || range.end > bounds.end {
            return Err(RestoreError::Contradiction(field));
        }
        ranges.insert(range);
    }
    Ok(ranges)
}

/// Returns where `len` bytes from `start` on end.
pub(crate) fn end_of(start: u64, len: u64, field: &'static str) -> Result<u64, RestoreError> {
    let end = start.checked_add(len).filter(|end| *end <= MAX_VARINT);
    end.ok_or(RestoreError::Contradiction(field))
}
