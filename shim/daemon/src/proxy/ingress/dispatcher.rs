//! Gives a new connection its way out: through a peer, directly, or not at all.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, info};

use super::datagrams::DatagramOutbound;
use super::failover::Peers;
use super::outbound::Outbound;
use crate::proxy::connections::{Connections, Lookups};
use crate::proxy::egress::dial::{connect_udp, dial};
use crate::proxy::names::Names;
use crate::proxy::parked::Idle;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::rules::{Decision, PeerDown, Policy};
use crate::proxy::stream::ClientAddr;
use crate::proxy::udp::socket_limits;
use throughline::{ConnectError, FailureCode, Mode, Node, OpenFailure, PeerId, PeerName, Target};
use throughline_proto::datagram::idle_timeout;

/// A peer counts as down for new flows once no lane has answered for this long.
///
/// A failure that hedging and migration repair is repaired by then, and nobody notices the wait.
const PEER_DOWN_AFTER: Duration = Duration::from_secs(1);

/// Decides where new connections go, by the rules, and opens their way out.
pub struct Dispatcher {
    node: Node,
    /// The rules for the next connection. The lock is a leaf.
    policy: RwLock<Arc<Policy>>,
    connections: Connections,
    /// What intercepted programs' destinations are called.
    names: Names,
    /// Names of this host's own connections.
    lookups: Lookups,
    /// Lines about connections that go directly, as no peer is reachable.
    direct_instead: RefusalLog,
}

/// A connection gets no way out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// A rule, or the default, rejects it.
    #[error("{0} is rejected by this host's rules")]
    Rejected(Target),
    /// No peer opened it.
    #[error(transparent)]
    Peer(#[from] ConnectError),
    /// None of the peers is reachable, and the configuration says not to wait for them.
    #[error("none of its peers is reachable: {}", names(.0))]
    PeersDown(Vec<PeerName>),
    /// The direct connection failed.
    #[error(transparent)]
    Direct(OpenFailure),
}

fn names(peers: &[PeerName]) -> String {
    let names: Vec<&str> = peers.iter().map(PeerName::as_str).collect();
    names.join(", ")
}

impl DispatchError {
    /// Returns the code that tells an application why.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Rejected(_) => FailureCode::NotAllowed,
            Self::Peer(ConnectError::Refused(failure)) | Self::Direct(failure) => failure.code,
            Self::PeersDown(_)
            | Self::Peer(ConnectError::Unreachable { .. } | ConnectError::NoLocator(_)) => {
                FailureCode::HostUnreachable
            }
            Self::Peer(ConnectError::Unanswered { .. }) => FailureCode::TimedOut,
            Self::Peer(ConnectError::TooManyFlows(_)) => FailureCode::LimitReached,
            Self::Peer(_) => FailureCode::Other,
        }
    }
}

impl Dispatcher {
    /// Creates a dispatcher that follows `policy` and opens flows through `node`.
    pub fn new(node: Node, policy: Policy, connections: Connections) -> Self {
        let policy = RwLock::new(Arc::new(policy));
        let (lookups, direct_instead) = (Lookups::default(), RefusalLog::default());
        Self { node, policy, connections, names: Names::default(), lookups, direct_instead }
    }

    /// Follows other rules from the next connection on.
    pub fn set_policy(&self, policy: Policy) {
        *self.policy.write() = Arc::new(policy);
    }

    /// Returns the rules.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.read().clone()
    }

    /// Returns what intercepted programs' destinations are called.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Returns what all connections share.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Opens the way out that the policy decides for `target`; waits for the far end's outcome.
    ///
    /// # Errors
    /// The policy rejects it, or the way out cannot be opened; the node emits an event.
    pub async fn open(&self, ingress: &str, target: Target) -> Result<Outbound, DispatchError> {
        self.open_named(ingress, target, None).await
    }

    /// Opens a way out as [`open`](Self::open) does for a `target` that is said to have a name as well: rules by
    /// name follow it. It leads to the target all the same.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_named(
        &self,
        ingress: &str,
        target: Target,
        name: Option<&str>,
    ) -> Result<Outbound, DispatchError> {
        let opened = self.open_decided(ingress, target.clone(), name).await;
        if let Err(error) = &opened {
            self.node.report_refused_flow(&target, &error.to_string());
        }
        opened
    }

    /// Opens a way out as [`open`](Self::open) does for the client at `from`; returns what it is to as well.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_requested(
        &self,
        ingress: &str,
        from: ClientAddr,
        target: Target,
    ) -> Result<(Outbound, Target), DispatchError> {
        debug!(%ingress, %from, %target, "connection requested");
        Ok((self.open(ingress, target.clone()).await?, target))
    }

    async fn open_decided(
        &self,
        ingress: &str,
        target: Target,
        name: Option<&str>,
    ) -> Result<Outbound, DispatchError> {
        let connect = |peer, mode| self.node.connect_with(peer, target.clone(), mode);
        let decision = self.policy().decide_named(ingress, &target, name);
        match self.by_policy(ingress, &target, decision, connect).await? {
            Some(flow) => Ok(Outbound::Flow(flow)),
            None => self.open_direct(target).await,
        }
    }

    /// Opens the way out that the policy decides for datagrams to `target`. It does not wait for the far end's answer.
    ///
    /// # Errors
    /// The policy rejects it, or the way out cannot be opened; the node emits an event.
    pub async fn open_datagrams(
        &self,
        ingress: &str,
        target: Target,
    ) -> Result<DatagramOutbound, DispatchError> {
        let opened = self.open_datagrams_decided(ingress, target.clone()).await;
        if let Err(error) = &opened {
            self.report_refused(&target, &error.to_string());
        }
        opened
    }

    /// Has the node emit an event: a flow to `target` was refused.
    pub fn report_refused(&self, target: &Target, reason: &str) {
        self.node.report_refused_flow(target, reason);
    }

    async fn open_datagrams_decided(
        &self,
        ingress: &str,
        target: Target,
    ) -> Result<DatagramOutbound, DispatchError> {
        let connect = |peer, mode| self.node.datagrams_with(peer, target.clone(), mode);
        let decision = self.policy().decide(ingress, &target);
        match self.by_policy(ingress, &target, decision, connect).await? {
            Some(flow) => Ok(DatagramOutbound::Flow(flow)),
            None => self.open_datagrams_direct(target).await,
        }
    }

    /// Opens a flow where the policy sends it through a peer; returns `None` where this host is to connect itself.
    async fn by_policy<T, C, F>(
        &self,
        ingress: &str,
        target: &Target,
        decision: Decision,
        connect: C,
    ) -> Result<Option<T>, DispatchError>
    where
        C: Fn(PeerId, Mode) -> F,
        F: Future<Output = Result<T, ConnectError>>,
    {
        match decision {
            Decision::Peers { via, mode, peer_down } => {
                let opened =
                    self.through_peers(&via, peer_down, |peer| connect(peer, mode)).await?;
                // For each flow anew, and each may be one datagram.
                if opened.is_none()
                    && let Some(suppressed) = self.direct_instead.admit()
                {
                    info!(ingress, %target, suppressed, "no peer is reachable; connecting directly");
                }
                Ok(opened)
            }
            Decision::Direct => Ok(None),
            Decision::Reject => Err(DispatchError::Rejected(target.clone())),
        }
    }

    /// Opens a flow through one of the peers; returns `None` where none is reachable and this host is to
    /// connect itself.
    async fn through_peers<T, C, F>(
        &self,
        via: &[PeerId],
        peer_down: PeerDown,
        connect: C,
    ) -> Result<Option<T>, DispatchError>
    where
        C: Fn(PeerId) -> F,
        F: Future<Output = Result<T, ConnectError>>,
    {
        let reaches = |peer| self.node.wait_until_reachable(peer, PEER_DOWN_AFTER);
        let silent = |peer| self.node.wait_until_silent(peer, PEER_DOWN_AFTER);
        let peers = Peers { via, reaches, silent, connect };
        match (peers.open(peer_down).await?, peer_down) {
            (Some(flow), _) => Ok(Some(flow)),
            (None, PeerDown::Direct) => Ok(None),
            (None, PeerDown::Wait | PeerDown::Reject) => {
                let names = via.iter().map(|peer| self.node.peer_name(*peer));
                Err(DispatchError::PeersDown(names.collect()))
            }
        }
    }

    /// Sends to `target` from this host itself.
    async fn open_datagrams_direct(
        &self,
        target: Target,
    ) -> Result<DatagramOutbound, DispatchError> {
        let Some((host, port)) = target.host_and_port() else {
            return Err(DispatchError::Rejected(target));
        };
        let descriptor = self.descriptor()?;
        let place = self.connections.udp_sockets.try_enter(socket_limits().1).ok_or_else(|| {
            let detail = "no port is left for another UDP socket";
            DispatchError::Direct(OpenFailure::new(FailureCode::LimitReached, detail))
        })?;
        let socket = connect_udp(host, port, &self.lookups, |_| true).await;
        let socket = socket.map_err(DispatchError::Direct)?;
        let idle = Idle { timeout: idle_timeout(&target), since: Duration::ZERO };
        Ok(DatagramOutbound::direct(socket, idle, (Some(descriptor), Some(place))))
    }

    fn descriptor(&self) -> Result<OwnedSemaphorePermit, DispatchError> {
        self.connections.descriptors.try_acquire().ok_or_else(|| {
            let exhausted = self.connections.descriptors.exhausted();
            DispatchError::Direct(OpenFailure::new(FailureCode::LimitReached, exhausted))
        })
    }

    /// Dials `target` from this host itself.
    async fn open_direct(&self, target: Target) -> Result<Outbound, DispatchError> {
        let Target::Tcp { host, port } = &target else {
            return Err(DispatchError::Rejected(target));
        };
        let descriptor = self.descriptor()?;
        let dialed = dial(host, *port, &self.lookups, |_| true).await;
        let stream = dialed.map_err(DispatchError::Direct)?;
        self.connections.tcp().apply(&stream);
        Ok(Outbound::Direct(stream, descriptor))
    }
}
