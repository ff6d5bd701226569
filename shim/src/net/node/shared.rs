//! What the parts of a node share: its key, its peers, its sessions.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::info;

use super::router::Router;
use super::{Limits, PeerConfig};
use crate::net::clock::BootTime;
use crate::net::dialer::Dialer;
use crate::net::drains::Drains;
use crate::net::events::{EventKind, EventLog, Subject};
use crate::net::identity::Identity;
use crate::net::lane::LaneEntry;
use crate::net::locators;
use crate::net::session::{SessionHandle, Surroundings, driver};
use crate::net::tls::PeerSet;
use crate::net::transport::LaneTransport;
use crate::net::uplinks::Uplinks;
use crate::state::memory::Memory;
use crate::state::session::{Session, SessionConfig};
use crate::vocab::ids::{PeerId, SessionId, Side};
use crate::vocab::locator::Locator;
use crate::vocab::name::PeerName;
use crate::vocab::wire::VERSION;
use crate::vocab::wire::hello::{Hello, Intent, Offer, Reject, RejectCode, Welcome};

/// The window that every flow gets, whatever memory is left.
const INITIAL_WINDOW: u64 = 256 * 1024;

/// Lanes of one session at the acceptor: the initiator keeps four, and dials anew beside silent
/// ones.
const LANES_PER_SESSION: usize = 16;

/// For so long our own attempt to create a session stands against the peer's, where our key is
/// the smaller one. After that the peer's may come: ours does not get through.
const OURS_STANDS: Duration = Duration::from_secs(3);

pub(crate) struct NodeShared {
    identity: Identity,
    transport: LaneTransport,
    uplinks: Uplinks,
    pub(super) limits: Limits,
    memory: Arc<Memory>,
    pub(super) router: Router,
    pub(super) allowed: Arc<PeerSet>,
    pub(super) started: Instant,
    peers: Mutex<HashMap<PeerId, Peer>>,
    /// Peers in the order they were given.
    order: Vec<PeerId>,
    /// What sessions have of us. `changes` grows whenever one comes, is established or goes.
    around: Surroundings,
    shutting_down: AtomicBool,
    /// The addresses we listen on, and others where we can be reached.
    listen: OnceLock<(Vec<SocketAddr>, Vec<SocketAddr>)>,
}

struct Peer {
    config: PeerConfig,
    sessions: Vec<Held>,
    /// Applications that wait for a session.
    waiting: usize,
    /// Why the last dial failed, and since when all do; until one succeeds.
    failing: Option<(Instant, String)>,
}

struct Held {
    session: SessionHandle,
    since: Instant,
}

impl NodeShared {
    pub(super) fn new(
        identity: Identity,
        uplinks: Uplinks,
        limits: Limits,
        peers: Vec<PeerConfig>,
    ) -> Arc<Self> {
        let order: Vec<PeerId> = peers.iter().map(|p| p.id).collect();
        let router = Router::default();
        let hold = |config: PeerConfig| {
            let peer = Peer { config, sessions: Vec::new(), waiting: 0, failing: None };
            (peer.config.id, peer)
        };
        Arc::new(Self {
            identity,
            transport: LaneTransport::default(),
            uplinks,
            memory: Arc::new(Memory::new(limits.memory)),
            limits,
            router: router.clone(),
            allowed: Arc::new(PeerSet::new(order.iter().copied())),
            started: Instant::now(),
            peers: Mutex::new(peers.into_iter().map(hold).collect()),
            order,
            around: Surroundings {
                router,
                changes: watch::Sender::new(0),
                events: EventLog::default(),
                drains: Drains::default(),
            },
            shutting_down: AtomicBool::new(false),
            listen: OnceLock::new(),
        })
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn transport(&self) -> &LaneTransport {
        &self.transport
    }

    pub(crate) fn uplinks(&self) -> &Uplinks {
        &self.uplinks
    }

    /// What the peer is called here; the beginning of its key where we do not know it.
    pub(crate) fn name(&self, peer: PeerId) -> PeerName {
        let peers = self.peers.lock();
        peers
            .get(&peer)
            .map_or_else(|| peer.short().as_str().into(), |p| p.config.name.as_str().into())
    }

    /// Where events are told.
    pub(crate) fn events(&self) -> &EventLog {
        &self.around.events
    }

    /// The uplinks that are drained.
    pub(crate) fn drains(&self) -> &Drains {
        &self.around.drains
    }

    /// Peers in the order they were given.
    pub(super) fn peers(&self) -> &[PeerId] {
        &self.order
    }

    pub(super) fn peer_config(&self, peer: PeerId) -> Option<PeerConfig> {
        self.peers.lock().get(&peer).map(|p| p.config.clone())
    }

    /// Where we can be reached, told once after the sockets are bound.
    pub(super) fn set_listen(&self, listen: Vec<SocketAddr>, others: Vec<SocketAddr>) {
        let _ = self.listen.set((listen, others));
    }

    /// Where we can be reached, as it is now.
    fn own_locators(&self) -> Vec<Locator> {
        let Some((listen, others)) = self.listen.get() else { return Vec::new() };
        let ours: Vec<_> = self.uplinks.now().uplinks.iter().flat_map(|u| u.ips()).collect();
        locators::own(others, listen, &ours)
    }

    pub(crate) fn locators(&self, peer: PeerId) -> Vec<Locator> {
        self.peers.lock().get(&peer).map(|p| p.config.locators.clone()).unwrap_or_default()
    }

    /// Whether an application waits for a session with the peer.
    pub(crate) fn is_wanted(&self, peer: PeerId) -> bool {
        self.peers.lock().get(&peer).is_some_and(|p| p.waiting > 0)
    }

    /// Counts somebody who waits for a session with the peer, until the guard is dropped.
    pub(super) fn want(self: &Arc<Self>, peer: PeerId) -> Wanted {
        if let Some(p) = self.peers.lock().get_mut(&peer) {
            p.waiting += 1;
        }
        Wanted { node: self.clone(), peer }
    }

    pub(crate) fn reached(&self, peer: PeerId) {
        if let Some(p) = self.peers.lock().get_mut(&peer) {
            p.failing = None;
        }
    }

    pub(crate) fn not_reached(&self, peer: PeerId, error: String) {
        if let Some(p) = self.peers.lock().get_mut(&peer) {
            let since = p.failing.take().map_or_else(Instant::now, |(since, _)| since);
            p.failing = Some((since, error));
        }
    }

    /// Since when every dial to the peer has failed, and why the last one did.
    pub(super) fn failing(&self, peer: PeerId) -> Option<(Instant, String)> {
        self.peers.lock().get(&peer).and_then(|p| p.failing.clone())
    }

    /// Follows the coming and going of sessions.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.around.changes.subscribe()
    }

    fn changed(&self) {
        self.around.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::Relaxed);
        self.router.close();
        self.changed();
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Relaxed)
    }

    /// The live sessions with a peer.
    pub(super) fn sessions(&self, peer: PeerId) -> Vec<SessionHandle> {
        let peers = self.peers.lock();
        let held = peers.get(&peer).into_iter().flat_map(|p| &p.sessions);
        held.filter(|h| !h.session.is_over()).map(|h| h.session.clone()).collect()
    }

    /// The session to open flows in: an established one with lanes, else the latest established,
    /// else none.
    pub(super) fn usable(&self, peer: PeerId) -> Option<SessionHandle> {
        let sessions = self.sessions(peer);
        // A session that has just been lost is closed a moment before it is over.
        let open = |s: &&SessionHandle| s.with(|core, _| core.session.closed().is_none());
        let established = || sessions.iter().rev().filter(|s| s.is_established()).filter(open);
        let attached = established().find(|s| s.with(|core, _| !core.lanes.is_empty()));
        attached.or_else(|| established().next()).cloned()
    }

    /// For how long no lane to the peer has answered; `None` where one does. A peer that was never
    /// reached is down since its first failed dial; one that only dials us, always.
    pub(super) fn down_for(&self, peer: PeerId) -> Option<Duration> {
        let sessions = self.sessions(peer);
        let mut known = Vec::new();
        for session in sessions.iter().filter(|s| s.is_established()) {
            let down = session.with(|core, now| {
                if core.lanes.keys().any(|id| core.session.lane_is_up(*id)) {
                    return None;
                }
                let doubted = |l: &LaneEntry| {
                    l.suspect_since.map_or(Duration::ZERO, |s| now.saturating_duration_since(s))
                };
                let least = core.lanes.values().map(doubted).min();
                least.or_else(|| core.detached_since.map(BootTime::elapsed))
            });
            known.push(down?);
        }
        if let Some(least) = known.into_iter().min() {
            return Some(least);
        }
        match self.failing(peer) {
            Some((since, _)) => Some(since.elapsed()),
            None if self.locators(peer).is_empty() => Some(Duration::MAX),
            None => Some(Duration::ZERO),
        }
    }

    /// Begins a session with the peer, unless there is one.
    pub(super) fn initiate(self: &Arc<Self>, peer: PeerId) {
        let mut peers = self.peers.lock();
        let Some(entry) = peers.get_mut(&peer) else { return };
        entry.sessions.retain(|h| !h.session.is_over());
        if !entry.sessions.is_empty() || entry.config.locators.is_empty() {
            return;
        }
        let name = PeerName::from(entry.config.name.as_str());
        let id = SessionId(rand::random());
        let session = self.session(id, peer, name, Side::Initiator, self.offer());
        entry.sessions.push(Held { session: session.clone(), since: Instant::now() });
        drop(peers);
        self.drive(session, Some(Dialer::new(self.clone(), peer)));
    }

    /// The machine slept: nothing is known of any lane, and a linger may have run out.
    pub(super) fn slept(&self, lasted: Duration) {
        info!(?lasted, "the machine slept; every lane is probed");
        self.events().tell(Subject::default(), EventKind::Slept { lasted });
        for session in self.order.iter().flat_map(|peer| self.sessions(*peer)) {
            session.with(|core, _| core.slept = true);
            session.driver_alarm().notify_one();
        }
    }

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
        if ours.is_some() && self.identity.peer_id() < peer {
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
        let session = self.session(hello.session, peer, name, Side::Acceptor, hello.offer);
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
        let offer = session.with(|core, _| {
            core.generation = hello.generation;
            core.session.set_locators(locators);
            core.session.offer()
        });
        Ok((session, Welcome { version: VERSION, offer }))
    }

    fn offer(&self) -> Offer {
        let flows = self.limits.flows_per_session as u64;
        let share = self.limits.memory / flows.max(1);
        Offer {
            linger: self.limits.linger,
            initial_window: share.clamp(16 * 1024, INITIAL_WINDOW),
            max_flows: flows,
        }
    }

    fn session(
        &self,
        id: SessionId,
        peer: PeerId,
        name: PeerName,
        side: Side,
        theirs: Offer,
    ) -> SessionHandle {
        let config = SessionConfig {
            side,
            offer: self.offer(),
            max_flows: self.limits.flows_per_session,
            memory: self.memory.clone(),
        };
        let mut session = Session::new(config, theirs);
        session.set_locators(self.own_locators());
        SessionHandle::new(id, peer, name, session, self.around.clone())
    }

    fn drive(self: &Arc<Self>, session: SessionHandle, dialer: Option<Dialer>) {
        let node = Arc::downgrade(self);
        let uplinks = self.uplinks.follow();
        tokio::spawn(async move {
            let (id, peer) = (session.id(), session.peer());
            driver::run(session.clone(), dialer, uplinks).await;
            let why = session.end_reason().unwrap_or_default();
            info!(peer = %session.name(), session = %id, "session over: {why}");
            session.log().session(EventKind::SessionOver { why });
            if let Some(node) = node.upgrade() {
                if let Some(entry) = node.peers.lock().get_mut(&peer) {
                    entry.sessions.retain(|h| h.session.id() != id);
                }
                node.changed();
            }
        });
        self.changed();
    }
}

/// See [`NodeShared::want`].
pub(super) struct Wanted {
    node: Arc<NodeShared>,
    peer: PeerId,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        if let Some(p) = self.node.peers.lock().get_mut(&self.peer) {
            p.waiting = p.waiting.saturating_sub(1);
        }
    }
}
