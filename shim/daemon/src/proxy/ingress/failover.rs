//! Chooses among the peers of a flow: the first that is reachable, in order of preference.

use std::future::Future;

use tracing::info;

use crate::proxy::rules::PeerDown;
use throughline::{ConnectError, PeerId};

/// Opens a flow through the first reachable peer, in order.
///
/// Returns `None` if no peer is reachable and `peer_down` does not say to wait for one.
pub(super) async fn open_through<T, R, C>(
    via: &[PeerId],
    peer_down: PeerDown,
    reaches: impl Fn(PeerId) -> R,
    connect: impl Fn(PeerId) -> C,
) -> Result<Option<T>, ConnectError>
where
    R: Future<Output = bool>,
    C: Future<Output = Result<T, ConnectError>>,
{
    // Reachability does not matter where there is no other choice.
    if via.len() > 1 || peer_down != PeerDown::Wait {
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
    match peer_down {
        PeerDown::Wait => wait_for_first(via, connect).await.map(Some),
        PeerDown::Direct | PeerDown::Reject => Ok(None),
    }
}

/// Waits for each peer in order until one is reached; a peer that refuses the flow ends the search.
async fn wait_for_first<T, F, Fut>(via: &[PeerId], connect: F) -> Result<T, ConnectError>
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

/// Returns whether the peer was not reached at all, so that another may be tried.
///
/// The destination cannot have been dialed then.
fn is_unreachable(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::UnknownPeer(_)
            | ConnectError::NoLocator(_)
            | ConnectError::Unreachable { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use throughline::{FailureCode, OpenFailure};

    const PEERS: [PeerId; 3] =
        [PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]), PeerId::from_bytes([3; 32])];

    /// Tries [`PEERS`], of which the first `unreachable` are unreachable and the next answers `then`.
    async fn attempt(
        unreachable: usize,
        then: Result<(), FailureCode>,
    ) -> (Vec<PeerId>, Result<PeerId, ConnectError>) {
        let tried = RefCell::new(Vec::new());
        let result = wait_for_first(&PEERS, |peer| {
            tried.borrow_mut().push(peer);
            let is_unreachable = tried.borrow().len() <= unreachable;
            async move {
                match then {
                    _ if is_unreachable => Err(ConnectError::Unreachable {
                        peer: "p".into(),
                        reason: "silent".to_owned(),
                    }),
                    Ok(()) => Ok(peer),
                    Err(code) => Err(OpenFailure::new(code, "no").into()),
                }
            }
        })
        .await;
        (tried.into_inner(), result)
    }

    #[tokio::test]
    async fn the_next_peer_is_tried_when_one_is_unreachable() {
        let (tried, result) = attempt(2, Ok(())).await;
        assert_eq!(tried, PEERS);
        assert_eq!(result.unwrap(), PEERS[2]);
    }

    #[tokio::test]
    async fn the_next_peer_is_not_tried_when_the_destination_refused() {
        let (tried, result) = attempt(1, Err(FailureCode::Refused)).await;
        assert_eq!(tried, PEERS[..2]);
        assert!(matches!(
            result.unwrap_err(),
            ConnectError::Refused(OpenFailure { code: FailureCode::Refused, .. })
        ));
    }

    #[tokio::test]
    async fn without_a_reachable_peer_the_last_failure_is_returned() {
        let (tried, result) = attempt(3, Ok(())).await;
        assert_eq!(tried, PEERS);
        assert!(matches!(result.unwrap_err(), ConnectError::Unreachable { .. }));
    }

    /// Opens a flow through the first two of [`PEERS`], of which those in `up` are reachable.
    ///
    /// Returns how many were checked for reachability, which were connected to, and which opened it.
    async fn order(up: &[usize], peer_down: PeerDown) -> (usize, Vec<usize>, Option<usize>) {
        let (checked, tried) = (RefCell::new(0), RefCell::new(Vec::new()));
        let index = |peer| PEERS.iter().position(|p| *p == peer).unwrap();
        let reaches = |peer| {
            *checked.borrow_mut() += 1;
            let is_up = up.contains(&index(peer));
            async move { is_up }
        };
        let connect = |peer| {
            tried.borrow_mut().push(index(peer));
            let is_up = up.contains(&index(peer));
            async move {
                match is_up {
                    true => Ok(index(peer)),
                    false => Err(ConnectError::Unreachable {
                        peer: "p".into(),
                        reason: "silent".to_owned(),
                    }),
                }
            }
        };
        let result = open_through(&PEERS[..2], peer_down, reaches, connect).await;
        (checked.into_inner(), tried.into_inner(), result.unwrap_or_default())
    }

    #[tokio::test]
    async fn peers_are_tried_in_order_and_only_a_reachable_one_is_connected_to() {
        use PeerDown::{Direct, Reject, Wait};
        for peer_down in [Wait, Direct, Reject] {
            assert_eq!(order(&[0, 1], peer_down).await, (1, vec![0], Some(0)));
            assert_eq!(order(&[1], peer_down).await, (2, vec![1], Some(1)));
        }
        // With none reachable, `wait` tries them all once more; the others do not.
        assert_eq!(order(&[], Wait).await, (2, vec![0, 1], None));
        assert_eq!(order(&[], Direct).await, (2, vec![], None));
        assert_eq!(order(&[], Reject).await, (2, vec![], None));
    }
}
