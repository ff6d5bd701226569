//! The way out for what came in at an ingress: through a peer, directly, or not at all.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tracing::{debug, info};

use crate::proxy::dial::dial;
use crate::proxy::policy::{Decision, PeerDown, Policy};
use crate::proxy::relay::{close_with_reset, relay};
use throughline::node::{ConnectError, Node};
use throughline::stream::FlowStream;
use throughline_proto::types::{FailureCode, OpenFailure, PeerId, PeerName, Target};

/// The buffer per direction of a direct connection.
const DIRECT_BUFFER: usize = 64 * 1024;

/// A peer of which no lane has answered for so long is down as far as new flows are concerned: what
/// the survival ladder mends by hedging and moving is mended by then, and nobody minds the wait.
const DOWN_AFTER: Duration = Duration::from_secs(1);

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
    /// None of the peers can be reached, and new flows are not to wait for them.
    #[error("none of the peers can be reached: {}", names(.0))]
    PeersDown(Vec<PeerName>),
    /// The direct connection failed.
    #[error(transparent)]
    Direct(OpenFailure),
}

fn names(peers: &[PeerName]) -> String {
    let names: Vec<&str> = peers.iter().map(PeerName::as_str).collect();
    names.join(", ")
}

impl RouteError {
    /// Why, in the terms of an [`OpenFailure`].
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Rejected(_) => FailureCode::NotAllowed,
            Self::Peer(ConnectError::Refused(failure)) | Self::Direct(failure) => failure.code,
            Self::PeersDown(_)
            | Self::Peer(ConnectError::Unreachable(..) | ConnectError::NoLocator(_)) => {
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
            self.node.report_refused_flow(&target, &error.to_string());
        }
        opened
    }

    async fn decide(&self, ingress: &str, target: Target) -> Result<Outbound, RouteError> {
        match self.policy.decide(ingress, &target) {
            Decision::Peers { via, mode, down } => {
                let connect = |peer| self.node.connect_with(peer, target.clone(), mode);
                let reaches = |peer| self.node.reaches(peer, DOWN_AFTER);
                let opened = through(&via, down, reaches, connect).await?;
                match (opened, down) {
                    (Some(flow), _) => Ok(Outbound::Flow(flow)),
                    (None, PeerDown::Direct) => {
                        info!(ingress, %target, "no peer can be reached, connecting directly");
                        direct(target).await
                    }
                    (None, PeerDown::Wait | PeerDown::Reject) => {
                        let names = via.iter().map(|peer| self.node.peer_name(*peer));
                        Err(RouteError::PeersDown(names.collect()))
                    }
                }
            }
            Decision::Direct => direct(target).await,
            Decision::Reject => Err(RouteError::Rejected(target)),
        }
    }
}

async fn direct(target: Target) -> Result<Outbound, RouteError> {
    match &target {
        Target::Tcp { host, port } => {
            dial(host, *port, |_| true).await.map(Outbound::Direct).map_err(RouteError::Direct)
        }
        Target::Service(_) => Err(RouteError::Rejected(target)),
    }
}

/// Opens a flow through the first of the peers, in order, that can be reached; `None` where none
/// can and `down` does not say to wait for one.
async fn through<T, R, C>(
    via: &[PeerId],
    down: PeerDown,
    reaches: impl Fn(PeerId) -> R,
    connect: impl Fn(PeerId) -> C,
) -> Result<Option<T>, ConnectError>
where
    R: Future<Output = bool>,
    C: Future<Output = Result<T, ConnectError>>,
{
    // Nothing is to be asked where there is no other choice.
    if via.len() > 1 || down != PeerDown::Wait {
        for &peer in via {
            if !reaches(peer).await {
                continue;
            }
            match connect(peer).await {
                Err(error) if is_unreachable(&error) => info!(%error, "trying the next peer"),
                ended => return ended.map(Some),
            }
        }
    }
    match down {
        PeerDown::Wait => first_reachable(via, connect).await.map(Some),
        PeerDown::Direct | PeerDown::Reject => Ok(None),
    }
}

/// Waits for the peers in order: for the next one when one cannot be reached, not when it said no.
async fn first_reachable<T, F, Fut>(via: &[PeerId], connect: F) -> Result<T, ConnectError>
where
    F: Fn(PeerId) -> Fut,
    Fut: Future<Output = Result<T, ConnectError>>,
{
    let mut last = None;
    for &peer in via {
        match connect(peer).await {
            Ok(opened) => return Ok(opened),
            Err(error) if is_unreachable(&error) => {
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

/// Whether the peer was not reached at all, so that another may be asked: the destination cannot
/// have been dialled.
fn is_unreachable(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::UnknownPeer(_) | ConnectError::NoLocator(_) | ConnectError::Unreachable(..)
    )
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
                    _ if unreachable => {
                        Err(ConnectError::Unreachable("p".into(), "silent".to_owned()))
                    }
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

    /// [`through`] the first two of [`PEERS`], of which those in `up` can be reached: who was asked
    /// whether it can, who was connected to, and what came of it.
    async fn order(up: &[usize], down: PeerDown) -> (usize, Vec<usize>, Option<usize>) {
        let (asked, tried) = (RefCell::new(0), RefCell::new(Vec::new()));
        let index = |peer| PEERS.iter().position(|p| *p == peer).unwrap();
        let reaches = |peer| {
            *asked.borrow_mut() += 1;
            let is_up = up.contains(&index(peer));
            async move { is_up }
        };
        let connect = |peer| {
            tried.borrow_mut().push(index(peer));
            let is_up = up.contains(&index(peer));
            async move {
                match is_up {
                    true => Ok(index(peer)),
                    false => Err(ConnectError::Unreachable("p".into(), "silent".to_owned())),
                }
            }
        };
        let result = through(&PEERS[..2], down, reaches, connect).await;
        (asked.into_inner(), tried.into_inner(), result.unwrap_or_default())
    }

    #[tokio::test]
    async fn peers_are_taken_in_order_and_only_one_that_answers_is_connected_to() {
        use PeerDown::{Direct, Reject, Wait};
        for down in [Wait, Direct, Reject] {
            assert_eq!(order(&[0, 1], down).await, (1, vec![0], Some(0)));
            assert_eq!(order(&[1], down).await, (2, vec![1], Some(1)));
        }
        // With none up, waiting tries them all once more; the others do not.
        assert_eq!(order(&[], Wait).await, (2, vec![0, 1], None));
        assert_eq!(order(&[], Direct).await, (2, vec![], None));
        assert_eq!(order(&[], Reject).await, (2, vec![], None));
    }
}
