//! Who may attach to which session: the answer to a `Hello`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Registered, Sessions};
use crate::engine::session::SessionHandle;
use throughline_proto::types::{PeerId, Side};
use throughline_proto::wire::VERSION;
use throughline_proto::wire::hello::{Hello, Intent, Reject, RejectCode, Welcome};

/// Lanes of one session at the acceptor: the initiator keeps four, and dials anew beside silent
/// ones.
const MAX_LANES: usize = 16;

/// For how long our own attempt to create a session takes precedence over the peer's, where our key
/// is the smaller one. After that ours does not get through, and the peer's may.
const OWN_ATTEMPT_PRECEDENCE: Duration = Duration::from_secs(3);

impl Sessions {
    /// Judges a `Hello`: returns the session that it attaches to with our `Welcome`, or why not.
    pub(in crate::engine) fn admit(
        self: &Arc<Self>,
        peer: PeerId,
        hello: &Hello,
    ) -> Result<(SessionHandle, Welcome), Reject> {
        if hello.version < VERSION {
            let detail = format!("protocol version {VERSION} is the lowest spoken here");
            return Err(reject(RejectCode::Version, &detail));
        }
        if self.is_shutting_down() {
            return Err(reject(RejectCode::ShuttingDown, "shutting down"));
        }
        if self.context.peers.config(peer).is_none() {
            return Err(reject(RejectCode::Limit, "peer was removed"));
        }
        let session = self.find_or_create(peer, hello)?;
        self.attach(session, hello)
    }

    /// Returns the session that a `Hello` names, made now where the peer creates it.
    fn find_or_create(
        self: &Arc<Self>,
        peer: PeerId,
        hello: &Hello,
    ) -> Result<SessionHandle, Reject> {
        let mut registered = self.registered.lock();
        let sessions = registered.entry(peer).or_default();
        sessions.retain(|r| !r.session.is_over());
        if let Some(known) = sessions.iter().find(|r| r.session.id() == hello.session) {
            return Ok(known.session.clone());
        }
        if hello.intent == Intent::Resume {
            let detail = "session not known here: this end restarted, or it lingered too long";
            return Err(reject(RejectCode::UnknownSession, detail));
        }
        let ours = sessions.iter().find(|r| {
            r.session.side() == Side::Initiator
                && !r.session.is_established()
                && r.since.elapsed() < OWN_ATTEMPT_PRECEDENCE
        });
        if ours.is_some() && self.context.identity.peer_id() < peer {
            return Err(reject(RejectCode::Superseded, "both ends created a session; ours stands"));
        }
        if sessions.len() >= self.limits.sessions_per_peer {
            evict_longest_detached(sessions)?;
        }
        let session = self.session(hello.session, peer, Side::Acceptor, hello.params);
        sessions.push(Registered { session: session.clone(), since: Instant::now() });
        drop(registered);
        self.drive(session.clone(), None);
        Ok(session)
    }

    fn attach(
        &self,
        session: SessionHandle,
        hello: &Hello,
    ) -> Result<(SessionHandle, Welcome), Reject> {
        let (side, generation, lanes, known) = session.with(|core, _| {
            let known = core.lanes.contains_key(&hello.lane);
            (core.session.side(), core.generation, core.lanes.len(), known)
        });
        if side == Side::Initiator {
            return Err(reject(RejectCode::Superseded, "this session was created by us"));
        }
        if hello.generation < generation {
            let detail = "a newer generation of the session has attached";
            return Err(reject(RejectCode::Stale, detail));
        }
        if lanes >= MAX_LANES || known {
            let detail = "too many lanes, or a lane number used twice";
            return Err(reject(RejectCode::Limit, detail));
        }
        let locators = self.context.own_locators();
        let params = session.with(|core, _| {
            core.generation = hello.generation;
            core.session.set_locators(locators);
            core.session.params()
        });
        Ok((session, Welcome { version: VERSION, params }))
    }
}

/// Gives up the session that has been without a lane for longest, to make room for another.
fn evict_longest_detached(sessions: &mut Vec<Registered>) -> Result<(), Reject> {
    let detached = |r: &&Registered| r.session.with(|core, _| core.detached_since);
    let candidates = sessions.iter().filter(|r| detached(r).is_some());
    let Some(oldest) = candidates.min_by_key(|r| detached(r)) else {
        return Err(reject(RejectCode::Limit, "too many sessions with this peer"));
    };
    let oldest = oldest.session.clone();
    sessions.retain(|r| r.session.id() != oldest.id());
    // Outside the registry's lock: the session's waiters may come back to us.
    tokio::spawn(async move { oldest.lose("given up for a newer session of this peer") });
    Ok(())
}

fn reject(code: RejectCode, detail: &str) -> Reject {
    Reject { code, detail: detail.to_owned() }
}
