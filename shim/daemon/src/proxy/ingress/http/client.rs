//! What is kept of a client's connection for its requests, whichever version of HTTP they come by.

use std::net::SocketAddr;

use super::authorization::Tries;
use super::upstream::Upstreams;
use crate::proxy::stream::ClientAddr;

/// A client's connection as its requests find it.
pub(super) struct Client {
    /// Who it is.
    pub(super) from: ClientAddr,
    /// What it connected to, where that is known.
    pub(super) reached: Option<SocketAddr>,
    /// Its connections to origins.
    pub(super) upstreams: Upstreams,
    /// Its tries of a password.
    pub(super) tries: Tries,
}

impl Client {
    /// Creates what is kept of a connection that has had no request.
    pub(super) fn new((from, reached): (ClientAddr, Option<SocketAddr>)) -> Self {
        Self { from, reached, upstreams: Upstreams::default(), tries: Tries::default() }
    }
}
