//! What every part of a node may use, and nothing that uses it: a leaf under sessions and dials.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::watch;

use super::drains::Drains;
use super::locators;
use super::peers::Peers;
use super::quic::transport::LaneTransport;
use crate::events::EventLog;
use crate::identity::Identity;
use throughline_proto::types::Locator;
use throughline_uplinks::{Uplink, Uplinks};

/// The context of a node's sessions: who we are, by which uplinks we reach whom, and where
/// events are emitted.
pub(crate) struct NodeContext {
    pub(crate) identity: Identity,
    pub(crate) transport: LaneTransport,
    pub(crate) uplinks: Uplinks,
    /// The uplinks that are drained.
    pub(crate) drains: Drains,
    pub(crate) events: EventLog,
    pub(crate) peers: Peers,
    pub(crate) started: Instant,
    /// Counts the changes among the node's sessions: one comes, is established or goes.
    pub(crate) session_changes: watch::Sender<u64>,
    /// Where we can be reached, once the sockets are bound.
    endpoints: OnceLock<Endpoints>,
}

/// Where a node can be reached.
struct Endpoints {
    /// The addresses that it listens on.
    listen: Vec<SocketAddr>,
    /// The locators that were configured, such as the outside of a NAT.
    configured: Vec<SocketAddr>,
}

impl NodeContext {
    pub(crate) fn new(identity: Identity, uplinks: Uplinks, peers: Peers) -> Arc<Self> {
        Arc::new(Self {
            identity,
            transport: LaneTransport::default(),
            uplinks,
            drains: Drains::default(),
            events: EventLog::default(),
            peers,
            started: Instant::now(),
            session_changes: watch::Sender::new(0),
            endpoints: OnceLock::new(),
        })
    }

    /// Sets where the node can be reached; once, when its sockets are bound.
    pub(crate) fn set_endpoints(&self, listen: Vec<SocketAddr>, configured: Vec<SocketAddr>) {
        let _ = self.endpoints.set(Endpoints { listen, configured });
    }

    /// Returns where the node can be reached, with the addresses that its uplinks have now.
    pub(crate) fn own_locators(&self) -> Vec<Locator> {
        let Some(Endpoints { listen, configured }) = self.endpoints.get() else {
            return Vec::new();
        };
        let ours: Vec<_> = self.uplinks.now().uplinks.iter().flat_map(|u| u.ips()).collect();
        locators::own(configured, listen, &ours)
    }

    /// Returns the uplink that a local address belongs to.
    pub(crate) fn uplink_of(&self, local: IpAddr) -> Option<String> {
        let snapshot = self.uplinks.now();
        let of = |u: &&Uplink| u.ips().any(|ip| ip == local);
        snapshot.uplinks.iter().find(of).map(|u| u.name.clone())
    }
}
