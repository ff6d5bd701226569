//! Builds and starts a node.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use super::error::BuildError;
use super::handle::Node;
use super::listeners::Listeners;
use super::prepared::PreparedNode;
use super::router::Router;
use crate::config::{Limits, PeerConfig};
use crate::engine::allowances::Allowance;
use crate::engine::context::NodeContext;
use crate::engine::peers::Peers;
use crate::engine::quic::transport;
use crate::engine::sessions::Sessions;
use crate::identity::Identity;
use throughline_uplinks::{UplinkConfig, Uplinks};

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
#[derive(Clone, Debug, Default)]
#[must_use = "a builder starts nothing until `build`"]
pub struct NodeBuilder {
    pub(super) identity: Option<Identity>,
    pub(super) bind: Vec<SocketAddr>,
    pub(super) advertised: Vec<SocketAddr>,
    pub(super) uplinks: Vec<UplinkConfig>,
    pub(super) manage_routes: bool,
    pub(super) peers: Vec<PeerConfig>,
    pub(super) limits: Limits,
    pub(super) lane_file: Option<PathBuf>,
    /// How much of uplinks may be used, by their names.
    pub(super) allowances: Vec<(String, Allowance)>,
    counts_bytes: bool,
    /// The sockets of the process from which the node takes over, if it does from any.
    inherited: Option<Arc<Vec<(SocketAddr, UdpSocket)>>>,
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

    /// Keeps in the file `path` where the lanes of peers come from. After a crash the next node with this file
    /// tells their other ends at once, so that flows that are idle end then; without it they end when an idle
    /// lane next asks, within 15 s. The file's directory must exist.
    pub fn lane_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.lane_file = Some(path.into());
        self
    }

    /// Sets how much of the uplink `name` may be used before anything goes over it; as
    /// [`Node::allow_uplink`] does of one that is there. At a
    /// [change of the configuration](Node::prepare) the other uplinks keep what they were allowed.
    pub fn allow_uplink(mut self, name: impl Into<String>, allowance: Allowance) -> Self {
        self.allowances.push((name.into(), allowance));
        self
    }

    /// Counts what goes over the uplinks from the first datagram, and not only from the first call of
    /// [`Node::take_uplink_bytes`].
    pub fn count_uplink_bytes(mut self) -> Self {
        self.counts_bytes = true;
        self
    }

    /// Starts the node within the current tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`] says what to change. Nothing is left running after an error.
    pub async fn build(self) -> Result<Node, BuildError> {
        Ok(self.prepare().await?.start().0)
    }

    /// Prepares for taking over from another process: uses the sockets that it has bound to these addresses, where
    /// they are listened on, and leaves the routes to it until it has ended.
    #[doc(hidden)]
    pub fn take_over(mut self, sockets: Vec<(SocketAddr, UdpSocket)>) -> Self {
        self.inherited = Some(Arc::new(sockets));
        self
    }

    /// Does all of [`build`](Self::build) that may fail: what is left is to [start](PreparedNode::start).
    ///
    /// # Errors
    /// As [`build`](Self::build).
    #[doc(hidden)]
    pub async fn prepare(self) -> Result<PreparedNode, BuildError> {
        let identity = self.identity.clone().unwrap_or_else(Identity::generate);
        self.check_keys(&identity)?;
        let uplinks = match self.inherited {
            Some(_) => Uplinks::start_after_former(self.uplinks, self.manage_routes).await?,
            None => Uplinks::start(self.uplinks, self.manage_routes).await?,
        };
        let context = NodeContext::new(
            identity,
            uplinks,
            Peers::new(self.peers),
            transport::LaneTransport::of_memory(self.limits.memory),
        );
        for (uplink, allowance) in &self.allowances {
            context.allowances.set(uplink, *allowance);
        }
        if self.counts_bytes {
            context.meter.begin();
        }
        let router = Router::new(self.limits.flows_per_session);
        let sessions = Sessions::new(context.clone(), Arc::new(router.clone()), self.limits);
        let inherited = self.inherited.iter().flat_map(|sockets| sockets.iter());
        // One for which no descriptor is left is bound anew, which says so.
        let inherited =
            inherited.filter_map(|(addr, socket)| Some((*addr, socket.try_clone().ok()?)));
        let listeners = Listeners::default();
        let wanted = listeners.prepare(&context, &self.bind, inherited.collect())?;
        context.set_endpoints(wanted.addrs(), self.advertised);
        Ok(PreparedNode {
            sessions,
            router,
            listeners,
            wanted,
            lane_file: self.lane_file,
            takes_over: self.inherited.is_some(),
            handed_over: None,
        })
    }

    /// Checks that no two peers have one key, and none has ours.
    pub(super) fn check_keys(&self, identity: &Identity) -> Result<(), BuildError> {
        for (index, peer) in self.peers.iter().enumerate() {
            if peer.keys().any(|key| key == identity.peer_id()) {
                return Err(BuildError::OwnKey(peer.name.clone()));
            }
            let shares =
                |other: &&PeerConfig| other.keys().any(|key| peer.keys().any(|k| k == key));
            if let Some(other) = self.peers[..index].iter().find(shares) {
                return Err(BuildError::DuplicatePeer(other.name.clone(), peer.name.clone()));
            }
        }
        Ok(())
    }
}
