//! A node: the library's front door.
//!
//! A node owns its endpoints, a task per listening address, a keeper per peer that it dials, and
//! the sessions with their drivers. [`Node::shutdown`] ends them in this order: no new flows, the
//! live ones until the deadline, sessions closed with a word to the peer, endpoints last.

mod addresses;
mod builder;
pub(crate) mod config;
mod drain;
mod incoming;
mod router;
mod status;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use quinn::Endpoint;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

pub use self::builder::{BuildError, NodeBuilder};
pub use self::config::{Limits, PeerConfig};
pub use self::incoming::{AcceptError, IncomingFlow, Listener, ServeError};
use self::router::Router;
use crate::engine::context::NodeContext;
use crate::engine::drains::{Drain, UnknownUplink};
use crate::engine::quic::close::CLOSE_FLUSH;
use crate::engine::session::SessionHandle;
use crate::engine::session::waiters::wait;
use crate::engine::sessions::Sessions;
use crate::events::Events;
use crate::events::Subject;
use crate::status::NodeStatus;
use crate::stream::FlowStream;
use throughline_proto::session::{FlowError, OpenError};
use throughline_proto::types::{Mode, OpenFailure, PeerId, PeerName, Target};
use throughline_proto::wire::fact::Open;

/// How long [`Node::connect`] waits for a session with a peer that has none.
const SESSION_WITHIN: Duration = Duration::from_secs(10);

/// How long it waits where the peer is known to be down: every dial has failed for longer than
/// this already. Whoever has another peer to try should not wait for this one.
const SESSION_WITHIN_IF_DOWN: Duration = Duration::from_secs(2);

/// How long it waits for the answer to an open: the far side gives its own dial 10 s, and an
/// outage in between is survived.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How often whoever waits looks whether that has come about which nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running node. Clones are handles to the same node; it ends with [`Node::shutdown`].
#[derive(Clone)]
pub struct Node {
    sessions: Arc<Sessions>,
    router: Router,
    endpoints: Arc<Vec<Endpoint>>,
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
    NoLocator(PeerName),
    /// The peer could not be reached in time.
    #[error("peer {peer} cannot be reached: {reason}")]
    Unreachable {
        /// The peer's name.
        peer: PeerName,
        /// Why, and what the last dial met.
        reason: String,
    },
    /// The open was sent, but no answer came: the far side may have dialed the destination.
    #[error("no answer from peer {peer}: {reason}")]
    Unanswered {
        /// The peer's name.
        peer: PeerName,
        /// Why.
        reason: String,
    },
    /// The peer answered, and refused the flow.
    #[error(transparent)]
    Refused(#[from] OpenFailure),
    /// The target cannot be put on the wire: its name is empty or too long.
    #[error("target `{target}` cannot be sent: {source}")]
    InvalidTarget {
        /// The target.
        target: Target,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Too many flows.
    #[error("the session has {0} flows, its limit; close some")]
    TooManyFlows(usize),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl Node {
    /// Begins a new node.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    fn new(sessions: Arc<Sessions>, router: Router, endpoints: Vec<Endpoint>) -> Self {
        Self { sessions, router, endpoints: Arc::new(endpoints) }
    }

    fn context(&self) -> &NodeContext {
        &self.sessions.context
    }

    /// Our public key.
    pub fn id(&self) -> PeerId {
        self.context().identity.peer_id()
    }

    /// Opens a flow to `target` behind `peer` in mode `auto`; waits for the far side's outcome.
    ///
    /// # Errors
    /// See [`ConnectError`]; [`ConnectError::Refused`] carries the far side's reason.
    pub async fn connect(&self, peer: PeerId, target: Target) -> Result<FlowStream, ConnectError> {
        self.connect_with(peer, target, Mode::Auto).await
    }

    /// Opens a flow in a chosen mode.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        &self,
        peer: PeerId,
        target: Target,
        mode: Mode,
    ) -> Result<FlowStream, ConnectError> {
        let session = self.session(peer).await?;
        let opened =
            session.with(|core, now| core.session.open(now, Open { target: target.clone(), mode }));
        let id = opened.map_err(|error| match error {
            OpenError::TooMany(most) => ConnectError::TooManyFlows(most as usize),
            OpenError::Closed(reason) => {
                ConnectError::Unreachable { peer: session.name().clone(), reason }
            }
            OpenError::Target(source) => {
                ConnectError::InvalidTarget { target, source: source.into() }
            }
        })?;
        // From here on dropping the stream, or this future, resets the flow.
        let stream = FlowStream::new(session.clone(), id);
        let answer = poll_fn(|cx| {
            session.with(|core, _| match core.session.outcome(id) {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    wait(&mut core.waiters(id).answer, cx);
                    Poll::Pending
                }
            })
        });
        let unanswered = |reason| ConnectError::Unanswered { peer: session.name().clone(), reason };
        match timeout_at(Instant::now() + ANSWER_WITHIN, answer).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(FlowError::Failed(failure))) => Err(failure.into()),
            Ok(Err(error)) => Err(unanswered(error.to_string())),
            Err(_) => Err(unanswered(format!("none within {ANSWER_WITHIN:?}"))),
        }
    }

    /// Waits for a session in which flows can be opened.
    async fn session(&self, peer: PeerId) -> Result<SessionHandle, ConnectError> {
        let config = self.context().peers.config(peer).ok_or(ConnectError::UnknownPeer(peer))?;
        let down = self
            .context()
            .peers
            .failing(peer)
            .is_some_and(|failing| failing.since.elapsed() > SESSION_WITHIN_IF_DOWN);
        let deadline = Instant::now() + if down { SESSION_WITHIN_IF_DOWN } else { SESSION_WITHIN };
        let _demand = self.context().peers.demand(peer);
        let mut changes = self.sessions.changes();
        loop {
            changes.borrow_and_update();
            if self.sessions.is_shutting_down() {
                return Err(ConnectError::ShuttingDown);
            }
            if let Some(session) = self.sessions.usable(peer) {
                return Ok(session);
            }
            if config.locators.is_empty() {
                return Err(ConnectError::NoLocator(self.context().peers.name(peer)));
            }
            self.sessions.initiate(peer);
            for session in self.sessions.with_peer(peer) {
                session.wake_driver();
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(self.unreachable(peer, "no lane could be set up"));
            }
        }
    }

    /// Returns whether a lane to the peer answers now, or does so before none has for `patience`.
    /// Waits no longer than that, and not at all for a peer that has been down for so long already.
    pub async fn wait_until_reachable(&self, peer: PeerId, patience: Duration) -> bool {
        let _demand = self.context().peers.demand(peer);
        let mut changes = self.sessions.changes();
        let deadline = Instant::now() + patience;
        loop {
            changes.borrow_and_update();
            match self.sessions.down_for(peer) {
                None => return true,
                Some(down) if down >= patience || self.sessions.is_shutting_down() => return false,
                Some(_) if Instant::now() >= deadline => return false,
                Some(_) => {}
            }
            self.sessions.initiate(peer);
            for session in self.sessions.with_peer(peer) {
                session.wake_driver();
            }
            // A lane that answers again is no change among sessions, so look now and then.
            let _ =
                timeout_at((Instant::now() + LOOK_EVERY).min(deadline), changes.changed()).await;
        }
    }

    /// What the configuration calls a peer; the beginning of its key where we do not know it.
    pub fn peer_name(&self, peer: PeerId) -> PeerName {
        self.context().peers.name(peer)
    }

    fn unreachable(&self, peer: PeerId, what: &str) -> ConnectError {
        let reason = match self.context().peers.failing(peer) {
            Some(failing) => format!("{what}; last dial: {}", failing.error),
            None => what.to_owned(),
        };
        ConnectError::Unreachable { peer: self.context().peers.name(peer), reason }
    }

    /// Serves the service `name`: the listener yields the flows that peers open to it, until it is
    /// dropped.
    ///
    /// # Errors
    /// [`ServeError::Taken`] while another listener for the name is there.
    pub fn serve(&self, name: impl Into<String>) -> Result<Listener, ServeError> {
        let name = name.into();
        if self.sessions.is_shutting_down() {
            return Err(ServeError::ShuttingDown);
        }
        match self.router.serve(&name) {
            Some(flows) => Ok(Listener::new(flows)),
            None => Err(ServeError::Taken { served: format!("service `{name}`") }),
        }
    }

    /// Serves TCP targets, as an egress: the listener yields the flows that peers open to any of
    /// them, until it is dropped. Whoever accepts one is to dial its target.
    ///
    /// # Errors
    /// [`ServeError::Taken`] while another listener for TCP targets is there.
    pub fn serve_tcp(&self) -> Result<Listener, ServeError> {
        if self.sessions.is_shutting_down() {
            return Err(ServeError::ShuttingDown);
        }
        match self.router.serve_tcp() {
            Some(flows) => Ok(Listener::new(flows)),
            None => Err(ServeError::Taken { served: "TCP targets".to_owned() }),
        }
    }

    /// The UDP addresses we accept lanes on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.endpoints.iter().filter_map(|e| e.local_addr().ok()).collect()
    }

    /// How many flows there are with all the peers.
    pub fn live_flows(&self) -> usize {
        self.sessions
            .all()
            .map(|session| session.with(|core, _| core.session.flows().count()))
            .sum()
    }

    /// A snapshot of the node.
    pub fn status(&self) -> NodeStatus {
        status::of(&self.sessions, self.local_addrs())
    }

    /// What happened of late, and what happens from now on.
    pub fn events(&self) -> Events {
        self.context().events.follow()
    }

    /// Emits the event `flow-refused` for a flow that this host's own ingress refused to open, which
    /// only the ingress knows of. Throttled like those that a peer caused.
    pub fn report_refused_flow(&self, target: &Target, reason: &str) {
        self.context().events.emit_flow_refused(Subject::default(), &target.to_string(), reason);
    }

    /// Drains the uplink `name`: flows leave its lanes at once where there is another way, and
    /// nothing new goes over it until [`resume_uplink`](Self::resume_uplink) or the end of the node.
    ///
    /// # Errors
    /// There is no such uplink; [`UnknownUplink`] names those there are.
    pub fn drain_uplink(&self, name: &str) -> Result<Drain, UnknownUplink> {
        self.sessions.set_drained(name, true)
    }

    /// Uses the uplink `name` again.
    ///
    /// # Errors
    /// There is no such uplink; [`UnknownUplink`] names those there are.
    pub fn resume_uplink(&self, name: &str) -> Result<Drain, UnknownUplink> {
        self.sessions.set_drained(name, false)
    }

    /// Ends the node: no new flows; live ones have until `deadline` to end, then are reset.
    pub async fn shutdown(&self, deadline: Duration) {
        self.sessions.shut_down();
        self.router.close();
        let until = Instant::now() + deadline;
        while self.live_flows() > 0 && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let ending: Vec<_> = self.sessions.all().collect();
        for session in &ending {
            session.with(|core, _| core.session.close(0, "shutting down"));
        }
        // Each lane ends when the peer has the last word, or after `CLOSE_FLUSH` by itself.
        let last = Instant::now() + 2 * CLOSE_FLUSH;
        let speaking = || ending.iter().any(|s| s.with(|core, _| !core.lanes.is_empty()));
        while speaking() && Instant::now() < last {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        for endpoint in self.endpoints.iter() {
            endpoint.close(0u8.into(), b"shutting down");
        }
        let idle = async {
            for endpoint in self.endpoints.iter() {
                endpoint.wait_idle().await;
            }
        };
        // The peer's word that it has our close; it may be gone.
        let _ = tokio::time::timeout(CLOSE_FLUSH, idle).await;
        // Last, since the goodbyes need them: the routes that we installed.
        self.context().uplinks.end().await;
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Node").field(&self.id()).finish()
    }
}

#[cfg(test)]
mod tests;
