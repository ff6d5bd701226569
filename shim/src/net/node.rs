//! A node: the library's front door.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use crate::net::identity::Identity;
use crate::net::status::NodeStatus;
use crate::net::stream::FlowStream;
use crate::vocab::ids::PeerId;
use crate::vocab::locator::Locator;
use crate::vocab::mode::Mode;
use crate::vocab::outcome::OpenFailure;
use crate::vocab::target::Target;

/// A peer as given to [`NodeBuilder::peer`].
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Its public key.
    pub id: PeerId,
    /// A name for logs and status.
    pub name: String,
    /// Where it can be reached; empty where only the peer dials.
    pub locators: Vec<Locator>,
}

/// An uplink as given to [`NodeBuilder::uplink`].
#[derive(Clone, Debug)]
pub struct UplinkConfig {
    /// Its name.
    pub name: String,
    /// Local addresses with one of these prefixes belong to it. On loopback, where one prefix
    /// holds every address, a host prefix (`127.0.1.1/32`) stands for that address itself.
    pub prefixes: Vec<ipnet::IpNet>,
    /// Or: the addresses of this interface.
    pub interface: Option<String>,
    /// Cold: no lane over it until another one is lost.
    pub metered: bool,
}

/// Bounds. Each is enforced where it is named; what happens at it is said there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes held for flows in all (send buffers and assemblers). At it windows stop growing.
    pub memory: u64,
    /// Flows a peer may have open in a session. The next open is refused.
    pub flows_per_session: usize,
    /// Sessions a peer may have. The longest detached goes first.
    pub sessions_per_peer: usize,
    /// How long a session without any lane is kept.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            flows_per_session: 1024,
            sessions_per_peer: 4,
            linger: Duration::from_secs(12 * 3600),
        }
    }
}

/// A running node. Clones are handles to the same node; it ends with [`Node::shutdown`].
#[derive(Clone)]
pub struct Node {
    _p: (),
}

/// Collects what a [`Node`] needs.
pub struct NodeBuilder {
    _p: (),
}

/// Why a node could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A UDP address to listen on is taken or not ours.
    #[error("cannot listen on udp {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a flow could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// We do not know this peer.
    #[error("peer {0} is not known to this node; add it with its key")]
    UnknownPeer(PeerId),
    /// We have no locator of the peer and it has no session with us.
    #[error("peer {0} has no locator and has not dialled us")]
    NoLocator(PeerId),
    /// The peer could not be reached in time.
    #[error("peer {0} cannot be reached: {1}")]
    Unreachable(PeerId, String),
    /// The peer answered, and said no.
    #[error("{0}")]
    Refused(#[from] OpenFailure),
    /// Too many flows.
    #[error("the session has {0} flows, its limit; close some")]
    TooManyFlows(usize),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// Why no further flow can be accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The node has been shut down.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// Somebody listens for this service already.
    #[error("service `{0}` has a listener already")]
    Taken(String),
}

/// A flow that a peer asks to open. Dropping it refuses the flow.
pub struct IncomingFlow {
    _p: (),
}

/// Yields the flows opened to one service, or (from [`Node::egress`]) to TCP targets.
pub struct Listener {
    _p: (),
}

impl IncomingFlow {
    /// Who asks.
    pub fn peer(&self) -> PeerId {
        todo!()
    }
    /// Where the flow is to lead.
    pub fn target(&self) -> &Target {
        todo!()
    }
    /// Opens the flow; the peer is told at once.
    pub fn accept(self) -> FlowStream {
        todo!()
    }
    /// Refuses it; the peer's `connect` fails with this.
    pub fn refuse(self, failure: OpenFailure) {
        let _ = failure;
        todo!()
    }
}

impl Listener {
    /// The next flow. Cancel-safe.
    pub async fn accept(&mut self) -> Result<IncomingFlow, AcceptError> {
        todo!()
    }
}

impl NodeBuilder {
    /// Our key.
    pub fn identity(self, identity: Identity) -> Self {
        let _ = identity;
        todo!()
    }
    /// Accepts lanes on this UDP address; call it again for more. Port 0 picks a free one.
    pub fn listen(self, addr: SocketAddr) -> Self {
        let _ = addr;
        todo!()
    }
    /// An uplink; where none is given they are discovered.
    pub fn uplink(self, uplink: UplinkConfig) -> Self {
        let _ = uplink;
        todo!()
    }
    /// A peer we trust, by its key.
    pub fn peer(self, peer: PeerConfig) -> Self {
        let _ = peer;
        todo!()
    }
    /// Other bounds than the default ones.
    pub fn limits(self, limits: Limits) -> Self {
        let _ = limits;
        todo!()
    }
    /// Starts the node within the current tokio runtime.
    pub async fn build(self) -> Result<Node, BuildError> {
        todo!()
    }
}

impl Node {
    /// Begins a new node.
    pub fn builder() -> NodeBuilder {
        todo!()
    }
    /// Our public key.
    pub fn id(&self) -> PeerId {
        todo!()
    }
    /// Opens a flow to `target` behind `peer` in mode `auto`; waits for the far side's outcome.
    pub async fn connect(&self, peer: PeerId, target: Target) -> Result<FlowStream, ConnectError> {
        self.connect_with(peer, target, Mode::Auto).await
    }
    /// Opens a flow in a chosen mode.
    pub async fn connect_with(
        &self,
        peer: PeerId,
        target: Target,
        mode: Mode,
    ) -> Result<FlowStream, ConnectError> {
        let _ = (peer, target, mode);
        todo!()
    }
    /// Accepts the flows that peers open to the service `name`.
    pub fn listen(&self, name: impl Into<String>) -> Result<Listener, AcceptError> {
        let _ = name.into();
        todo!()
    }
    /// Accepts the flows that peers open to TCP targets; one egress per node.
    pub fn egress(&self) -> Result<Listener, AcceptError> {
        todo!()
    }
    /// The UDP addresses we accept lanes on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        todo!()
    }
    /// A snapshot of the node.
    pub fn status(&self) -> NodeStatus {
        todo!()
    }
    /// Ends the node: no new flows; live ones have until `deadline` to end, then are reset.
    pub async fn shutdown(&self, deadline: Duration) {
        let _ = deadline;
        todo!()
    }
}
