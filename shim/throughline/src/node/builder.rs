//! Builds and starts a node.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::{Endpoint, TokioRuntime};
use thiserror::Error;

use super::addresses;
use super::handle::Node;
use super::router::Router;
use crate::config::{Limits, PeerConfig};
use crate::engine::accept;
use crate::engine::context::NodeContext;
use crate::engine::peers::Peers;
use crate::engine::quic::tls::PeerSet;
use crate::engine::quic::{socket, transport};
use crate::engine::sessions::Sessions;
use crate::engine::upkeep;
use crate::identity::Identity;
use throughline_uplinks::{ManageError, UplinkConfig, Uplinks};

/// Collects what a [`Node`] needs, and starts it.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use throughline::{Identity, Node, PeerConfig};
///
/// let laptop = Identity::generate().peer_id(); // what `throughline id FILE` prints there
/// let server = Node::builder()
///     .identity(Identity::generate()) // or `Identity::load("/etc/throughline/key")?`
///     .bind(([127, 0, 0, 1], 0).into())
///     .peer(PeerConfig::new(laptop, "laptop"))
///     .build()
///     .await?;
/// println!("lanes are accepted on {:?}", server.local_addrs());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder starts nothing until `build`"]
pub struct NodeBuilder {
    identity: Option<Identity>,
    bind: Vec<SocketAddr>,
    advertised: Vec<SocketAddr>,
    uplinks: Vec<UplinkConfig>,
    manage_routes: bool,
    peers: Vec<PeerConfig>,
    limits: Limits,
}

/// Why a node could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A UDP address to listen on is taken or not ours.
    #[error("cannot listen on udp {addr}: {source}; {}", socket::bind_hint(source))]
    Bind {
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
    /// The routes cannot be managed.
    #[error("cannot manage routes: {0}")]
    Routes(#[from] ManageError),
}

impl Node {
    /// Begins a new node.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }
}

impl NodeBuilder {
    /// Sets our key; without it the node has a new random one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Accepts lanes on this UDP address. Port 0 picks a free one; `[::]` stands for every address
    /// of both families. Call it again for more; without it the node only dials.
    pub fn bind(mut self, addr: SocketAddr) -> Self {
        self.bind.push(addr);
        self
    }

    /// Advertises a locator to the peers besides the addresses that we listen on, as the outside of
    /// a NAT, so that they can dial us there. Call it again for more.
    pub fn advertise(mut self, addr: SocketAddr) -> Self {
        self.advertised.push(addr);
        self
    }

    /// Adds an uplink. Without any, they are discovered: every usable address of this host is one's.
    pub fn uplink(mut self, uplink: UplinkConfig) -> Self {
        self.uplinks.push(uplink);
        self
    }

    /// Sets rules and routes so that packets leave by the uplink that their source belongs to (Linux,
    /// with CAP_NET_ADMIN). They are removed when the node ends. Default: no.
    pub fn manage_routes(mut self, manage: bool) -> Self {
        self.manage_routes = manage;
        self
    }

    /// Adds a peer that we trust, by its key.
    pub fn peer(mut self, peer: PeerConfig) -> Self {
        self.peers.push(peer);
        self
    }

    /// Sets other bounds than the default ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts the node within the current tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`] says what to change. Nothing is left running after an error.
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
        let uplinks = Uplinks::start(self.uplinks, self.manage_routes).await?;
        let context = NodeContext::new(identity, uplinks, Peers::new(self.peers));
        let router = Router::default();
        let sessions = Sessions::new(context.clone(), Arc::new(router.clone()), self.limits);
        let allowed = Arc::new(PeerSet::new(context.peers.ids().iter().copied()));
        let factory =
            Arc::new(transport::server_config(&context.transport, &context.identity, allowed));
        let endpoints = bind(&context.identity, &factory, &self.bind)?;
        let listen = endpoints.iter().filter_map(|e| e.local_addr().ok()).collect();
        context.set_endpoints(listen, self.advertised);
        for endpoint in &endpoints {
            tokio::spawn(accept::run(sessions.clone(), endpoint.clone(), factory.clone()));
        }
        for peer in context.peers.ids() {
            if !context.peers.locators(*peer).is_empty() {
                tokio::spawn(upkeep::keep_session(Arc::downgrade(&sessions), *peer));
            }
        }
        tokio::spawn(upkeep::watch_clock(Arc::downgrade(&sessions), context.uplinks.follow()));
        tokio::spawn(addresses::report(context.uplinks.follow(), context.events.clone()));
        Ok(Node::new(sessions, router, endpoints))
    }
}

fn bind(
    identity: &Identity,
    factory: &transport::ServerFactory,
    addrs: &[SocketAddr],
) -> Result<Vec<Endpoint>, BuildError> {
    let open = |addr: SocketAddr| {
        let socket = socket::bind(addr, &socket::SocketOptions::default())?;
        let config = transport::endpoint_config(identity, addr);
        let server = factory.for_endpoint();
        Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
    };
    let mut endpoints = Vec::new();
    for addr in addrs {
        let named = |source| BuildError::Bind { addr: *addr, source };
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
