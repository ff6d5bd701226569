//! Flows that peers open, and who accepts them.

use thiserror::Error;
use tokio::sync::mpsc;

use crate::engine::session::SessionHandle;
use crate::stream::FlowStream;
use throughline_proto::types::{FailureCode, FlowId, Mode, OpenFailure, PeerId, PeerName, Target};

/// Why nothing can be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The node is shutting down, or has been shut down.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// There is a listener for this already.
    #[error("{served} has a listener already; drop that one first")]
    Taken {
        /// The service, or TCP targets.
        served: String,
    },
}

/// Why no further flow can be accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The node is shutting down, or has been shut down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// A flow that a peer asks to open. Dropping it refuses the flow.
#[derive(Debug)]
pub struct IncomingFlow {
    session: Option<SessionHandle>,
    peer: PeerId,
    name: PeerName,
    id: FlowId,
    target: Target,
    mode: Mode,
}

/// Yields the flows opened to one service, or (from [`Node::serve_tcp`](crate::Node::serve_tcp)) to TCP targets.
/// Dropping it ends the service: flows opened to it are refused.
#[derive(Debug)]
pub struct Listener {
    flows: mpsc::Receiver<IncomingFlow>,
}

impl IncomingFlow {
    pub(super) fn new(session: SessionHandle, id: FlowId, target: Target) -> Self {
        let mode = session.with(|core, _| core.session.flow(id).map(|f| f.mode()));
        let (peer, name) = (session.peer(), session.name().clone());
        Self { session: Some(session), peer, name, id, target, mode: mode.unwrap_or_default() }
    }

    /// Who asks.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// What the configuration calls the one who asks.
    pub fn peer_name(&self) -> &PeerName {
        &self.name
    }

    /// Where the flow is to lead.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How the opener uses lanes.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Opens the flow; the peer is told at once.
    pub fn accept(mut self) -> FlowStream {
        let Some(session) = self.session.take() else {
            unreachable!("only accept, refuse and drop take the session")
        };
        session.with(|core, now| core.session.accept(now, self.id));
        FlowStream::new(session, self.id)
    }

    /// Refuses it; the peer's `connect` fails with this.
    pub fn refuse(mut self, failure: OpenFailure) {
        self.answer(failure);
    }

    fn answer(&mut self, failure: OpenFailure) {
        if let Some(session) = self.session.take() {
            session.log().emit_flow_refused(&self.target.to_string(), &failure.detail);
            session.with(|core, now| core.session.refuse(now, self.id, failure));
        }
    }
}

impl Drop for IncomingFlow {
    fn drop(&mut self) {
        self.answer(OpenFailure::new(FailureCode::Other, "the peer's application let it drop"));
    }
}

impl Listener {
    pub(super) fn new(flows: mpsc::Receiver<IncomingFlow>) -> Self {
        Self { flows }
    }

    /// The next flow. Cancel-safe.
    ///
    /// # Errors
    /// When the node has been shut down.
    pub async fn accept(&mut self) -> Result<IncomingFlow, AcceptError> {
        self.flows.recv().await.ok_or(AcceptError::ShuttingDown)
    }
}
