//! Who may attach to which session: the answer to a `Hello`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::session::SessionHandle;
use crate::engine::sessions::{Held, NodeShared};
use throughline_proto::types::{PeerId, PeerName, Side};
use throughline_proto::wire::VERSION;
use throughline_proto::wire::hello::{Hello, Intent, Reject, RejectCode, Welcome};

/// Lanes of one session at the acceptor: the initiator keeps four, and dials anew beside silent
/// ones.
const LANES_PER_SESSION: usize = 16;

/// For so long our own attempt to create a session stands against the peer's, where our key is
/// the smaller one. After that the peer's may come: ours does not get through.
const OURS_STANDS: Duration = Duration::from_secs(3);

impl NodeShared {
    /// Judges a `Hello`: the session it attaches to and our `Welcome`, or why not.
    pub(super) fn admit(
        self: &Arc<Self>,
        peer: PeerId,
        hello: &Hello,
    ) -> Result<(SessionHandle, Welcome), Reject> {
        let reject = |code, detail: &str| Reject { code, detail: detail.to_owned() };
        if hello.version < VERSION {
            let detail = format!("protocol version {VERSION} is the lowest spoken here");
            return Err(reject(RejectCode::Version, &detail));
        }
        if self.is_shutting_down() {
            return Err(reject(RejectCode::ShuttingDown, "shutting down"));
        }
        let mut peers = self.peers.lock();
        let entry =
            peers.get_mut(&peer).ok_or_else(|| reject(RejectCode::Limit, "peer was removed"))?;
        entry.sessions.retain(|h| !h.session.is_over());
        if let Some(held) = entry.sessions.iter().find(|h| h.session.id() == hello.session) {
            let session = held.session.clone();
            drop(peers);
            return self.attach(session, hello);
        }
        if hello.intent == Intent::Resume {
            let detail = "session not known here: this end restarted, or it lingered too long";
            return Err(reject(RejectCode::UnknownSession, detail));
        }
        let ours = entry.sessions.iter().find(|h| {
            h.session.side() == Side::Initiator
                && !h.session.is_established()
                && h.since.elapsed() < OURS_STANDS
        });
        if ours.is_some() && self.identity().peer_id() < peer {
            return Err(reject(RejectCode::Superseded, "both ends created a session; ours stands"));
        }
        if entry.sessions.len() >= self.limits.sessions_per_peer {
            let detached = |h: &&Held| h.session.with(|core, _| core.detached_since);
            let longest = entry.sessions.iter().filter(|h| detached(h).is_some());
            let Some(oldest) = longest.min_by_key(|h| detached(h)) else {
                return Err(reject(RejectCode::Limit, "too many sessions with this peer"));
            };
            let oldest = oldest.session.clone();
            entry.sessions.retain(|h| h.session.id() != oldest.id());
            // Outside the lock: the session's waiters may come back to us.
            tokio::spawn(async move { oldest.lose("given up for a newer session of this peer") });
        }
        let name = PeerName::from(entry.config.name.as_str());
        let session = self.session(hello.session, peer, name, Side::Acceptor, hello.params);
        entry.sessions.push(Held { session: session.clone(), since: Instant::now() });
        drop(peers);
        self.drive(session.clone(), None);
        self.attach(session, hello)
    }

    fn attach(
        &self,
        session: SessionHandle,
        hello: &Hello,
    ) -> Result<(SessionHandle, Welcome), Reject> {
        let reject = |code, detail: &str| Err(Reject { code, detail: detail.to_owned() });
        let (side, generation, lanes, known) = session.with(|core, _| {
            let known = core.lanes.contains_key(&hello.lane);
            (core.session.side(), core.generation, core.lanes.len(), known)
        });
        if side == Side::Initiator {
            return reject(RejectCode::Superseded, "this session was created by us");
        }
        if hello.generation < generation {
            return reject(RejectCode::Stale, "a newer generation of the session has attached");
        }
        if lanes >= LANES_PER_SESSION || known {
            return reject(RejectCode::Limit, "too many lanes, or a lane number used twice");
        }
        let locators = self.own_locators();
        let params = session.with(|core, _| {
            core.generation = hello.generation;
            core.session.set_locators(locators);
            core.session.params()
        });
        Ok((session, Welcome { version: VERSION, params }))
    }
}
