//! Opens flows to peers.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::handle::Node;
use crate::engine::session::SessionHandle;
use crate::engine::session::waiters::wait;
use crate::info::FlowInfo;
use crate::stream::FlowStream;
use throughline_proto::session::{FlowError, OpenError};
use throughline_proto::types::{FlowId, Mode, OpenFailure, PeerId, PeerName, Target};
use throughline_proto::wire::fact::Open;

/// How long [`Node::connect`] waits for a session with a peer that has none.
const SESSION_WITHIN: Duration = Duration::from_secs(10);

/// How long it waits where the peer is known to be down: every dial has failed for longer than
/// this already. Whoever has another peer to try should not wait for this one.
const SESSION_WITHIN_IF_DOWN: Duration = Duration::from_secs(2);

/// How long it waits for the answer to an open: the far side gives its own dial 10 s, and an
/// outage in between is survived.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long no lane of a session must have answered before a flow that waits for its answer there is
/// opened in another one.
const SILENT_SESSION_LIMIT: Duration = Duration::from_secs(1);

/// Poll interval for a session that is better than that in which a flow waits.
const SESSION_POLL: Duration = Duration::from_millis(250);

/// Poll interval for a lane that answers again, which no change among sessions announces.
const REACHABLE_POLL: Duration = Duration::from_millis(10);

/// Why a flow could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The peer is none of this node's.
    #[error("peer {0} is not known to this node; add it with its key")]
    UnknownPeer(PeerId),
    /// The peer has no locator to dial, and no session with us.
    #[error("peer {0} has no locator and has not dialed us; add a locator, or wait for it")]
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
    /// The peer runs a version that has no datagram flows.
    #[error("peer {0} runs a version that has no datagram flows; update it")]
    NoDatagrams(PeerName),
    /// The target cannot be put on the wire (its name is empty or too long), or takes flows of the other kind.
    #[error("target `{target}` cannot be sent: {source}")]
    InvalidTarget {
        /// The target.
        target: Target,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// As many flows are open as the peer allows in a session.
    #[error("the session has {0} flows, its limit; close some")]
    TooManyFlows(usize),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl Node {
    /// Opens a flow to `target` behind `peer` in [`Mode::Auto`], and waits for the far side's answer.
    ///
    /// Dropping the future before that resets the flow.
    ///
    /// # Errors
    /// [`ConnectError::Refused`] carries the far side's reason; the others say why it was not asked,
    /// or did not answer.
    pub async fn connect(&self, peer: PeerId, target: Target) -> Result<FlowStream, ConnectError> {
        self.connect_with(peer, target, Mode::Auto).await
    }

    /// Opens a flow in a chosen mode, which says how it uses lanes.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        &self,
        peer: PeerId,
        target: Target,
        mode: Mode,
    ) -> Result<FlowStream, ConnectError> {
        if target.takes_datagrams() {
            let source = "flows to it are of datagrams; use `Node::datagrams`".into();
            return Err(ConnectError::InvalidTarget { target, source });
        }
        let peer = self.context().peers.resolve(peer);
        let mut session = self.session(peer).await?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            let id = open(&session, &target, mode)?;
            // From here on dropping the stream, or this future, resets the flow.
            let info = FlowInfo::new(&session, target.clone(), mode);
            let stream = FlowStream::new(session.clone(), id, info, self.keep_alive());
            let unanswered = |reason| ConnectError::Unanswered { peer: session.name(), reason };
            let answered = tokio::select! {
                biased;
                outcome = outcome(&session, id) => outcome,
                // Its bytes come after the answer, so nothing of the flow is lost.
                better = self.better_session(&session) => {
                    session = better;
                    continue;
                }
                () = sleep_until(deadline) => {
                    return Err(unanswered(format!("none within {ANSWER_WITHIN:?}")));
                }
            };
            match answered {
                Ok(()) => return Ok(stream),
                Err(FlowError::Failed(failure)) => return Err(failure.into()),
                Err(error @ FlowError::Closed(_)) => {
                    // The peer was started anew, or gave the session up.
                    let next = timeout_at(deadline, self.session(peer)).await;
                    session = next.map_err(|_| unanswered(error.to_string()))??;
                }
                Err(error) => return Err(unanswered(error.to_string())),
            }
        }
    }

    /// Waits until no lane of the session has answered for [`SILENT_SESSION_LIMIT`] while one of another
    /// session with the same peer does; returns that one.
    async fn better_session(&self, session: &SessionHandle) -> SessionHandle {
        let mut silent_since = None;
        loop {
            sleep(SESSION_POLL).await;
            if session.with(|core, _| core.answers()) {
                silent_since = None;
                continue;
            }
            let since = *silent_since.get_or_insert_with(Instant::now);
            let usable = self.sessions().usable(session.peer());
            let better = usable.filter(|s| s.id() != session.id() && s.with(|c, _| c.answers()));
            if let Some(better) = better.filter(|_| since.elapsed() >= SILENT_SESSION_LIMIT) {
                return better;
            }
        }
    }

    /// Waits for a session in which flows can be opened.
    pub(super) async fn session(&self, peer: PeerId) -> Result<SessionHandle, ConnectError> {
        let down = self
            .context()
            .peers
            .failing(peer)
            .is_some_and(|failing| failing.since.elapsed() > SESSION_WITHIN_IF_DOWN);
        let deadline = Instant::now() + if down { SESSION_WITHIN_IF_DOWN } else { SESSION_WITHIN };
        let _demand = self.context().peers.demand(peer);
        let mut changes = self.sessions().changes();
        loop {
            changes.borrow_and_update();
            // It may be removed, or have other locators, while we wait.
            let config = self.context().peers.config(peer);
            let config = config.ok_or(ConnectError::UnknownPeer(peer))?;
            if self.sessions().is_shutting_down() {
                return Err(ConnectError::ShuttingDown);
            }
            if let Some(session) = self.sessions().usable(peer) {
                return Ok(session);
            }
            if config.locators.is_empty() {
                return Err(ConnectError::NoLocator(self.context().peers.name(peer)));
            }
            self.sessions().initiate(peer);
            for session in self.sessions().with_peer(peer) {
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
        let peer = self.context().peers.resolve(peer);
        let _demand = self.context().peers.demand(peer);
        let mut changes = self.sessions().changes();
        let deadline = Instant::now() + patience;
        loop {
            changes.borrow_and_update();
            match self.sessions().down_for(peer) {
                None => return true,
                Some(down) if down >= patience || self.sessions().is_shutting_down() => {
                    return false;
                }
                Some(_) if Instant::now() >= deadline => return false,
                Some(_) => {}
            }
            self.sessions().initiate(peer);
            for session in self.sessions().with_peer(peer) {
                session.wake_driver();
            }
            // A lane that answers again is no change among sessions, so poll.
            let _ = timeout_at((Instant::now() + REACHABLE_POLL).min(deadline), changes.changed())
                .await;
        }
    }

    /// Waits until no lane to the peer has answered for `patience`.
    ///
    /// Whoever has another peer to try drops a [`connect`](Self::connect) then, which resets the flow.
    pub async fn wait_until_silent(&self, peer: PeerId, patience: Duration) {
        let peer = self.context().peers.resolve(peer);
        while self.sessions().down_for(peer).is_none_or(|down| down < patience) {
            sleep(SESSION_POLL).await;
        }
    }

    fn unreachable(&self, peer: PeerId, what: &str) -> ConnectError {
        let reason = match self.context().peers.failing(peer) {
            Some(failing) => format!("{what}; last dial: {}", failing.error),
            None => what.to_owned(),
        };
        ConnectError::Unreachable { peer: self.context().peers.name(peer), reason }
    }
}

/// Opens a flow in a session.
pub(super) fn open(
    session: &SessionHandle,
    target: &Target,
    mode: Mode,
) -> Result<FlowId, ConnectError> {
    let opened =
        session.with(|core, now| core.session.open(now, Open { target: target.clone(), mode }));
    opened.map_err(|error| match error {
        OpenError::TooMany(most) => ConnectError::TooManyFlows(most as usize),
        OpenError::Closed(reason) => ConnectError::Unreachable { peer: session.name(), reason },
        OpenError::NoDatagrams => ConnectError::NoDatagrams(session.name()),
        OpenError::Target(source) => {
            ConnectError::InvalidTarget { target: target.clone(), source: source.into() }
        }
    })
}

/// Waits for the answer to an open.
async fn outcome(session: &SessionHandle, id: FlowId) -> Result<(), FlowError> {
    poll_fn(|cx| {
        session.with(|core, _| match core.session.outcome(id) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                wait(&mut core.waiters(id).answer, cx);
                Poll::Pending
            }
        })
    })
    .await
}
