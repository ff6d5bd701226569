//! QUIC as lanes use it: sockets bound to their source, endpoints, TLS with pinned keys, transport settings,
//! close codes.

pub(crate) mod close;
pub(crate) mod cuts;
pub(crate) mod endpoint;
pub(crate) mod features;
pub(crate) mod meter;
pub(crate) mod socket;
pub(crate) mod tls;
pub(crate) mod transport;
