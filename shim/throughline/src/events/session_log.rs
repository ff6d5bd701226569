//! Emits the events of one session and its lanes.

use std::sync::Arc;

use super::{EventKind, EventLog, Subject};
use crate::label::PeerLabel;
use throughline_proto::types::{LaneId, PeerName, SessionId, Target};

/// Emits events with the names of one session and its peer.
#[derive(Clone, Debug)]
pub(crate) struct SessionLog {
    events: EventLog,
    peer: Arc<PeerLabel>,
    session: SessionId,
}

impl SessionLog {
    pub(crate) fn new(events: EventLog, peer: Arc<PeerLabel>, session: SessionId) -> Self {
        Self { events, peer, session }
    }

    /// Returns the peer's name in the configuration, as it is now.
    pub(crate) fn peer(&self) -> PeerName {
        self.peer.name()
    }

    /// Returns what the peer is called, now and later.
    pub(crate) fn label(&self) -> &PeerLabel {
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

    /// Returns whether a line about the peer that is no event may be logged; it has so many a minute.
    pub(crate) fn admits_line(&self) -> bool {
        self.events.admits_line(&self.peer())
    }

    /// Emits that we refused a flow of the peer's.
    pub(crate) fn emit_flow_refused(&self, target: &Target, reason: &str) {
        self.events.emit_flow_refused(self.subject(), target, reason);
    }

    fn subject(&self) -> Subject {
        Subject { peer: Some(self.peer()), session: Some(self.session), ..Subject::default() }
    }
}
