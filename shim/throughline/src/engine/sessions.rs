//! The sessions of a node: which there are, how one begins, and what becomes of it when it ends.
//!
//! The one module that knows both a session's state and what drives it: it makes the session, gives
//! its driver a dialer where this end initiates, and forgets it when the driver ends.
//!
//! **Tasks and their owner.** One task per session runs its [`driver`]; it ends when the session is
//! over ([`SessionHandle::lose`], or the protocol's close), and nothing aborts it.

mod admission;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{Instrument, debug_span};

use super::context::NodeContext;
use super::dial::Dialer;
use super::driver;
use super::session::{IncomingFlows, SessionContext, SessionHandle};
use crate::clock::BootTime;
use crate::config::Limits;
use crate::events::{EventKind, Subject};
use throughline_proto::flow::memory::Memory;
use throughline_proto::session::{Session, SessionConfig};
use throughline_proto::types::{LaneId, PeerId, SessionId, Side};
use throughline_proto::wire::hello::SessionParams;

/// The window that every flow gets, whatever memory is left.
const INITIAL_WINDOW: u64 = 256 * 1024;

/// The least window that a session promises, however many flows share the memory.
const MIN_INITIAL_WINDOW: u64 = 16 * 1024;

/// The sessions of a node, and all that is needed to make another.
pub(crate) struct Sessions {
    pub(crate) context: Arc<NodeContext>,
    incoming: Arc<dyn IncomingFlows>,
    limits: Limits,
    memory: Arc<Memory>,
    /// By peer, oldest first.
    registered: Mutex<HashMap<PeerId, Vec<Registered>>>,
    shutting_down: AtomicBool,
}

/// A session in the registry.
struct Registered {
    session: SessionHandle,
    since: Instant,
}

impl Sessions {
    pub(crate) fn new(
        context: Arc<NodeContext>,
        incoming: Arc<dyn IncomingFlows>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            context,
            incoming,
            memory: Arc::new(Memory::new(limits.memory)),
            limits,
            registered: Mutex::new(HashMap::new()),
            shutting_down: AtomicBool::new(false),
        })
    }

    /// Follows the changes among the sessions: one comes, is established or goes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.context.session_changes.subscribe()
    }

    fn changed(&self) {
        self.context.session_changes.send_modify(|count| *count += 1);
    }

    /// Makes no session any more, and admits none.
    pub(crate) fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::Relaxed);
        self.changed();
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Relaxed)
    }

    /// Returns the live sessions with a peer.
    pub(crate) fn with_peer(&self, peer: PeerId) -> Vec<SessionHandle> {
        let registered = self.registered.lock();
        let sessions = registered.get(&peer).into_iter().flatten();
        sessions.filter(|r| !r.session.is_over()).map(|r| r.session.clone()).collect()
    }

    /// Returns all the live sessions, in the order of the peers.
    pub(crate) fn all(&self) -> impl Iterator<Item = SessionHandle> {
        self.context.peers.ids().iter().flat_map(|peer| self.with_peer(*peer))
    }

    /// Returns the number of flows in all the live sessions.
    pub(crate) fn live_flows(&self) -> usize {
        self.all().map(|session| session.with(|core, _| core.session.flows().count())).sum()
    }

    /// Returns the session to open flows in: of the established ones one with a lane that answers, else
    /// one with a lane, else the latest.
    pub(crate) fn usable(&self, peer: PeerId) -> Option<SessionHandle> {
        let sessions = self.with_peer(peer);
        // A session that has just been lost is closed a moment before it is over.
        let open = |s: &&SessionHandle| s.with(|core, _| core.session.closed().is_none());
        let usefulness = |s: &&SessionHandle| {
            s.with(|core, _| {
                let answers = core.lanes.keys().any(|id| core.session.lane_is_up(*id));
                (answers, !core.lanes.is_empty())
            })
        };
        // The last of equals: the latest.
        sessions.iter().filter(|s| s.is_established()).filter(open).max_by_key(usefulness).cloned()
    }

    /// Returns for how long no lane to the peer has answered; `None` where one does. A peer that was
    /// never reached is down since its first failed dial; one that only dials us, always.
    pub(crate) fn down_for(&self, peer: PeerId) -> Option<Duration> {
        let sessions = self.with_peer(peer);
        let mut known = Vec::new();
        for session in sessions.iter().filter(|s| s.is_established()) {
            let down = session.with(|core, now| {
                if core.lanes.keys().any(|id| core.session.lane_is_up(*id)) {
                    return None;
                }
                let suspected_for = |id: &LaneId| {
                    let since = core.session.lane_condition(*id)?.suspected_since?;
                    Some(now.saturating_duration_since(since))
                };
                let least = core.lanes.keys().map(|id| suspected_for(id).unwrap_or_default()).min();
                least.or_else(|| core.detached_since.map(BootTime::elapsed))
            });
            known.push(down?);
        }
        if let Some(least) = known.into_iter().min() {
            return Some(least);
        }
        match self.context.peers.failing(peer) {
            Some(failing) => Some(failing.since.elapsed()),
            None if self.context.peers.locators(peer).is_empty() => Some(Duration::MAX),
            None => Some(Duration::ZERO),
        }
    }

    /// Begins a session with the peer, unless there is one or no locator of the peer is known; returns
    /// whether it did.
    pub(crate) fn initiate(self: &Arc<Self>, peer: PeerId) -> bool {
        if self.context.peers.locators(peer).is_empty() {
            return false;
        }
        let mut registered = self.registered.lock();
        let sessions = registered.entry(peer).or_default();
        sessions.retain(|r| !r.session.is_over());
        if !sessions.is_empty() {
            return false;
        }
        let id = SessionId(rand::random());
        let session = self.session(id, peer, Side::Initiator, self.params());
        sessions.push(Registered { session: session.clone(), since: Instant::now() });
        drop(registered);
        let dialer = Dialer::new(self.context.clone(), peer);
        self.drive(session, Some(dialer));
        true
    }

    /// Has every lane probed after the system slept: nothing is known of any, and a session's linger
    /// time may have run out.
    pub(crate) fn resumed_after(&self, duration: Duration) {
        self.context.events.emit(Subject::default(), EventKind::SystemResumed { duration });
        for session in self.all() {
            session.with(|core, _| core.was_suspended = true);
            session.wake_driver();
        }
    }

    /// Returns what we promise to each peer.
    fn params(&self) -> SessionParams {
        let flows = self.limits.flows_per_session as u64;
        let share = self.limits.memory / flows.max(1);
        SessionParams {
            linger: self.limits.linger,
            initial_window: share.clamp(MIN_INITIAL_WINDOW, INITIAL_WINDOW),
            max_flows: flows,
        }
    }

    fn session(
        &self,
        id: SessionId,
        peer: PeerId,
        side: Side,
        theirs: SessionParams,
    ) -> SessionHandle {
        let config = SessionConfig {
            side,
            params: self.params(),
            max_flows: self.limits.flows_per_session,
            memory: self.memory.clone(),
        };
        let mut session = Session::new(config, theirs);
        session.set_locators(self.context.own_locators());
        let context = SessionContext {
            incoming: self.incoming.clone(),
            changes: self.context.session_changes.clone(),
            events: self.context.events.clone(),
            drains: self.context.drains.clone(),
        };
        SessionHandle::new(id, peer, self.context.peers.name(peer), session, context)
    }

    /// Starts the session's driver.
    fn drive(self: &Arc<Self>, session: SessionHandle, dialer: Option<Dialer>) {
        let sessions = Arc::downgrade(self);
        // A node whose handles are gone goes on for as long as a session that it initiated.
        let initiator = dialer.is_some().then(|| self.clone());
        let uplinks = self.context.uplinks.follow();
        tokio::spawn(async move {
            let (id, peer) = (session.id(), session.peer());
            let span = debug_span!("session", peer = %session.name(), session = %id);
            driver::run(session.clone(), dialer, uplinks).instrument(span).await;
            drop(initiator);
            let reason = session.end_reason().unwrap_or_default();
            session.log().emit(EventKind::SessionOver { reason });
            if let Some(sessions) = sessions.upgrade() {
                if let Some(of_peer) = sessions.registered.lock().get_mut(&peer) {
                    of_peer.retain(|r| r.session.id() != id);
                }
                sessions.changed();
            }
        });
        self.changed();
    }
}
