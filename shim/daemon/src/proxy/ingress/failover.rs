//! Chooses among the peers of a flow: the first that is reachable, in order of preference.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;

use crate::proxy::rules::PeerDown;
use throughline::{ConnectError, FailureCode, PeerId};

/// How often a flow that waits may turn to another peer: peers that answer and fall silent again in turn
/// are not followed for ever.
const MAX_TURNS: u32 = 8;

/// Poll interval for another peer that answers while the one that is waited for is silent.
const ANOTHER_POLL: Duration = Duration::from_millis(250);

/// The peers that a flow may go through, in order of preference, and what is asked of each.
pub(super) struct Peers<'a, R, S, C> {
    pub(super) via: &'a [PeerId],
    /// Returns whether a lane to the peer answers, or does so in a moment.
    pub(super) reaches: R,
    /// Waits until no lane to the peer has answered for a moment.
    pub(super) silent: S,
    /// Opens the flow through the peer.
    pub(super) connect: C,
}

impl<R, S, C, Reached, Silent, Connecting, T> Peers<'_, R, S, C>
where
    R: Fn(PeerId) -> Reached,
    S: Fn(PeerId) -> Silent,
    C: Fn(PeerId) -> Connecting,
    Reached: Future<Output = bool>,
    Silent: Future<Output = ()>,
    Connecting: Future<Output = Result<T, ConnectError>>,
{
    /// Opens a flow through the first reachable peer.
    ///
    /// A peer that falls silent before it has answered is left for the next one: no byte of the flow is
    /// under way before the answer. Its destination may see a connection that ends without a byte.
    /// Returns `None` if no peer is reachable and `peer_down` does not say to wait for one.
    pub(super) async fn open(&self, peer_down: PeerDown) -> Result<Option<T>, ConnectError> {
        // Reachability does not matter where there is no other choice.
        if self.via.len() > 1 || peer_down != PeerDown::Wait {
            for &peer in self.via {
                if !(self.reaches)(peer).await {
                    continue;
                }
                let opened = tokio::select! {
                    biased;
                    opened = (self.connect)(peer) => opened,
                    () = (self.silent)(peer) => {
                        debug!(%peer, "the peer fell silent before it answered; trying the next one");
                        continue;
                    }
                };
                match opened {
                    Err(error) if may_try_another(&error) => debug!(%error, "trying the next peer"),
                    ended => return ended.map(Some),
                }
            }
        }
        match peer_down {
            PeerDown::Wait => self.wait_for_first().await.map(Some),
            PeerDown::Direct | PeerDown::Reject => Ok(None),
        }
    }

    /// Waits for each peer in order until one is reached, and goes to any that answers while the one that
    /// is waited for is silent; a peer that refuses the flow, but for a limit, ends the search.
    async fn wait_for_first(&self) -> Result<T, ConnectError> {
        let mut waiting: VecDeque<PeerId> = self.via.iter().copied().collect();
        let mut turns = MAX_TURNS;
        let mut last = None;
        while let Some(peer) = waiting.pop_front() {
            let opened = tokio::select! {
                biased;
                opened = (self.connect)(peer) => opened,
                better = self.another(peer), if turns > 0 => {
                    turns -= 1;
                    waiting.retain(|waits| *waits != better);
                    waiting.push_front(better);
                    continue;
                }
            };
            match opened {
                Err(error) if may_try_another(&error) => {
                    if !waiting.is_empty() {
                        debug!(%error, "trying the next peer");
                    }
                    last = Some(error);
                }
                ended => return ended,
            }
        }
        // A decision for peers names at least one.
        Err(last.unwrap_or(ConnectError::ShuttingDown))
    }

    /// Waits until `peer` is silent and another one answers; returns that one.
    async fn another(&self, peer: PeerId) -> PeerId {
        loop {
            (self.silent)(peer).await;
            for &other in self.via.iter().filter(|other| **other != peer) {
                if (self.reaches)(other).await {
                    return other;
                }
            }
            sleep(ANOTHER_POLL).await;
        }
    }
}

/// Returns whether another peer may be tried: this one was not reached, or has a limit that is reached.
///
/// The destination cannot have been dialed then.
fn may_try_another(error: &ConnectError) -> bool {
    match error {
        ConnectError::UnknownPeer(_)
        | ConnectError::NoLocator(_)
        | ConnectError::NoDatagrams(_)
        | ConnectError::Unreachable { .. }
        | ConnectError::TooManyFlows(_) => true,
        ConnectError::Refused(failure) => failure.code == FailureCode::LimitReached,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::{Pending, Ready, pending, ready};

    use super::*;
    use throughline::OpenFailure;

    const PEERS: [PeerId; 3] =
        [PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]), PeerId::from_bytes([3; 32])];

    /// Returns peers that nobody knows anything of before they are connected to.
    fn peers<C>(
        via: &[PeerId],
        connect: C,
    ) -> Peers<'_, impl Fn(PeerId) -> Ready<bool>, impl Fn(PeerId) -> Pending<()>, C> {
        Peers { via, reaches: |_| ready(false), silent: |_| pending(), connect }
    }

    /// Tries [`PEERS`], of which the first `unreachable` are unreachable and the next answers `then`.
    async fn attempt(
        unreachable: usize,
        then: Result<(), FailureCode>,
    ) -> (Vec<PeerId>, Result<PeerId, ConnectError>) {
        let tried = RefCell::new(Vec::new());
        let connect = |peer: PeerId| {
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
        };
        let result = peers(&PEERS, connect).wait_for_first().await;
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
    async fn the_next_peer_is_tried_at_the_flow_limit_of_either_end() {
        for error in [
            || ConnectError::TooManyFlows(1024),
            || ConnectError::NoDatagrams("p".into()),
            || OpenFailure::new(FailureCode::LimitReached, "1024 flows are open, the limit").into(),
        ] {
            let connect =
                |peer| async move { if peer == PEERS[2] { Ok(peer) } else { Err(error()) } };
            assert_eq!(peers(&PEERS, connect).wait_for_first().await.unwrap(), PEERS[2]);
            let refused = peers(&PEERS[..2], connect).wait_for_first().await.unwrap_err();
            assert!(may_try_another(&refused), "{refused}");
        }
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
        let via = Peers { via: &PEERS[..2], reaches, silent: |_| pending(), connect };
        let result = via.open(peer_down).await;
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

    #[tokio::test]
    async fn a_peer_that_falls_silent_before_it_answers_is_left_for_one_that_answers() {
        for peer_down in [PeerDown::Wait, PeerDown::Direct, PeerDown::Reject] {
            let connect =
                |peer| async move { if peer == PEERS[0] { pending().await } else { Ok(peer) } };
            let silent = |_| sleep(Duration::from_millis(1));
            let via = Peers { via: &PEERS[..2], reaches: |_| ready(true), silent, connect };
            assert_eq!(via.open(peer_down).await.unwrap(), Some(PEERS[1]));
        }
    }

    #[tokio::test]
    async fn a_flow_that_waits_for_a_silent_peer_goes_to_another_that_answers_meanwhile() {
        let began = tokio::time::Instant::now();
        let up = |peer| peer == PEERS[1] && began.elapsed() > Duration::from_millis(300);
        let connect = |peer| async move { if up(peer) { Ok(peer) } else { pending().await } };
        let silent = |_| ready(());
        let via = Peers { via: &PEERS, reaches: |peer| ready(up(peer)), silent, connect };
        assert_eq!(via.open(PeerDown::Wait).await.unwrap(), Some(PEERS[1]));
    }

    #[tokio::test]
    async fn peers_that_answer_and_fall_silent_in_turn_are_not_followed_for_ever() {
        let tried = Cell::new(0);
        let connect = |_| {
            tried.set(tried.get() + 1);
            async {
                sleep(Duration::from_millis(1)).await;
                Err(ConnectError::ShuttingDown)
            }
        };
        let (reaches, silent) = (|_| ready(true), |_| ready(()));
        let via = Peers { via: &PEERS[..2], reaches, silent, connect };
        let opened: Result<Option<()>, _> = via.open(PeerDown::Wait).await;
        opened.unwrap_err();
        assert!(tried.get() <= 2 + 1 + MAX_TURNS, "{tried:?}");
    }
}
