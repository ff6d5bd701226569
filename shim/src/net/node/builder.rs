//! Builds and starts a node.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{Endpoint, TokioRuntime};
use thiserror::Error;

use super::shared::NodeShared;
use super::{Limits, Node, PeerConfig, UplinkConfig, acceptor};
use crate::net::clock::{self, Sleep};
use crate::net::identity::Identity;
use crate::net::{socket, transport};
use crate::vocab::ids::PeerId;

/// A session that ended is followed by another after this, so that a peer that keeps rejecting
/// us costs little.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Collects what a [`Node`] needs.
#[derive(Default)]
pub struct NodeBuilder {
    identity: Option<Identity>,
    listen: Vec<SocketAddr>,
    uplinks: Vec<UplinkConfig>,
    peers: Vec<PeerConfig>,
    limits: Limits,
}

/// Why a node could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A UDP address to listen on is taken or not ours.
    #[error("cannot listen on udp {addr}: {source}; {}", socket::listen_cure(source))]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Two peers have one key.
    #[error("peers `{0}` and `{1}` have the same key; give each its own")]
    DuplicatePeer(String, String),
    /// A peer has our own key.
    #[error("peer `{0}` has this node's own key; give it the peer's")]
    OwnKey(String),
}

impl NodeBuilder {
    /// Our key; a new random one where none is given.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Accepts lanes on this UDP address; call it again for more. Port 0 picks a free one;
    /// `[::]` stands for every address of both families.
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen.push(addr);
        self
    }

    /// An uplink; where none is given they are discovered.
    #[must_use]
    pub fn uplink(mut self, uplink: UplinkConfig) -> Self {
        self.uplinks.push(uplink);
        self
    }

    /// A peer we trust, by its key.
    #[must_use]
    pub fn peer(mut self, peer: PeerConfig) -> Self {
        self.peers.push(peer);
        self
    }

    /// Other bounds than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts the node within the current tokio runtime.
    ///
    /// # Errors
    /// See [`BuildError`]. Nothing is left running after an error.
    #[allow(clippy::unused_async, reason = "must be called within a runtime, as the type says")]
    pub async fn build(self) -> Result<Node, BuildError> {
        let identity = self.identity.unwrap_or_else(Identity::generate);
        for (index, peer) in self.peers.iter().enumerate() {
            if peer.id == identity.peer_id() {
                return Err(BuildError::OwnKey(peer.name.clone()));
            }
            if let Some(other) = self.peers[..index].iter().find(|p| p.id == peer.id) {
                return Err(BuildError::DuplicatePeer(other.name.clone(), peer.name.clone()));
            }
        }
        let shared = NodeShared::new(identity, self.uplinks, self.limits, self.peers);
        let config = shared.transport();
        let allowed = shared.allowed.clone();
        let factory = Arc::new(transport::server_config(config, shared.identity(), allowed));
        let endpoints = listen(&shared, &factory, &self.listen)?;
        for endpoint in &endpoints {
            tokio::spawn(acceptor::run(shared.clone(), endpoint.clone(), factory.clone()));
        }
        for peer in shared.peers() {
            if !shared.locators(*peer).is_empty() {
                tokio::spawn(keep(Arc::downgrade(&shared), *peer));
            }
        }
        tokio::spawn(watch_clock(Arc::downgrade(&shared)));
        Ok(Node::new(shared, endpoints))
    }
}

fn listen(
    shared: &NodeShared,
    factory: &transport::ServerFactory,
    addrs: &[SocketAddr],
) -> Result<Vec<Endpoint>, BuildError> {
    let open = |addr: SocketAddr| {
        let socket = socket::bind(addr, &socket::SocketOptions::default())?;
        let config = transport::endpoint_config(shared.identity(), addr);
        let server = factory.for_endpoint();
        Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
    };
    let mut endpoints = Vec::new();
    for addr in addrs {
        let named = |source| BuildError::Listen { addr: *addr, source };
        let endpoint = open(*addr).map_err(named)?;
        let bound = endpoint.local_addr().map_err(named)?;
        endpoints.push(endpoint);
        if addr.is_ipv6() && addr.ip().is_unspecified() {
            // `[::]` means all addresses; with IPV6_V6ONLY the other family needs its own socket.
            // Where IPv4 is listed by itself, or is not there at all, this may fail.
            let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, bound.port()));
            if !addrs.contains(&v4)
                && let Ok(endpoint) = open(v4)
            {
                endpoints.push(endpoint);
            }
        }
    }
    Ok(endpoints)
}

/// Notices that the machine slept. It wakes once more after the node is gone, if ever.
async fn watch_clock(node: std::sync::Weak<NodeShared>) {
    let mut sleep = Sleep::watch();
    loop {
        clock::may_have_slept().await;
        let Some(node) = node.upgrade() else { return };
        if node.is_shutting_down() {
            return;
        }
        if let Some(lasted) = sleep.noticed() {
            node.slept(lasted);
        }
    }
}

/// Keeps a session with a peer that we can dial.
async fn keep(node: std::sync::Weak<NodeShared>, peer: PeerId) {
    loop {
        let Some(shared) = node.upgrade() else { return };
        if shared.is_shutting_down() {
            return;
        }
        shared.initiate(peer);
        let mut changes = shared.changes();
        let there = !shared.sessions(peer).is_empty();
        drop(shared);
        if there {
            if changes.changed().await.is_err() {
                return;
            }
        } else {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}
