//! The wire encoding (`docs/PROTOCOL.md`): control messages, segment headers and datagrams.
//!
//! All input is untrusted: each length is checked against the bytes that are there and against a
//! bound of its own, and an error names the field that is wrong.

pub mod codec;
pub mod control;
pub mod datagram;
pub mod fact;
pub mod flow_datagram;
pub mod hello;
pub mod long_datagram;
pub mod path_probe;
pub mod restart_notice;
pub mod segment;
pub mod version;

/// The highest protocol version that is spoken here; [`version::VERSIONS`] has the lowest.
pub const VERSION: u64 = 3;

/// The ALPN protocol id (RFC 7301) of a lane.
pub const ALPN: &[u8] = b"throughline/1";
