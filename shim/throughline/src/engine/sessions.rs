//! The sessions of a node: which there are, how one begins, and what becomes of it when it ends.
//!
//! The one module that knows both a session's state and what drives it: it makes the session, gives
//! its driver a dialer where this end initiates, and forgets it when the driver ends.
//!
//! **Tasks and their owner.** One task per session runs its [`driver`]; it ends when the session is
//! over ([`SessionHandle::lose`], or the protocol's close), and nothing aborts it.

mod admission;
mod changes;
mod handover;
mod instances;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tracing::{Instrument, debug_span};

pub(in crate::engine) use self::admission::Admitted;
pub(crate) use self::handover::HandedOver;
use self::instances::Instances;
use super::context::NodeContext;
use super::dial::Dialer;
use super::driver;
use super::session::{IncomingFlows, SessionContext, SessionHandle};
use crate::clock::BootTime;
use crate::config::Limits;
use crate::events::{EventKind, Subject};
use crate::label::PeerLabel;
use throughline_proto::flow::memory::Memory;
use throughline_proto::panics::catch;
use throughline_proto::session::{Session, SessionConfig};
use throughline_proto::types::{LaneId, PeerId, SessionId, Side};
use throughline_proto::wire::hello::SessionParams;

/// The window of a flow at first, while there is memory: enough for 50 Mbit/s at 40 ms.
const FIRST_WINDOW: u64 = 256 * 1024;

/// The least window that a session promises for every flow, however many share the memory: the first
/// window of TCP is as large (RFC 6928).
const MIN_INITIAL_WINDOW: u64 = 16 * 1024;

/// The sessions of a node, and all that is needed to make another.
pub(crate) struct Sessions {
    pub(crate) context: Arc<NodeContext>,
    incoming: Arc<dyn IncomingFlows>,
    /// The lock is a leaf.
    limits: RwLock<Limits>,
    /// The bytes of all flows.
    memory: Arc<Memory>,
    /// Each peer's part of them; as many as there are peers. The lock is taken before that of the limits.
    parts: Mutex<HashMap<PeerId, Arc<Memory>>>,
    /// By peer, oldest first.
    registered: Mutex<HashMap<PeerId, Vec<Registered>>>,
    /// The processes of the peers.
    instances: Mutex<Instances>,
    shutting_down: AtomicBool,
    /// Another process is about to take the sessions over: no new one begins.
    frozen: AtomicBool,
}

/// A session in the registry.
struct Registered {
    session: SessionHandle,
    since: Instant,
    /// The peer's process that created it, or dialed a lane of it, where the peer did.
    instance: Option<u64>,
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
            parts: Mutex::new(HashMap::new()),
            limits: RwLock::new(limits),
            registered: Mutex::new(HashMap::new()),
            instances: Mutex::default(),
            shutting_down: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
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
        // Whoever watches the lanes of a node that has none is told by nothing else.
        self.context.lane_changes.send_modify(|count| *count += 1);
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
        self.context.peers.ids().into_iter().flat_map(|peer| self.with_peer(peer))
    }

    /// Returns the number of flows in all the live sessions.
    pub(crate) fn live_flows(&self) -> usize {
        self.all().map(|session| session.with(|core, _| core.session.flow_count())).sum()
    }

    /// Returns whether a lane to the peer answers.
    pub(crate) fn is_reached(&self, peer: PeerId) -> bool {
        self.with_peer(peer).iter().any(|session| session.with(|core, _| core.answers()))
    }

    /// Returns the session to open flows in: of the established ones one with a lane that answers, else
    /// one with a lane, else the latest.
    pub(crate) fn usable(&self, peer: PeerId) -> Option<SessionHandle> {
        let sessions = self.with_peer(peer);
        // A session that has just been lost is closed a moment before it is over.
        let open = |s: &&SessionHandle| s.with(|core, _| core.session.closed().is_none());
        let usefulness =
            |s: &&SessionHandle| s.with(|core, _| (core.answers(), !core.lanes.is_empty()));
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
                if core.answers() {
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
        let mut registered = self.registered.lock();
        // Under the lock: whoever removes the peer ends the sessions that are registered afterwards.
        let Some(label) = self.context.peers.label(peer) else { return false };
        if self.context.peers.locators(peer).is_empty() || self.is_frozen() {
            return false;
        }
        let sessions = registered.entry(peer).or_default();
        sessions.retain(|r| !r.session.is_over());
        if !sessions.is_empty() {
            return false;
        }
        let id = SessionId(rand::random());
        let session = self.session(id, (peer, label), Side::Initiator, self.params());
        sessions.push(Registered {
            session: session.clone(),
            since: Instant::now(),
            instance: None,
        });
        drop(registered);
        let dialer = Box::new(Dialer::new(self.context.clone(), peer, Side::Initiator));
        self.drive(session, dialer);
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

    /// Returns the bounds, as they are now.
    pub(crate) fn limits(&self) -> Limits {
        self.limits.read().clone()
    }

    /// Returns what we promise to each peer.
    fn params(&self) -> SessionParams {
        let limits = self.limits();
        let flows = limits.flows_per_session as u64;
        let share = limits.memory / flows.max(1);
        SessionParams {
            linger: limits.linger,
            initial_window: share.clamp(MIN_INITIAL_WINDOW, FIRST_WINDOW),
            max_flows: flows,
        }
    }

    /// Returns the peer's part of the memory, which its sessions share.
    fn memory_of(&self, peer: PeerId) -> Arc<Memory> {
        let part = || Arc::new(Memory::for_peer(self.memory.clone(), self.limits().memory));
        self.parts.lock().entry(peer).or_insert_with(part).clone()
    }

    fn session(
        &self,
        id: SessionId,
        (peer, label): (PeerId, Arc<PeerLabel>),
        side: Side,
        theirs: SessionParams,
    ) -> SessionHandle {
        let session = Session::new(self.session_config(peer, side), theirs);
        self.handle(id, (peer, label), session)
    }

    fn session_config(&self, peer: PeerId, side: Side) -> SessionConfig {
        SessionConfig {
            side,
            params: self.params(),
            max_flows: self.limits().flows_per_session,
            first_window: FIRST_WINDOW,
            memory: self.memory_of(peer),
        }
    }

    fn handle(
        &self,
        id: SessionId,
        (peer, label): (PeerId, Arc<PeerLabel>),
        mut session: Session,
    ) -> SessionHandle {
        session.set_locators(self.context.own_locators());
        let context = SessionContext {
            incoming: self.incoming.clone(),
            changes: self.context.session_changes.clone(),
            lane_changes: self.context.lane_changes.clone(),
            events: self.context.events.clone(),
            drains: self.context.drains.clone(),
            allowances: self.context.allowances.clone(),
            totals: self.context.totals.clone(),
            qlogs: self.context.qlogs.clone(),
        };
        SessionHandle::new(id, peer, label, session, context)
    }

    /// Starts the session's driver.
    fn drive(self: &Arc<Self>, session: SessionHandle, dialer: Box<Dialer>) {
        let sessions = Arc::downgrade(self);
        // A node whose handles are gone goes on for as long as a session that it initiated.
        let initiator = (session.side() == Side::Initiator).then(|| self.clone());
        let uplinks = self.context.uplinks.follow();
        tokio::spawn(async move {
            let (id, peer) = (session.id(), session.peer());
            let span = debug_span!("session", peer = %session.name(), session = %id);
            let driven = catch(driver::run(session.clone(), dialer, uplinks));
            if let Err(panicked) = driven.instrument(span).await {
                session.lose_after_panic(&panicked);
            }
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
