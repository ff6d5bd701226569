//! Emits the events of one session and its lanes.

use super::{EventKind, EventLog, Subject};
use throughline_proto::types::{LaneId, PeerName, SessionId, Target};

/// Emits events with the names of one session and its peer.
#[derive(Clone, Debug)]
pub(crate) struct SessionLog {
    events: EventLog,
    peer: PeerName,
    session: SessionId,
}

impl SessionLog {
    pub(crate) fn new(events: EventLog, peer: PeerName, session: SessionId) -> Self {
        Self { events, peer, session }
    }

    /// Returns the peer's name in the configuration.
    pub(crate) fn peer(&self) -> &PeerName {
        &self.peer
    }

    /// Emits an event of the session.
    pub(crate) fn emit(&self, kind: EventKind) {
        self.events.emit(self.subject(), kind);
    }

    /// Emits an event of the session over an uplink, where one has to do with it, or over a prefix
    /// of the peer.
    pub(crate) fn emit_over(&self, uplink: Option<String>, kind: EventKind) {
        self.events.emit(Subject { uplink, ..self.subject() }, kind);
    }

    /// Emits an event of a lane.
    pub(crate) fn emit_lane(&self, lane: LaneId, uplink: Option<&str>, kind: EventKind) {
        let uplink = uplink.map(str::to_owned);
        self.events.emit(Subject { lane: Some(lane), uplink, ..self.subject() }, kind);
    }

    /// Emits that we refused a flow of the peer's.
    pub(crate) fn emit_flow_refused(&self, target: &Target, reason: &str) {
        self.events.emit_flow_refused(self.subject(), target, reason);
    }

    fn subject(&self) -> Subject {
        Subject { peer: Some(self.peer.clone()), session: Some(self.session), ..Subject::default() }
    }
}
