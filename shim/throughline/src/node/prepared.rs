//! A node about to start: everything that may fail is done, and nothing runs.
//!
//! In between it may be given the sessions of another process ([`PreparedNode::restore`]), which goes on
//! until this one [starts](PreparedNode::start). Its endpoints share the other one's sockets and do not
//! read them before.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracing::error;

use super::addresses;
use super::handle::Node;
use super::keepers::Keepers;
use super::listeners::{self, Listeners};
use super::record::NodeRecord;
use super::router::Router;
use crate::clock::BootTime;
use crate::datagrams::DatagramFlow;
use crate::engine::restart::{self, Former};
use crate::engine::session::SessionHandle;
use crate::engine::sessions::{HandedOver, Sessions};
use crate::engine::supervise::supervise;
use crate::engine::upkeep;
use crate::info::FlowInfo;
use crate::stream::{FlowStream, KeepAlive};
use throughline_proto::flow::Opening;
use throughline_proto::snapshot::RestoreError;
use throughline_proto::types::{FlowId, SessionId, Target};

/// How often a successor tries to take over the routes, while its predecessor may still manage them.
const ROUTES_RETRY: Duration = Duration::from_millis(20);

/// For how long it tries: a predecessor that has handed over ends within a second or two.
const ROUTES_PATIENCE: Duration = Duration::from_secs(10);

/// A node that is ready to start; [`NodeBuilder::prepare`](super::NodeBuilder::prepare) makes one.
pub struct PreparedNode {
    pub(super) sessions: Arc<Sessions>,
    pub(super) router: Router,
    pub(super) listeners: Listeners,
    /// What is to be listened on.
    pub(super) wanted: listeners::Prepared,
    pub(super) lane_file: Option<PathBuf>,
    /// It is in the place of another process.
    pub(super) takes_over: bool,
    /// The sessions of another process, once its first record was taken.
    pub(super) handed_over: Option<HandedOver>,
}

impl PreparedNode {
    /// Takes a record of [`FrozenNode::write_records`](super::FrozenNode::write_records), in their order.
    ///
    /// # Errors
    /// The record is of another version or another identity, or damaged.
    pub fn restore(&mut self, record: &[u8]) -> Result<(), RestoreError> {
        let handed_over = self.handed_over.get_or_insert_default();
        if !NodeRecord::is_one(record) {
            return self.sessions.restore(handed_over, record);
        }
        let NodeRecord { id, instance, drained } = NodeRecord::decode(record)?;
        let context = &self.sessions.context;
        if id != context.identity().peer_id() {
            return Err(RestoreError::Contradiction("the key of another identity"));
        }
        context.set_instance(instance);
        context.drains.take_over(drained);
        Ok(())
    }

    /// Says for how long what was restored has stood still already, before this process had it.
    pub fn stood_still_for(&self, duration: Duration) {
        for session in self.handed_over.iter().flat_map(HandedOver::sessions) {
            session.with(|core, _| core.detached_since = Some(BootTime::ago(duration)));
        }
    }

    /// Returns the number of flows that were restored.
    #[must_use]
    pub fn live_flows(&self) -> usize {
        self.sessions.live_flows()
    }

    /// Starts the node; returns it with the flows of the sessions that it was given.
    #[must_use]
    pub fn start(self) -> (Node, HandedOverFlows) {
        let listeners = self.listeners.clone();
        let started = self.start_unread();
        listeners.begin_to_read();
        started
    }

    /// Starts the node as [`start`](Self::start) does, in the place of a process that still closes its lanes: what
    /// arrives at the listening sockets that were that one's waits until `left` completes.
    #[must_use]
    pub fn start_after(
        self,
        left: impl Future<Output = ()> + Send + 'static,
    ) -> (Node, HandedOverFlows) {
        let listeners = self.listeners.clone();
        listeners.set_former_leaves(true);
        let started = self.start_unread();
        listeners.begin_to_read();
        tokio::spawn(async move {
            left.await;
            listeners.set_former_leaves(false);
        });
        started
    }

    fn start_unread(self) -> (Node, HandedOverFlows) {
        let Self { sessions, router, listeners, mut wanted, lane_file, takes_over, handed_over } =
            self;
        let announcers = std::mem::take(&mut wanted.announcers);
        listeners.apply(&sessions, wanted);
        if takes_over {
            tokio::spawn(take_over_routes(Arc::downgrade(&sessions)));
        }
        let former = match handed_over {
            Some(_) => Former::HandedOver,
            None => Former::Ended,
        };
        let mut handed_over = handed_over.unwrap_or_default();
        let restored = handed_over.take_flows();
        handed_over.begin(&sessions);
        let context = &sessions.context;
        let keepers = Keepers::default();
        keepers.follow_peers(&sessions);
        if let Some(path) = lane_file {
            restart::watch(&sessions, path, announcers, former);
        }
        let (weak, uplinks) = (Arc::downgrade(&sessions), context.uplinks.follow());
        tokio::spawn(supervise("the watcher of the clock", move || {
            upkeep::watch_clock(weak.clone(), uplinks.clone())
        }));
        let (uplinks, events) = (context.uplinks.follow(), context.events.clone());
        tokio::spawn(supervise("the reporter of addresses", move || {
            addresses::report(uplinks.clone(), events.clone())
        }));
        let node = Node::new(sessions, router, listeners, keepers);
        let flows = HandedOverFlows {
            sessions: handed_over.sessions().to_vec(),
            restored,
            node: node.keep_alive(),
            claimed: HashSet::new(),
        };
        (node, flows)
    }
}

/// Manages the routes as soon as no other process does, or removes them.
async fn take_over_routes(sessions: Weak<Sessions>) {
    let until = Instant::now() + ROUTES_PATIENCE;
    loop {
        let Some(registry) = sessions.upgrade() else { return };
        match registry.context.uplinks.take_over_routes() {
            Ok(()) => return,
            Err(error) if Instant::now() >= until => {
                if registry.context.uplinks.leave_routes() {
                    error!("routes are not managed from now on: {error}; reload the configuration");
                }
                return;
            }
            Err(_) => {}
        }
        drop(registry);
        tokio::time::sleep(ROUTES_RETRY).await;
    }
}

/// The flows that a node was given. Dropping it ends those that nobody has [claimed](Self::claim): one
/// that a peer waits to have accepted comes in anew, any other is reset.
pub struct HandedOverFlows {
    sessions: Vec<SessionHandle>,
    /// The sessions run already, and have got others since.
    restored: Vec<(SessionHandle, FlowId)>,
    node: KeepAlive,
    claimed: HashSet<(SessionId, FlowId)>,
}

impl HandedOverFlows {
    /// Returns a flow by its [`key`](FlowStream::key), once.
    /// With it comes its destination.
    pub fn claim(&mut self, key: (SessionId, FlowId)) -> Option<(FlowStream, Target)> {
        let (session, info) = self.claim_held(key, false)?;
        let target = info.target.clone();
        Some((FlowStream::new(session, key.1, info, self.node.clone()), target))
    }

    /// Returns a datagram flow by its [`key`](DatagramFlow::key), once. With it comes its destination.
    pub fn claim_datagrams(&mut self, key: (SessionId, FlowId)) -> Option<(DatagramFlow, Target)> {
        let (session, info) = self.claim_held(key, true)?;
        let target = info.target.clone();
        Some((DatagramFlow::new(session, key.1, info, self.node.clone()), target))
    }

    fn claim_held(
        &mut self,
        key: (SessionId, FlowId),
        of_datagrams: bool,
    ) -> Option<(SessionHandle, FlowInfo)> {
        let session = self.sessions.iter().find(|session| session.id() == key.0)?;
        let info = info_of_held(session, key.1)?;
        if info.target.takes_datagrams() != of_datagrams || !self.claimed.insert(key) {
            return None;
        }
        Some((session.clone(), info))
    }
}

/// Returns what is known of a flow that an application held.
fn info_of_held(session: &SessionHandle, id: FlowId) -> Option<FlowInfo> {
    let (target, mode) = session.with(|core, _| {
        let flow = core.session.flow(id).filter(|flow| !flow.is_abandoned())?;
        Some((flow.target().clone(), flow.mode()))
    })?;
    Some(FlowInfo::new(session, target, mode))
}

impl Drop for HandedOverFlows {
    fn drop(&mut self) {
        for (session, id) in std::mem::take(&mut self.restored) {
            if self.claimed.contains(&(session.id(), id)) {
                continue;
            }
            let is_asked = session.with(|core, _| {
                let held = core.session.flow(id).filter(|flow| !flow.is_abandoned());
                held.map(|flow| !flow.local && flow.opening == Opening::Pending)
            });
            match is_asked {
                Some(true) => session.announce(id),
                Some(false) => {
                    let node = self.node.clone();
                    match info_of_held(&session, id) {
                        Some(info) if info.target.takes_datagrams() => {
                            drop(DatagramFlow::new(session, id, info, node));
                        }
                        Some(info) => drop(FlowStream::new(session, id, info, node)),
                        None => {}
                    }
                }
                None => {}
            }
        }
    }
}
