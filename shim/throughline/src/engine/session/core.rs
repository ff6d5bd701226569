//! What the lock of a session guards.

use std::collections::HashMap;
use std::time::Instant;

use super::entry::LaneEntry;
use super::waiters::{FlowWaiters, Wakers};
use crate::clock::BootTime;
use throughline_proto::session::{Session, SessionEvent};
use throughline_proto::types::{FlowId, LaneId};

/// The pure session, and what belongs to it outside of it.
pub(crate) struct Core {
    pub(crate) session: Session,
    pub(crate) lanes: HashMap<LaneId, LaneEntry>,
    pub(crate) flows: HashMap<FlowId, FlowWaiters>,
    /// The highest generation that attached.
    pub(crate) generation: u64,
    pub(crate) next_lane: u64,
    /// The peer advertises other locators than those that the dialer knows.
    pub(crate) locators_changed: bool,
    /// Since when there is no lane. The peer's clock goes on while we are suspended, so this one does
    /// too.
    pub(crate) detached_since: Option<BootTime>,
    /// The system was suspended, and the driver has not had every lane probed yet.
    pub(crate) was_suspended: bool,
    /// Until when the driver sleeps.
    armed: Option<Instant>,
}

impl Core {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            lanes: HashMap::new(),
            flows: HashMap::new(),
            generation: 0,
            next_lane: 0,
            locators_changed: false,
            detached_since: Some(BootTime::now()),
            was_suspended: false,
            armed: None,
        }
    }

    /// Turns the session's events into wakers to wake; returns why the session is over, if it
    /// is now.
    pub(super) fn dispatch(
        &mut self,
        wakers: &mut Wakers,
        incoming: &mut Vec<FlowId>,
    ) -> Option<String> {
        let mut over = None;
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Incoming(id) => {
                    self.flows.insert(id, FlowWaiters::default());
                    incoming.push(id);
                }
                SessionEvent::Readable(id) => {
                    wakers.take(self.flows.get_mut(&id), FlowWaiters::readable);
                }
                SessionEvent::Writable(id) => {
                    wakers.take(self.flows.get_mut(&id), FlowWaiters::writable);
                }
                SessionEvent::Answered(id) => {
                    wakers.take(self.flows.get_mut(&id), FlowWaiters::answered);
                }
                SessionEvent::Acknowledged(id) => {
                    wakers.take(self.flows.get_mut(&id), FlowWaiters::acknowledged);
                }
                SessionEvent::Broken(id) => wakers.take(self.flows.get_mut(&id), FlowWaiters::all),
                SessionEvent::Forgotten(id) => {
                    wakers.take(self.flows.remove(&id).as_mut(), FlowWaiters::all);
                }
                SessionEvent::Work(id) => {
                    if let Some(lane) = self.lanes.get(&id) {
                        lane.work.notify_one();
                    }
                }
                SessionEvent::Locators => self.locators_changed = true,
                SessionEvent::Closed => {
                    over = self.session.closed().map(str::to_owned);
                }
            }
        }
        over
    }

    /// Returns whether a deadline came closer than the one for which the driver is armed; arms it for
    /// that one.
    pub(super) fn rearm(&mut self) -> bool {
        let next = self.next_deadline();
        let is_closer = next.is_some_and(|at| self.armed.is_none_or(|armed| at < armed));
        if is_closer {
            self.armed = next;
        }
        is_closer
    }

    /// Arms the driver for `at` or an earlier deadline of the session; returns which.
    pub(super) fn arm(&mut self, at: Option<Instant>) -> Option<Instant> {
        self.armed = [at, self.next_deadline()].into_iter().flatten().min();
        self.armed
    }

    /// Notes that the driver is awake: until it [arms](super::SessionHandle::arm) itself again it need not
    /// be woken for a deadline.
    pub(crate) fn disarm(&mut self, now: Instant) {
        self.armed = Some(now);
    }

    /// Returns the next deadline of the session and of its lanes.
    fn next_deadline(&self) -> Option<Instant> {
        [self.session.next_timeout(), self.session.next_lane_check()].into_iter().flatten().min()
    }

    /// Returns the waiters of a flow.
    pub(crate) fn waiters(&mut self, id: FlowId) -> &mut FlowWaiters {
        self.flows.entry(id).or_default()
    }
}
