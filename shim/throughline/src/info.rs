//! What is known of a flow from its beginning on.

use std::time::Instant;

use crate::engine::session::SessionHandle;
use throughline_proto::types::{Mode, PeerId, PeerName, Target};

/// Who is at the other end of a flow, where it leads, and since when, from
/// [`FlowStream::info`](crate::FlowStream::info).
///
/// HTTP servers and clients find it among the extensions of requests and responses; see
/// [`Listener::accept_all`](crate::Listener) and `Connector`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowInfo {
    /// The key of the peer, as it was when the flow began.
    pub peer: PeerId,
    /// The peer's name in the configuration, as it was then.
    pub peer_name: PeerName,
    /// The flow's destination.
    pub target: Target,
    /// How its opener uses lanes.
    pub mode: Mode,
    /// When this end asked for the flow, or accepted it.
    pub opened_at: Instant,
}

impl FlowInfo {
    /// Returns what is known of a flow that begins now.
    pub(crate) fn new(session: &SessionHandle, target: Target, mode: Mode) -> Self {
        let (peer, peer_name) = (session.peer_key(), session.name());
        Self { peer, peer_name, target, mode, opened_at: Instant::now() }
    }
}
