//! The wire encoding (`docs/PROTOCOL.md`): control messages, segment headers and datagrams.
//!
//! All input is untrusted: each length is checked against the bytes that are there and against a
//! bound of its own, and an error names the field that is wrong.

pub mod codec;
pub mod control;
pub mod datagram;
pub mod fact;
pub mod hello;
pub mod segment;

/// The protocol version in `Hello` and `Welcome`.
pub const VERSION: u64 = 1;

/// The ALPN protocol id (RFC 7301) of a lane.
pub const ALPN: &[u8] = b"throughline/1";
