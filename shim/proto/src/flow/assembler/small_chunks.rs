//! When chunks are copied together, for both halves of the assembler.

/// Chunks shorter than this are copied. A slice keeps the whole receive buffer of up to 64 KiB
/// alive, so a slow reader of small messages would hold a hundred times its window. Bulk data comes
/// in chunks of a packet, at least 1200 bytes less some headers, and is not copied: it fills the
/// buffers it is a slice of, unless its peer goes out of its way to put other packets between.
pub(super) const COPY_BELOW: usize = 1024;

/// Adjacent copies are joined while the result is no longer than this. Joining copies again: in the
/// worst case this much for a single byte, which takes a fraction of a microsecond.
pub(super) const JOIN_UP_TO: usize = 4096;
