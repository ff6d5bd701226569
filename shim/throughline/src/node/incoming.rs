//! A flow that a peer asks to open.

use crate::datagrams::DatagramFlow;
use crate::engine::session::SessionHandle;
use crate::info::FlowInfo;
use crate::stream::{FlowStream, KeepAlive};
use throughline_proto::types::{FailureCode, FlowId, Mode, OpenFailure, PeerId, PeerName, Target};

/// A flow that a peer asks to open, from [`Listener::accept`](crate::Listener::accept).
///
/// The peer's `connect` waits for the answer: [`accept`](Self::accept) or
/// [`refuse`](Self::refuse). Dropping it refuses the flow.
#[derive(Debug)]
#[must_use = "a flow that is dropped is refused"]
pub struct IncomingFlow {
    pending: Option<Pending>,
    peer: PeerId,
    name: PeerName,
    id: FlowId,
    target: Target,
    mode: Mode,
}

/// What answering the flow takes; gone once it is answered.
struct Pending {
    session: SessionHandle,
    node: KeepAlive,
}

impl IncomingFlow {
    pub(super) fn new(
        session: SessionHandle,
        node: KeepAlive,
        id: FlowId,
        target: Target,
        mode: Mode,
    ) -> Self {
        let (peer, name) = (session.peer_key(), session.name());
        Self { pending: Some(Pending { session, node }), peer, name, id, target, mode }
    }

    /// Returns the key of the peer that asks.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Returns the peer's name in the configuration.
    #[must_use]
    pub fn peer_name(&self) -> &PeerName {
        &self.name
    }

    /// Returns the flow's destination.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns how the opener uses lanes.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Opens the flow; the peer learns it at once.
    #[must_use = "a flow that is dropped is reset"]
    pub fn accept(self) -> FlowStream {
        let (session, id, info, node) = self.accepted();
        FlowStream::new(session, id, info, node)
    }

    fn accepted(mut self) -> (SessionHandle, FlowId, FlowInfo, KeepAlive) {
        let Some(Pending { session, node }) = self.pending.take() else {
            unreachable!("only accept, refuse and drop take what is pending")
        };
        session.with(|core, now| core.session.accept(now, self.id));
        let info = FlowInfo::new(&session, self.target.clone(), self.mode);
        (session, self.id, info, node)
    }

    /// Refuses the flow; the peer's `connect` fails with this.
    pub fn refuse(mut self, failure: OpenFailure) {
        self.answer(failure);
    }

    fn answer(&mut self, failure: OpenFailure) {
        if let Some(Pending { session, .. }) = self.pending.take() {
            refuse(&session, self.id, &self.target, failure);
        }
    }
}

/// A datagram flow that a peer asks to open, from [`DatagramListener::accept`](crate::DatagramListener::accept).
///
/// The peer may send datagrams before it has the answer; they wait for [`accept`](Self::accept). Dropping it refuses
/// the flow.
#[derive(Debug)]
#[must_use = "a flow that is dropped is refused"]
pub struct IncomingDatagrams(IncomingFlow);

impl IncomingDatagrams {
    /// Takes a flow that is one of datagrams.
    pub(super) fn new(flow: IncomingFlow) -> Self {
        Self(flow)
    }

    /// Returns the key of the peer that asks.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.0.peer()
    }

    /// Returns the peer's name in the configuration.
    #[must_use]
    pub fn peer_name(&self) -> &PeerName {
        self.0.peer_name()
    }

    /// Returns the flow's destination.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.0.target()
    }

    /// Returns how the opener uses lanes.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.mode()
    }

    /// Opens the flow; the peer learns it at once.
    #[must_use = "a flow that is dropped is over"]
    pub fn accept(self) -> DatagramFlow {
        let (session, id, info, node) = self.0.accepted();
        DatagramFlow::new(session, id, info, node)
    }

    /// Refuses the flow; the peer's [`DatagramFlow`] fails with this.
    pub fn refuse(self, failure: OpenFailure) {
        self.0.refuse(failure);
    }
}

/// Refuses a flow to `target`, and reports that.
pub(super) fn refuse(session: &SessionHandle, id: FlowId, target: &Target, failure: OpenFailure) {
    session.log().emit_flow_refused(target, &failure.detail);
    session.with(|core, now| core.session.refuse(now, id, failure));
}

impl Drop for IncomingFlow {
    fn drop(&mut self) {
        self.answer(OpenFailure::new(FailureCode::Other, "the peer's application let it drop"));
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pending").field(&self.session).finish()
    }
}
