//! Paths: what a lane can run over, and which of the peer's locators fail together.

mod prefix;

use std::net::{IpAddr, SocketAddr};

pub use prefix::Prefix;

use crate::types::AddressClass;

/// The two addresses of a path, which identify it: a dial is known by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathKey {
    /// Our address.
    pub local: IpAddr,
    /// The peer's address and UDP port.
    pub remote: SocketAddr,
}

/// A local address of an uplink, and a locator of the peer that it can reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The uplink's name.
    pub uplink: String,
    /// The uplink's place in the operator's order of preference; lower is preferred.
    pub order: u32,
    /// Who assigned the uplink's addresses, which decides how it fails and recovers.
    pub class: AddressClass,
    /// Traffic on the uplink costs money, so it is a standby.
    pub metered: bool,
    /// The uplink is administratively drained at this end.
    pub draining: bool,
    /// Our address.
    pub local: IpAddr,
    /// The peer's address and UDP port.
    pub remote: SocketAddr,
}

impl Path {
    /// Returns the path's two addresses.
    pub fn key(&self) -> PathKey {
        PathKey { local: self.local, remote: self.remote }
    }
}
