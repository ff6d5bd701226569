//! Who may attach to which session: the answer to a `Hello`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Registered, Sessions};
use crate::engine::dial::Dialer;
use crate::engine::session::{LaneKeys, LaneReservation, SessionHandle, dialing_side};
use throughline_proto::types::{PeerId, Side};
use throughline_proto::wire::hello::{Hello, Intent, Reject, RejectCode, Welcome};
use throughline_proto::wire::version::VERSIONS;

/// For how long our own attempt to create a session takes precedence over the peer's, where our key
/// is the smaller one. After that ours does not get through, and the peer's may.
const OWN_ATTEMPT_PRECEDENCE: Duration = Duration::from_secs(3);

/// A `Hello` that was admitted.
pub(in crate::engine) struct Admitted {
    pub(in crate::engine) session: SessionHandle,
    pub(in crate::engine) reservation: LaneReservation,
    pub(in crate::engine) welcome: Welcome,
}

impl Sessions {
    /// Judges a `Hello`: returns the session that it attaches to, a place in it and our `Welcome`, or why
    /// not.
    pub(in crate::engine) fn admit(
        self: &Arc<Self>,
        peer: PeerId,
        keys: LaneKeys,
        hello: &Hello,
    ) -> Result<Admitted, Reject> {
        let version = VERSIONS.answer(hello.version);
        let version = version.map_err(|none| reject(RejectCode::Version, &none.to_string()))?;
        if self.is_shutting_down() {
            return Err(reject(RejectCode::ShuttingDown, "shutting down"));
        }
        let session = self.find_or_create(peer, keys, hello)?;
        self.attach(session, hello, version)
    }

    /// Returns the session that a `Hello` names, made now where the peer creates it.
    fn find_or_create(
        self: &Arc<Self>,
        peer: PeerId,
        keys: LaneKeys,
        hello: &Hello,
    ) -> Result<SessionHandle, Reject> {
        let mut registered = self.registered.lock();
        // Under the lock: whoever removes the peer ends the sessions that are registered afterwards.
        let Some(label) = self.context.peers.label(peer).filter(|l| l.accepts(keys.peers)) else {
            return Err(reject(RejectCode::Limit, "peer was removed"));
        };
        let sessions = registered.entry(peer).or_default();
        sessions.retain(|r| !r.session.is_over());
        if let Some(known) = sessions.iter_mut().find(|r| r.session.id() == hello.session) {
            self.instances.lock().note(peer, hello.instance);
            known.instance = Some(hello.instance);
            return Ok(known.session.clone());
        }
        if hello.intent == Intent::Resume {
            let detail = "session not known here: this end restarted, or it lingered too long";
            return Err(reject(RejectCode::UnknownSession, detail));
        }
        if self.is_frozen() {
            // Whoever takes over would not know it.
            return Err(reject(RejectCode::ShuttingDown, "being handed over to another process"));
        }
        let ours = sessions.iter().find(|r| {
            r.session.side() == Side::Initiator
                && !r.session.is_established()
                && r.since.elapsed() < OWN_ATTEMPT_PRECEDENCE
        });
        if ours.is_some() && keys.ours < keys.peers {
            return Err(reject(RejectCode::Superseded, "both ends created a session; ours stands"));
        }
        if self.instances.lock().note(peer, hello.instance) {
            end_former(sessions, hello.instance);
        }
        if sessions.len() >= self.limits().sessions_per_peer {
            evict_longest_detached(sessions)?;
        }
        let session = self.session(hello.session, (peer, label), Side::Acceptor, hello.params);
        sessions.push(Registered {
            session: session.clone(),
            since: Instant::now(),
            instance: Some(hello.instance),
        });
        drop(registered);
        let dialer = Box::new(Dialer::new(self.context.clone(), peer, Side::Acceptor));
        self.drive(session.clone(), dialer);
        Ok(session)
    }

    fn attach(
        &self,
        session: SessionHandle,
        hello: &Hello,
        version: u64,
    ) -> Result<Admitted, Reject> {
        let (side, generation) = session.with(|core, _| (core.session.side(), core.generation));
        if side == dialing_side(hello.lane) {
            return Err(reject(RejectCode::Superseded, "this session was created by us"));
        }
        // Only the initiator's processes count: an acceptor that dials has its number of the last lane.
        if side == Side::Acceptor && hello.generation < generation {
            let detail = "a newer generation of the session has attached";
            return Err(reject(RejectCode::Stale, detail));
        }
        let lanes = |s: &SessionHandle| s.with(|core, _| core.lane_count());
        let of_peer: usize = self.with_peer(session.peer()).iter().map(lanes).sum();
        let limit = self.limits().lanes_per_session;
        // Of two sessions, while one takes the place of the other.
        let reserved = match of_peer < limit.saturating_mul(2) {
            true => session.reserve(hello.lane, limit),
            false => None,
        };
        let Some(reservation) = reserved else {
            let detail = "too many lanes, or a lane number used twice";
            return Err(reject(RejectCode::Limit, detail));
        };
        let locators = self.context.own_locators();
        let params = session.with(|core, _| {
            core.generation = core.generation.max(hello.generation);
            core.session.set_locators(locators);
            core.session.params()
        });
        self.give_up_own_attempts(&session);
        let welcome = Welcome { version, params };
        Ok(Admitted { session, reservation, welcome })
    }

    /// Gives up the sessions that we try to create with a peer whose own session is admitted: one is
    /// enough, and its acceptor dials where its initiator cannot.
    fn give_up_own_attempts(&self, admitted: &SessionHandle) {
        let is_own_attempt = |s: &SessionHandle| {
            s.side() == Side::Initiator && !s.is_established() && s.id() != admitted.id()
        };
        for session in self.with_peer(admitted.peer()).into_iter().filter(is_own_attempt) {
            session.lose("the peer's session was first");
        }
    }
}

/// Ends the sessions that earlier processes of the peer had: nobody is left to resume them, and what they
/// hold open here would stay for the linger time. Of a session that we initiated and of which the peer dialed
/// no lane its process is not known; its lanes are asked, and where that is another one they are reset.
fn end_former(sessions: &mut Vec<Registered>, instance: u64) {
    let is_former = |r: &mut Registered| r.instance.is_some_and(|known| known != instance);
    for former in sessions.extract_if(.., is_former) {
        // Outside the registry's lock: the session's waiters may come back to us.
        tokio::spawn(async move {
            former.session.lose("the peer's process ended: the peer was started anew");
        });
    }
    for session in sessions.iter().filter(|r| r.instance.is_none()).map(|r| r.session.clone()) {
        tokio::spawn(async move { session.probe_lanes().await });
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
