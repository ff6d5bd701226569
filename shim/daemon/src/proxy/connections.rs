//! What all TCP connections of the proxy share: how a dead other end is noticed, how many there may be,
//! how many descriptors they may take, and how many names are looked up at once.

mod descriptors;
mod gate;
mod limits;
mod lookups;
mod tcp;

use std::sync::Arc;

use parking_lot::RwLock;

pub use self::descriptors::{Descriptors, raise_descriptor_limit};
pub use self::gate::{Gate, Place};
pub use self::limits::ConnectionLimits;
pub use self::lookups::Lookups;
pub use self::tcp::TcpTimeouts;
use crate::proxy::freezer::Freezer;

/// What connections share. Clones share all of it.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    /// The descriptors that connections may take.
    pub descriptors: Descriptors,
    /// What has them stand still for a hand-over.
    pub freezer: Freezer,
    /// The datagram flows of all ingresses.
    pub datagram_flows: Gate,
    /// Long datagrams that wait for their flows to be opened.
    pub long_datagrams: Gate,
    /// The sockets of UDP to destinations, each of which has a port of this host.
    pub udp_sockets: Gate,
    /// What a reload changes, for connections to come. The lock is a leaf.
    settings: Arc<RwLock<(TcpTimeouts, ConnectionLimits)>>,
}

impl Connections {
    /// Begins with these settings and all the descriptors.
    pub fn new(tcp: TcpTimeouts, limits: ConnectionLimits) -> Self {
        let connections = Self::default();
        connections.set(tcp, limits);
        connections
    }

    /// Sets how a dead other end is noticed, and how many connections there may be, from now on.
    pub fn set(&self, tcp: TcpTimeouts, limits: ConnectionLimits) {
        *self.settings.write() = (tcp, limits);
    }

    /// Returns how a dead other end is noticed.
    pub fn tcp(&self) -> TcpTimeouts {
        self.settings.read().0
    }

    /// Returns how many there may be at once.
    pub fn limits(&self) -> ConnectionLimits {
        self.settings.read().1
    }
}
