//! What the parts of a node share: its key, its peers, its sessions.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::driver;
use crate::clock::BootTime;
use crate::engine::dial::Dialer;
use crate::engine::drains::Drains;
use crate::engine::locators;
use crate::engine::quic::tls::PeerSet;
use crate::engine::quic::transport::LaneTransport;
use crate::engine::session::{LaneEntry, SessionHandle, Surroundings};
use crate::events::{EventKind, EventLog, Subject};
use crate::identity::Identity;
use crate::node::router::Router;
use crate::node::{Limits, PeerConfig};
use throughline_proto::flow::memory::Memory;
use throughline_proto::session::{Session, SessionConfig};
use throughline_proto::types::{Locator, PeerId, PeerName, SessionId, Side};
use throughline_proto::wire::hello::SessionParams;
use throughline_uplinks::{Uplink, Uplinks};

/// The window that every flow gets, whatever memory is left.
const INITIAL_WINDOW: u64 = 256 * 1024;

pub(crate) struct NodeShared {
    identity: Identity,
    transport: LaneTransport,
    uplinks: Uplinks,
    pub(crate) limits: Limits,
    memory: Arc<Memory>,
    pub(crate) router: Router,
    pub(crate) allowed: Arc<PeerSet>,
    pub(crate) started: Instant,
    pub(crate) peers: Mutex<HashMap<PeerId, Peer>>,
    /// Peers in the order they were given.
    order: Vec<PeerId>,
    /// What sessions have of us. `changes` grows whenever one comes, is established or goes.
    around: Surroundings,
    shutting_down: AtomicBool,
    /// The addresses we listen on, and others where we can be reached.
    listen: OnceLock<(Vec<SocketAddr>, Vec<SocketAddr>)>,
}

pub(crate) struct Peer {
    pub(crate) config: PeerConfig,
    pub(crate) sessions: Vec<Held>,
    /// Applications that wait for a session.
    waiting: usize,
    /// Why the last dial failed, and since when all do; until one succeeds.
    failing: Option<(Instant, String)>,
}

pub(crate) struct Held {
    pub(crate) session: SessionHandle,
    pub(crate) since: Instant,
}

impl NodeShared {
    pub(crate) fn new(
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
    pub(crate) fn peers(&self) -> &[PeerId] {
        &self.order
    }

    pub(crate) fn peer_config(&self, peer: PeerId) -> Option<PeerConfig> {
        self.peers.lock().get(&peer).map(|p| p.config.clone())
    }

    /// Where we can be reached, told once after the sockets are bound.
    pub(crate) fn set_listen(&self, listen: Vec<SocketAddr>, others: Vec<SocketAddr>) {
        let _ = self.listen.set((listen, others));
    }

    /// Where we can be reached, as it is now.
    pub(crate) fn own_locators(&self) -> Vec<Locator> {
        let Some((listen, others)) = self.listen.get() else { return Vec::new() };
        let ours: Vec<_> = self.uplinks.now().uplinks.iter().flat_map(|u| u.ips()).collect();
        locators::own(others, listen, &ours)
    }

    /// The uplink that an address of ours belongs to.
    pub(crate) fn uplink_of(&self, local: IpAddr) -> Option<String> {
        let snapshot = self.uplinks().now();
        let of = |u: &&Uplink| u.ips().any(|ip| ip == local);
        snapshot.uplinks.iter().find(of).map(|u| u.name.clone())
    }

    pub(crate) fn locators(&self, peer: PeerId) -> Vec<Locator> {
        self.peers.lock().get(&peer).map(|p| p.config.locators.clone()).unwrap_or_default()
    }

    /// Whether an application waits for a session with the peer.
    pub(crate) fn is_wanted(&self, peer: PeerId) -> bool {
        self.peers.lock().get(&peer).is_some_and(|p| p.waiting > 0)
    }

    /// Counts somebody who waits for a session with the peer, until the guard is dropped.
    pub(crate) fn want(self: &Arc<Self>, peer: PeerId) -> Wanted {
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
    pub(crate) fn failing(&self, peer: PeerId) -> Option<(Instant, String)> {
        self.peers.lock().get(&peer).and_then(|p| p.failing.clone())
    }

    /// Follows the coming and going of sessions.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.around.changes.subscribe()
    }

    fn changed(&self) {
        self.around.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::Relaxed);
        self.router.close();
        self.changed();
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Relaxed)
    }

    /// The live sessions with a peer.
    pub(crate) fn sessions(&self, peer: PeerId) -> Vec<SessionHandle> {
        let peers = self.peers.lock();
        let held = peers.get(&peer).into_iter().flat_map(|p| &p.sessions);
        held.filter(|h| !h.session.is_over()).map(|h| h.session.clone()).collect()
    }

    /// The session to open flows in: an established one with lanes, else the latest established,
    /// else none.
    pub(crate) fn usable(&self, peer: PeerId) -> Option<SessionHandle> {
        let sessions = self.sessions(peer);
        // A session that has just been lost is closed a moment before it is over.
        let open = |s: &&SessionHandle| s.with(|core, _| core.session.closed().is_none());
        let established = || sessions.iter().rev().filter(|s| s.is_established()).filter(open);
        let attached = established().find(|s| s.with(|core, _| !core.lanes.is_empty()));
        attached.or_else(|| established().next()).cloned()
    }

    /// For how long no lane to the peer has answered; `None` where one does. A peer that was never
    /// reached is down since its first failed dial; one that only dials us, always.
    pub(crate) fn down_for(&self, peer: PeerId) -> Option<Duration> {
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
    pub(crate) fn initiate(self: &Arc<Self>, peer: PeerId) {
        let mut peers = self.peers.lock();
        let Some(entry) = peers.get_mut(&peer) else { return };
        entry.sessions.retain(|h| !h.session.is_over());
        if !entry.sessions.is_empty() || entry.config.locators.is_empty() {
            return;
        }
        let name = PeerName::from(entry.config.name.as_str());
        let id = SessionId(rand::random());
        let session = self.session(id, peer, name, Side::Initiator, self.params());
        entry.sessions.push(Held { session: session.clone(), since: Instant::now() });
        drop(peers);
        self.drive(session, Some(Dialer::new(self.clone(), peer)));
    }

    /// The machine slept: nothing is known of any lane, and a linger may have run out.
    pub(crate) fn slept(&self, lasted: Duration) {
        self.events().emit(Subject::default(), EventKind::SystemResumed { duration: lasted });
        for session in self.order.iter().flat_map(|peer| self.sessions(*peer)) {
            session.with(|core, _| core.slept = true);
            session.driver_alarm().notify_one();
        }
    }

    pub(crate) fn params(&self) -> SessionParams {
        let flows = self.limits.flows_per_session as u64;
        let share = self.limits.memory / flows.max(1);
        SessionParams {
            linger: self.limits.linger,
            initial_window: share.clamp(16 * 1024, INITIAL_WINDOW),
            max_flows: flows,
        }
    }

    pub(crate) fn session(
        &self,
        id: SessionId,
        peer: PeerId,
        name: PeerName,
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
        session.set_locators(self.own_locators());
        SessionHandle::new(id, peer, name, session, self.around.clone())
    }

    pub(crate) fn drive(self: &Arc<Self>, session: SessionHandle, dialer: Option<Dialer>) {
        let node = Arc::downgrade(self);
        let uplinks = self.uplinks.follow();
        tokio::spawn(async move {
            let (id, peer) = (session.id(), session.peer());
            driver::run(session.clone(), dialer, uplinks).await;
            let reason = session.end_reason().unwrap_or_default();
            session.log().emit(EventKind::SessionOver { reason });
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
pub(crate) struct Wanted {
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
