//! The time of a history.

/// Milliseconds since 1970 by the wall clock.
pub(in crate::web) type Millis = u64;
