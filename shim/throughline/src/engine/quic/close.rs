//! Closing a lane's connection: the application error codes (docs/PROTOCOL.md) and the reason.

use std::time::Duration;

use quinn::{Connection, VarInt};

/// How long a close message gets to reach the peer: enough for one retransmission on a usual path.
pub(crate) const CLOSE_FLUSH: Duration = Duration::from_millis(300);

/// A regular end.
pub(crate) const DONE: VarInt = VarInt::from_u32(0);

/// The peer violated the protocol.
pub(crate) const PROTOCOL: VarInt = VarInt::from_u32(1);

/// Another lane took this one's place.
pub(crate) const REPLACED: VarInt = VarInt::from_u32(2);

/// Nothing was received on the lane for too long.
pub(crate) const UNRESPONSIVE: VarInt = VarInt::from_u32(3);

/// The lane was not admitted ([`throughline_proto::wire::hello::Reject`] says why).
pub(crate) const REJECTED: VarInt = VarInt::from_u32(4);

/// What this end sends on the lane is not acknowledged, although the peer's packets arrive.
pub(crate) const ONE_WAY: VarInt = VarInt::from_u32(5);

/// A fault of this end, as a task that panicked.
pub(crate) const INTERNAL: VarInt = VarInt::from_u32(6);

/// A close reason travels in one packet: its beginning is enough.
const MAX_REASON: usize = 200;

/// Closes the connection; the lane's task notices through it.
pub(crate) fn close(connection: &Connection, code: VarInt, reason: &str) {
    connection.close(code, &reason.as_bytes()[..reason.len().min(MAX_REASON)]);
}
