//! A session's shared state: the pure [`Session`] under one lock, and the tasks that wait for it.
//!
//! Every task that touches the session (applications, lanes, the driver) calls it through
//! [`SessionHandle::with`], which holds the lock for microseconds, never across an await, and
//! afterwards wakes the tasks that the events name. Bulk bytes pass as shared [`bytes::Bytes`]; nothing
//! is copied and no task stands between an application and its lane.
//!
//! No task of this module's: the session's driver ([`super::driver`]), its lanes ([`super::lane`]) and
//! the application call it, each from a task of its own.

mod core;
mod entry;
mod reporter;
pub(crate) mod waiters;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

pub(crate) use self::core::Core;
pub(crate) use self::entry::{Accepted, Dialed, LaneEntry, Origin};
use self::waiters::Wakers;
use crate::engine::drains::Drains;
use crate::events::{EventLog, SessionLog};
use throughline_proto::session::Session;
use throughline_proto::types::{FlowId, PeerId, PeerName, SessionId, Side};

/// How far a session is, for those who wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No lane has ever attached.
    Connecting,
    /// A lane has attached at least once; flows may be opened.
    Established,
    /// Over for good, and why.
    Over(String),
}

/// A session; clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct SessionHandle(Arc<Inner>);

struct Inner {
    id: SessionId,
    peer: PeerId,
    core: Mutex<Core>,
    /// Wakes the driver: a deadline came closer, a lane came or became busy.
    driver: Arc<Notify>,
    phase: watch::Sender<Phase>,
    log: SessionLog,
    context: SessionContext,
}

/// What a session uses of its node, and no more: a flow that an application keeps must not keep the
/// node's uplinks watched.
#[derive(Clone)]
pub(crate) struct SessionContext {
    pub(crate) incoming: Arc<dyn IncomingFlows>,
    /// The node's count of changes among its sessions, for those who wait for one.
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) events: EventLog,
    pub(crate) drains: Drains,
}

/// Receives the flows that a peer opens.
pub(crate) trait IncomingFlows: Send + Sync {
    /// Takes a flow that the peer opened in `session`. Called without the session's lock; it must
    /// not block.
    fn flow_opened(&self, session: &SessionHandle, flow: FlowId);
}

impl SessionHandle {
    pub(crate) fn new(
        id: SessionId,
        peer: PeerId,
        name: PeerName,
        session: Session,
        context: SessionContext,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            peer,
            core: Mutex::new(Core::new(session)),
            driver: Arc::new(Notify::new()),
            phase: watch::Sender::new(Phase::Connecting),
            log: SessionLog::new(context.events.clone(), name, id),
            context,
        }))
    }

    pub(crate) fn id(&self) -> SessionId {
        self.0.id
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.0.peer
    }

    /// Returns what the peer is called here.
    pub(crate) fn name(&self) -> &PeerName {
        self.0.log.peer()
    }

    /// Returns where the session's events are emitted.
    pub(crate) fn log(&self) -> &SessionLog {
        &self.0.log
    }

    /// Returns whether an uplink of ours is drained.
    pub(crate) fn is_drained(&self, uplink: &str) -> bool {
        self.0.context.drains.contains(uplink)
    }

    /// Advertises how each lane that the peer dialed is to be used, as its uplink is now: metered,
    /// drained.
    pub(crate) fn advertise_uses(&self) {
        self.with(|core, now| {
            let Core { session, lanes, .. } = core;
            // How a dialed lane is to be used is for the planner to decide.
            for (id, lane) in lanes.iter().filter(|(_, lane)| lane.dialed().is_none()) {
                let draining = lane.uplink().is_some_and(|uplink| self.is_drained(uplink));
                session.advertise_use(now, *id, lane.cost(), draining);
            }
        });
    }

    pub(crate) fn side(&self) -> Side {
        self.0.core.lock().session.side()
    }

    /// Follows how far the session is.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    /// Returns why the session is over, if it is.
    pub(crate) fn end_reason(&self) -> Option<String> {
        match &*self.0.phase.borrow() {
            Phase::Over(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(*self.0.phase.borrow(), Phase::Over(_))
    }

    pub(crate) fn is_established(&self) -> bool {
        matches!(*self.0.phase.borrow(), Phase::Established)
    }

    /// Has the driver look at the session now.
    pub(crate) fn wake_driver(&self) {
        self.0.driver.notify_one();
    }

    /// Returns what wakes the driver.
    pub(crate) fn driver_alarm(&self) -> Arc<Notify> {
        self.0.driver.clone()
    }

    /// Calls `f` with the session, then wakes the tasks that its events name.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let mut wakers = Wakers::default();
        let mut incoming = Vec::new();
        let (result, over) = {
            let mut core = self.0.core.lock();
            let result = f(&mut core, Instant::now());
            let had_locators = core.locators_changed;
            let over = core.dispatch(&mut wakers, &mut incoming);
            // Locators once for each change: only a dialer takes them, and an acceptor has none.
            if core.rearm() || (core.locators_changed && !had_locators) {
                self.0.driver.notify_one();
            }
            (result, over)
        };
        wakers.wake();
        for flow in incoming {
            self.0.context.incoming.flow_opened(self, flow);
        }
        if let Some(reason) = over {
            self.end(reason);
        }
        result
    }

    /// Returns when the driver is to come back, at `at` or at a deadline of the session: it is woken
    /// when one comes closer than that.
    pub(crate) fn arm(&self, at: Option<Instant>) -> Option<Instant> {
        self.0.core.lock().arm(at)
    }

    /// Notes that a lane has attached.
    pub(crate) fn established(&self) {
        self.0.phase.send_if_modified(|phase| {
            let first = *phase == Phase::Connecting;
            if first {
                *phase = Phase::Established;
            }
            first
        });
        self.0.context.changes.send_modify(|count| *count += 1);
        self.0.driver.notify_one();
    }

    /// Gives the session up: its flows end with this reason, its lanes close.
    pub(crate) fn lose(&self, reason: &str) {
        self.with(|core, _| core.session.handle_session_lost(reason));
    }

    fn end(&self, reason: String) {
        self.0.phase.send_if_modified(|phase| {
            let first = !matches!(phase, Phase::Over(_));
            if first {
                *phase = Phase::Over(reason);
            }
            first
        });
        self.0.driver.notify_one();
    }
}

impl std::fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.0.id).finish()
    }
}

#[cfg(test)]
mod tests;
