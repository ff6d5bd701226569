//! What becomes of the sessions when the node is configured anew.

use super::Sessions;
use crate::config::Limits;
use crate::engine::lane::KEY_REMOVED;
use crate::engine::peers::PeersChange;
use crate::engine::quic::close;
use crate::engine::quic::transport::LaneTransport;
use crate::engine::session::SessionHandle;
use throughline_proto::types::PeerId;

/// Why the sessions of a peer end that was removed, as both ends are told.
const PEER_REMOVED: &str = "one end has removed the other from its configuration";

impl Sessions {
    /// Sets other bounds. What sessions have promised each other they keep to.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let memory = limits.memory;
        // First: a part that is made from now on has the new limit, and those that there are get it here.
        *self.limits.write() = limits;
        self.memory.set_limit(memory);
        for part in self.parts.lock().values() {
            part.set_limit(memory);
        }
        self.context.set_transport(LaneTransport::of_memory(memory));
    }

    /// Has the sessions follow a change of the peers, but for those that were removed: a lane whose key is
    /// none of its peer's any more ends, and every dialer looks at the locators again.
    pub(crate) fn follow_peers(&self, change: &PeersChange) {
        for session in change.changed.iter().flat_map(|peer| self.with_peer(*peer)) {
            end_removed_keys(&session);
            session.with(|core, _| {
                core.locators_changed = true;
                core.peer_changed = true;
            });
            session.wake_driver();
        }
        self.changed();
    }

    /// Ends the sessions of peers that were removed, and forgets the peers.
    pub(crate) fn end_removed(&self, removed: &[PeerId]) {
        self.context.peers.forget(removed);
        for peer in removed {
            for session in self.with_peer(*peer) {
                session.with(|core, _| core.session.close(0, PEER_REMOVED));
            }
            self.parts.lock().remove(peer);
            self.instances.lock().forget(*peer);
        }
        self.changed();
    }

    /// Has the sessions with a peer look at whose qlog is read.
    #[cfg(feature = "qlog")]
    pub(crate) fn follow_qlog(&self, peer: PeerId) {
        self.with_peer(peer).iter().for_each(SessionHandle::wake_driver);
    }

    /// Advertises to every peer where we can be reached now, and has every dialer look at who we are.
    pub(crate) fn follow_ourselves(&self) {
        let locators = self.context.own_locators();
        for session in self.all() {
            session.with(|core, _| core.session.set_locators(locators.clone()));
            session.wake_driver();
        }
    }
}

/// Ends the lanes on which the peer has shown a key that is no longer its own, at once: whoever has it
/// is not to be trusted with anything more. The session waits for lanes with another key of the peer's: that
/// has it if it is the peer's, and else says that it does not know it.
fn end_removed_keys(session: &SessionHandle) {
    session.with(|core, _| {
        let label = session.log().label();
        for lane in core.lanes.values_mut().filter(|lane| !label.accepts(lane.keys.peers)) {
            lane.end(close::REJECTED, KEY_REMOVED);
        }
    });
}
