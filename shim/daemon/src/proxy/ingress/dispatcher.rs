//! Gives a new connection its way out: through a peer, directly, or not at all.

use std::time::Duration;

use thiserror::Error;
use tracing::info;

use super::failover::open_through;
use super::outbound::Outbound;
use crate::proxy::egress::dial::dial;
use crate::proxy::rules::{Decision, PeerDown, Policy};
use throughline::{ConnectError, FailureCode, Node, OpenFailure, PeerName, Target};

/// A peer counts as down for new flows once no lane has answered for this long.
///
/// A failure that hedging and migration repair is repaired by then, and nobody notices the wait.
const PEER_DOWN_AFTER: Duration = Duration::from_secs(1);

/// Decides where new connections go, by the rules, and opens their way out.
pub struct Dispatcher {
    node: Node,
    policy: Policy,
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
    pub fn new(node: Node, policy: Policy) -> Self {
        Self { node, policy }
    }

    /// Opens the way out that the policy decides for `target`; waits for the far end's outcome.
    ///
    /// # Errors
    /// The policy rejects it, or the way out cannot be opened; the node emits an event.
    pub async fn open(&self, ingress: &str, target: Target) -> Result<Outbound, DispatchError> {
        let opened = self.open_decided(ingress, target.clone()).await;
        if let Err(error) = &opened {
            self.node.report_refused_flow(&target, &error.to_string());
        }
        opened
    }

    async fn open_decided(&self, ingress: &str, target: Target) -> Result<Outbound, DispatchError> {
        match self.policy.decide(ingress, &target) {
            Decision::Peers { via, mode, peer_down } => {
                let connect = |peer| self.node.connect_with(peer, target.clone(), mode);
                let reaches = |peer| self.node.wait_until_reachable(peer, PEER_DOWN_AFTER);
                let opened = open_through(&via, peer_down, reaches, connect).await?;
                match (opened, peer_down) {
                    (Some(flow), _) => Ok(Outbound::Flow(flow)),
                    (None, PeerDown::Direct) => {
                        info!(ingress, %target, "no peer is reachable; connecting directly");
                        open_direct(target).await
                    }
                    (None, PeerDown::Wait | PeerDown::Reject) => {
                        let names = via.iter().map(|peer| self.node.peer_name(*peer));
                        Err(DispatchError::PeersDown(names.collect()))
                    }
                }
            }
            Decision::Direct => open_direct(target).await,
            Decision::Reject => Err(DispatchError::Rejected(target)),
        }
    }
}

/// Dials `target` from this host itself.
async fn open_direct(target: Target) -> Result<Outbound, DispatchError> {
    match &target {
        Target::Tcp { host, port } => {
            dial(host, *port, |_| true).await.map(Outbound::Direct).map_err(DispatchError::Direct)
        }
        Target::Service(_) => Err(DispatchError::Rejected(target)),
    }
}
