//! A session's shared state: the pure [`Session`] under one lock, and the tasks that wait for it.
//!
//! Every task that touches the session (applications, lanes, the driver) calls it through
//! [`SessionHandle::with`], which holds the lock for microseconds, never across an await, and
//! afterwards wakes the tasks that the events name. Bulk bytes pass as shared [`bytes::Bytes`]; nothing
//! is copied and no task stands between an application and its lane.
//!
//! A panic within that call leaves the session half changed, whoever's task it was: the session is marked
//! and its driver ends it. A panic elsewhere ends the lane or the driver that it befell.
//!
//! No task of this module's: the session's driver ([`super::driver`]), its lanes ([`super::lane`]) and
//! the application call it, each from a task of its own.

mod core;
mod entry;
mod notices;
mod reporter;
mod reservation;
pub(crate) mod waiters;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::error;

pub(crate) use self::core::{Core, RedundancyLoss, dialing_side};
pub(crate) use self::entry::{Accepted, Dialed, LaneEntry, LaneKeys, Origin};
use self::notices::NoticeAnswer;
pub(crate) use self::reservation::LaneReservation;
use self::waiters::{FlowWaiters, Wakers};
use crate::engine::allowances::{Allowance, Allowances, USED_UP};
use crate::engine::drains::Drains;
use crate::engine::qlog::Qlogs;
use crate::engine::quic::close;
use crate::engine::totals::Totals;
use crate::events::{EventLog, SessionLog};
use crate::label::PeerLabel;
use throughline_proto::hold_down::HoldState;
use throughline_proto::panics::{Panicked, catch_call};
use throughline_proto::selection::{Charge, Cost};
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
    /// A panic came in the middle of a change to the session.
    broken_by_panic: AtomicBool,
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
    /// The node's count of changes of its lanes, for those who watch them: of their states and paths as well.
    pub(crate) lane_changes: watch::Sender<u64>,
    pub(crate) events: EventLog,
    pub(crate) drains: Drains,
    pub(crate) allowances: Allowances,
    pub(crate) totals: Totals,
    pub(crate) qlogs: Qlogs,
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
        label: Arc<PeerLabel>,
        session: Session,
        context: SessionContext,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            peer,
            core: Mutex::new(Core::new(session)),
            driver: Arc::new(Notify::new()),
            phase: watch::Sender::new(Phase::Connecting),
            broken_by_panic: AtomicBool::new(false),
            log: SessionLog::new(context.events.clone(), label, id),
            context,
        }))
    }

    pub(crate) fn id(&self) -> SessionId {
        self.0.id
    }

    /// Returns the number by which the node knows the peer, whatever its keys are now.
    pub(crate) fn peer(&self) -> PeerId {
        self.0.peer
    }

    /// Returns the key by which the peer is known to whoever uses the node.
    pub(crate) fn peer_key(&self) -> PeerId {
        self.0.log.label().key()
    }

    /// Returns what the peer is called here, as it is configured now.
    pub(crate) fn name(&self) -> PeerName {
        self.0.log.peer()
    }

    /// Returns where the session's events are emitted.
    pub(crate) fn log(&self) -> &SessionLog {
        &self.0.log
    }

    /// Returns whether an uplink of ours is drained, or may not be used any more.
    pub(crate) fn is_drained(&self, uplink: &str) -> bool {
        self.0.context.drains.contains(uplink) || self.is_forbidden(uplink)
    }

    /// Returns whether an uplink of ours may not be used.
    pub(crate) fn is_forbidden(&self, uplink: &str) -> bool {
        self.0.context.allowances.forbids(uplink)
    }

    /// Returns what a lane costs at our end: of one that the peer dialed, what its uplink's allowance says.
    pub(crate) fn cost_of(&self, lane: &LaneEntry) -> Cost {
        let is_for_thin_flows =
            |uplink| self.0.context.allowances.of(uplink) == Allowance::ThinFlows;
        match lane.dialed() {
            Some(dialed) => dialed.cost,
            None if lane.uplink().is_some_and(is_for_thin_flows) => {
                Cost::of_charge(0, Charge::ThinFlows, HoldState::Normal)
            }
            None => Cost::FREE,
        }
    }

    /// Closes the lanes over an uplink that may not be used: whatever they carry goes over others, or waits.
    pub(crate) fn end_forbidden_lanes(&self, uplink: &str) {
        self.with(|core, _| {
            for lane in core.lanes.values_mut().filter(|lane| lane.uplink() == Some(uplink)) {
                lane.end(close::REPLACED, USED_UP);
            }
        });
    }

    /// Advertises how each lane that the peer dialed is to be used, as its uplink is now: metered,
    /// drained.
    pub(crate) fn advertise_uses(&self) {
        self.with(|core, now| {
            let Core { session, lanes, .. } = core;
            // How a dialed lane is to be used is for the planner to decide.
            for (id, lane) in lanes.iter().filter(|(_, lane)| lane.dialed().is_none()) {
                let draining = lane.uplink().is_some_and(|uplink| self.is_drained(uplink));
                session.advertise_use(now, *id, self.cost_of(lane), draining);
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

    /// Has the driver probe every lane, whether the process is still there that they lead to: at once, or
    /// when the last such probes are long enough ago.
    pub(crate) async fn probe_lanes(&self) {
        let asked_at = Instant::now();
        loop {
            let answer = self.with(|core, now| {
                let answer = core.notices.answer(asked_at, now);
                core.may_be_restarted |= answer == NoticeAnswer::Probe;
                answer
            });
            match answer {
                NoticeAnswer::Probe => return self.wake_driver(),
                NoticeAnswer::Answered => return,
                NoticeAnswer::NotBefore(at) => tokio::time::sleep_until(at.into()).await,
            }
        }
    }

    /// Returns whose qlog is read on the node.
    pub(crate) fn qlogs(&self) -> &Qlogs {
        &self.0.context.qlogs
    }

    /// Returns the totals of the node.
    pub(crate) fn totals(&self) -> &Totals {
        &self.0.context.totals
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
            let unwinding = PanicMark(&self.0);
            let result = f(&mut core, Instant::now());
            core.grant_streams_for_flows();
            let had_locators = core.locators_changed;
            let over = core.dispatch(&mut wakers, &mut incoming);
            // Locators once for each change: the dialer takes them when it dials, and an acceptor may stand by.
            let asked = std::mem::take(&mut core.wakes_driver);
            if core.rearm() || asked || (core.locators_changed && !had_locators) {
                self.0.driver.notify_one();
            }
            std::mem::forget(unwinding);
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

    /// Sends nothing more, dials nothing, and announces no flow, until [`thaw`](Self::thaw).
    pub(crate) fn freeze(&self) {
        self.with(|core, _| core.session.mute());
    }

    /// Goes on where nobody took the session over.
    pub(crate) fn thaw(&self) {
        self.with(|core, _| core.session.unmute());
        self.wake_driver();
    }

    /// Announces a flow that the peer opened while another process had the session.
    pub(crate) fn announce(&self, flow: FlowId) {
        self.0.context.incoming.flow_opened(self, flow);
    }

    /// Makes the session one that was begun in another process, and established there or not.
    pub(crate) fn take_over(&self, generation: u64, next_lane: u64, is_established: bool) {
        self.with(|core, _| (core.generation, core.next_lane) = (generation, next_lane));
        if is_established {
            self.0.phase.send_replace(Phase::Established);
        }
    }

    /// Ends every lane, those that are still being set up included: another process has the session.
    pub(crate) fn leave(&self) {
        self.with(|core, _| {
            core.has_left = true;
            core.lanes.values_mut().for_each(LaneEntry::end_as_handed_over);
        });
        self.wake_driver();
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
        self.lanes_changed();
        self.0.driver.notify_one();
    }

    /// Tells those who follow the changes among the node's sessions that a lane came, went, or comes from
    /// another address.
    pub(crate) fn lanes_changed(&self) {
        self.0.context.changes.send_modify(|count| *count += 1);
        self.lane_states_changed();
    }

    /// Tells those who watch the node's lanes that one is suspected or answers again, or is on another path or
    /// uplink.
    pub(crate) fn lane_states_changed(&self) {
        self.0.context.lane_changes.send_modify(|count| *count += 1);
    }

    /// Gives the session up: its flows end with this reason, its lanes close.
    pub(crate) fn lose(&self, reason: &str) {
        self.with(|core, _| core.session.handle_session_lost(reason));
    }

    /// Returns whether a task panicked in the middle of a change to the session, so that nothing that the
    /// session says may be relied on.
    pub(crate) fn is_broken_by_panic(&self) -> bool {
        self.0.broken_by_panic.load(Ordering::Relaxed)
    }

    /// Gives up a session that a panic may have left half changed. Should that panic too, every task that
    /// waits is woken all the same, and finds the session closed.
    pub(crate) fn lose_after_panic(&self, panicked: &Panicked) {
        let reason = format!("internal error: {panicked}");
        error!(peer = %self.name(), session = %self.id(), "session over: {reason}. Please report this");
        if catch_call(|| self.lose(&reason)).is_ok() {
            return;
        }
        let mut wakers = Wakers::default();
        for waiters in self.0.core.lock().flows.values_mut() {
            wakers.take(Some(waiters), FlowWaiters::all);
        }
        wakers.wake();
        self.end(reason);
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

/// Marks the session as broken when it is dropped, which only a panic does; the session's driver then
/// ends it.
struct PanicMark<'a>(&'a Inner);

impl Drop for PanicMark<'_> {
    fn drop(&mut self) {
        self.0.broken_by_panic.store(true, Ordering::Relaxed);
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
