//! The way out for what came in at an ingress: through a peer, directly, or not at all.

use std::future::Future;

use thiserror::Error;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tracing::{debug, info};

use crate::edge::dial::dial;
use crate::edge::relay::{close_with_reset, relay};
use crate::net::node::{ConnectError, Node};
use crate::net::stream::FlowStream;
use crate::state::policy::{Decision, Policy};
use crate::vocab::ids::PeerId;
use crate::vocab::outcome::{FailureCode, OpenFailure};
use crate::vocab::target::Target;

/// The buffer per direction of a direct connection.
const DIRECT_BUFFER: usize = 64 * 1024;

/// Decides and opens the way out.
pub struct Router {
    node: Node,
    policy: Policy,
}

/// An open way out.
pub enum Outbound {
    /// A flow through a peer.
    Flow(FlowStream),
    /// A connection of this host's own.
    Direct(TcpStream),
}

/// Why there is no way out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RouteError {
    /// A rule, or the default, rejects it.
    #[error("{0} is rejected by this host's rules")]
    Rejected(Target),
    /// No peer opened it.
    #[error(transparent)]
    Peer(#[from] ConnectError),
    /// The direct connection failed.
    #[error(transparent)]
    Direct(OpenFailure),
}

impl RouteError {
    /// Why, in the terms of an [`OpenFailure`].
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Rejected(_) => FailureCode::NotAllowed,
            Self::Peer(ConnectError::Refused(failure)) | Self::Direct(failure) => failure.code,
            Self::Peer(ConnectError::Unreachable(..) | ConnectError::NoLocator(_)) => {
                FailureCode::HostUnreachable
            }
            Self::Peer(ConnectError::Unanswered(..)) => FailureCode::TimedOut,
            Self::Peer(ConnectError::TooManyFlows(_)) => FailureCode::LimitReached,
            Self::Peer(_) => FailureCode::Other,
        }
    }
}

impl Router {
    /// A router that follows `policy` and opens flows through `node`.
    pub fn new(node: Node, policy: Policy) -> Self {
        Self { node, policy }
    }

    /// Opens the way that the policy decides for `target`; waits for the far side's outcome.
    pub async fn open(&self, ingress: &str, target: Target) -> Result<Outbound, RouteError> {
        let opened = self.decide(ingress, target.clone()).await;
        if let Err(error) = &opened {
            self.node.tell_refused(&target, &error.to_string());
        }
        opened
    }

    async fn decide(&self, ingress: &str, target: Target) -> Result<Outbound, RouteError> {
        match self.policy.decide(ingress, &target) {
            Decision::Peers { via, mode } => {
                let connect = |peer| self.node.connect_with(peer, target.clone(), mode);
                Ok(Outbound::Flow(first_reachable(&via, connect).await?))
            }
            Decision::Direct => match &target {
                Target::Tcp { host, port } => dial(host, *port, |_| true)
                    .await
                    .map(Outbound::Direct)
                    .map_err(RouteError::Direct),
                Target::Service(_) => Err(RouteError::Rejected(target)),
            },
            Decision::Reject => Err(RouteError::Rejected(target)),
        }
    }
}

/// Tries the peers in order: the next one when one cannot be reached, not when it said no.
async fn first_reachable<T, F, Fut>(via: &[PeerId], connect: F) -> Result<T, ConnectError>
where
    F: Fn(PeerId) -> Fut,
    Fut: Future<Output = Result<T, ConnectError>>,
{
    let mut last = None;
    for &peer in via {
        match connect(peer).await {
            Ok(opened) => return Ok(opened),
            Err(
                error @ (ConnectError::UnknownPeer(_)
                | ConnectError::NoLocator(_)
                | ConnectError::Unreachable(..)),
            ) => {
                if via.last() != Some(&peer) {
                    info!(%error, "trying the next peer");
                }
                last = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    // A decision for peers names at least one.
    Err(last.unwrap_or(ConnectError::ShuttingDown))
}

/// Joins an application's connection with the way out, until both directions have ended.
pub async fn join(mut tcp: TcpStream, outbound: Outbound, ingress: &str, target: &Target) {
    match outbound {
        Outbound::Flow(flow) => {
            let relayed = relay(tcp, flow).await;
            debug!(ingress, %target, ?relayed, "flow ended");
        }
        Outbound::Direct(mut other) => {
            // Fails only on a connection that is dead already, which the copy will tell.
            let _ = tcp.set_nodelay(true);
            let copied =
                copy_bidirectional_with_sizes(&mut tcp, &mut other, DIRECT_BUFFER, DIRECT_BUFFER);
            let result = copied.await;
            if result.is_err() {
                close_with_reset(tcp);
                close_with_reset(other);
            }
            debug!(ingress, %target, ?result, "direct connection ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const PEERS: [PeerId; 3] =
        [PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]), PeerId::from_bytes([3; 32])];

    /// Tries [`PEERS`], of which the first `down` are unreachable and the next one answers `then`.
    async fn attempt(
        down: usize,
        then: Result<(), FailureCode>,
    ) -> (Vec<PeerId>, Result<PeerId, ConnectError>) {
        let tried = RefCell::new(Vec::new());
        let result = first_reachable(&PEERS, |peer| {
            tried.borrow_mut().push(peer);
            let unreachable = tried.borrow().len() <= down;
            async move {
                match then {
                    _ if unreachable => Err(ConnectError::Unreachable(peer, "silent".to_owned())),
                    Ok(()) => Ok(peer),
                    Err(code) => Err(OpenFailure::new(code, "no").into()),
                }
            }
        })
        .await;
        (tried.into_inner(), result)
    }

    #[tokio::test]
    async fn the_next_peer_is_tried_when_one_cannot_be_reached() {
        let (tried, result) = attempt(2, Ok(())).await;
        assert_eq!(tried, PEERS);
        assert_eq!(result.unwrap(), PEERS[2]);
    }

    #[tokio::test]
    async fn the_next_peer_is_not_tried_when_the_destination_refused() {
        let (tried, result) = attempt(1, Err(FailureCode::Refused)).await;
        assert_eq!(tried, PEERS[..2]);
        assert_eq!(RouteError::from(result.unwrap_err()).code(), FailureCode::Refused);
    }

    #[tokio::test]
    async fn where_no_peer_can_be_reached_the_last_failure_is_told() {
        let (tried, result) = attempt(3, Ok(())).await;
        assert_eq!(tried, PEERS);
        assert_eq!(RouteError::from(result.unwrap_err()).code(), FailureCode::HostUnreachable);
    }
}
