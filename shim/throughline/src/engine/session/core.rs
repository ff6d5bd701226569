//! What the lock of a session guards.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::entry::LaneEntry;
use super::notices::NoticeLimiter;
use super::waiters::{FlowWaiters, Wakers};
use crate::clock::BootTime;
use crate::engine::totals::Totals;
use throughline_congestion::peer_streams;
use throughline_proto::hold_down::FailureDomain;
use throughline_proto::path::PathKey;
use throughline_proto::session::{Session, SessionEvent};
use throughline_proto::types::{FlowId, LaneId, Side};

/// The first number of the lanes that an acceptor dials; an initiator counts from 0. So both ends
/// know of each lane who dialed it, and never choose the same number.
const FIRST_ACCEPTORS_LANE: u64 = 1 << 32;

/// Returns the first number of the lanes that a side dials.
fn first_lane(side: Side) -> u64 {
    match side {
        Side::Initiator => 0,
        Side::Acceptor => FIRST_ACCEPTORS_LANE,
    }
}

/// Returns the side that dials lanes of this number.
pub(crate) fn dialing_side(lane: LaneId) -> Side {
    if lane.0 < FIRST_ACCEPTORS_LANE { Side::Initiator } else { Side::Acceptor }
}

/// A failure domain over which no lane answers, although others do.
#[derive(Clone, Debug)]
pub(crate) struct RedundancyLoss {
    pub(crate) domain: String,
    pub(crate) since: Instant,
    pub(crate) reason: String,
}

/// The pure session, and what belongs to it outside of it.
pub(crate) struct Core {
    pub(crate) session: Session,
    pub(crate) lanes: HashMap<LaneId, LaneEntry>,
    /// Lanes that are admitted and not attached yet.
    pub(super) reserved: BTreeSet<LaneId>,
    pub(crate) flows: HashMap<FlowId, FlowWaiters>,
    /// The number of flows for which the peer may open streams on every lane.
    flows_with_streams: usize,
    /// There was a datagram flow, so that the peer may open streams for long datagrams, too.
    had_datagram_flows: bool,
    /// The highest generation that attached.
    pub(crate) generation: u64,
    pub(crate) next_lane: u64,
    /// The peer advertises other locators than those that the dialer knows.
    pub(crate) locators_changed: bool,
    /// The peer is configured anew: what failed before says nothing of now.
    pub(crate) peer_changed: bool,
    /// The driver is to be woken, although no deadline came closer.
    pub(super) wakes_driver: bool,
    /// Since when there is no lane. The peer's clock goes on while we are suspended, so this one does
    /// too.
    pub(crate) detached_since: Option<BootTime>,
    /// The system was suspended, and the driver has not had every lane probed yet.
    pub(crate) was_suspended: bool,
    /// The peer may have been started anew: every lane is to be probed, and the driver has not done so yet.
    pub(crate) may_be_restarted: bool,
    /// The restart notices that were heard on any of the lanes.
    pub(super) notices: NoticeLimiter,
    /// The paths of dialed lanes that the peer's host answered with a stateless reset (RFC 9000 §10.3): a process
    /// is there again.
    pub(crate) reset_paths: Vec<PathKey>,
    /// The uplinks, and prefixes of the peer, over which no lane answers although others do.
    pub(crate) redundancy_losses: Vec<RedundancyLoss>,
    /// What is held down, and how long each has to answer; known where we dial.
    pub(crate) hold_downs: Vec<(FailureDomain, Duration)>,
    /// The uplink of a lane that failed where no other answered, until a lane has resumed the session.
    pub(crate) outage_of: Option<Option<String>>,
    /// Until when the driver sleeps.
    armed: Option<Instant>,
    /// Flows that came in while the session was mute: whoever it is handed over to is told of them anew.
    held_incoming: Vec<FlowId>,
    /// Another process has the session: nothing is dialed here any more, and no lane attaches.
    pub(crate) has_left: bool,
}

impl Core {
    pub(super) fn new(session: Session) -> Self {
        let next_lane = first_lane(session.side());
        Self {
            session,
            lanes: HashMap::new(),
            reserved: BTreeSet::new(),
            flows: HashMap::new(),
            flows_with_streams: 0,
            had_datagram_flows: false,
            generation: 0,
            next_lane,
            locators_changed: false,
            peer_changed: false,
            wakes_driver: false,
            detached_since: Some(BootTime::now()),
            was_suspended: false,
            may_be_restarted: false,
            notices: NoticeLimiter::default(),
            reset_paths: Vec::new(),
            redundancy_losses: Vec::new(),
            hold_downs: Vec::new(),
            outage_of: None,
            armed: None,
            held_incoming: Vec::new(),
            has_left: false,
        }
    }

    /// Returns whether a lane answers.
    pub(crate) fn answers(&self) -> bool {
        self.lanes.keys().any(|id| self.session.lane_is_up(*id))
    }

    /// Adds what went over the lanes since the last time to the totals of their uplinks.
    pub(crate) fn account(&mut self, totals: &Totals) {
        for (id, lane) in &mut self.lanes {
            lane.account(totals, self.session.lane_suspicions(*id));
        }
    }

    /// Returns whether a lane does not answer.
    pub(crate) fn is_suspect(&self, id: LaneId) -> bool {
        self.session.lane_condition(id).is_some_and(|condition| condition.suspected_since.is_some())
    }

    /// Grants the peer the streams on a lane that was attached.
    pub(crate) fn grant_streams(&self, lane: &LaneEntry) {
        let streams = peer_streams(self.flows_with_streams, self.had_datagram_flows);
        lane.connection.set_max_concurrent_uni_streams(streams);
    }

    /// Grants the peer streams for more flows, on every lane, before the flows need them. What was granted
    /// stays: flows come and go.
    pub(super) fn grant_streams_for_flows(&mut self) {
        let flows = self.session.flow_count();
        let are_first_datagrams = self.session.had_datagram_flows() && !self.had_datagram_flows;
        if flows > self.flows_with_streams || are_first_datagrams {
            self.flows_with_streams = self.flows_with_streams.max(flows.next_power_of_two());
            self.had_datagram_flows |= are_first_datagrams;
            self.lanes.values().for_each(|lane| self.grant_streams(lane));
        }
    }

    /// Returns the number of lanes, with those that are admitted and not attached yet.
    pub(crate) fn lane_count(&self) -> usize {
        let attached = |lane: &&LaneId| self.lanes.contains_key(*lane);
        self.lanes.len() + self.reserved.len() - self.reserved.iter().filter(attached).count()
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
                SessionEvent::UnservedWrite => self.wakes_driver = true,
                SessionEvent::Closed => {
                    over = self.session.closed().map(str::to_owned);
                }
            }
        }
        if self.session.is_muted() {
            self.held_incoming.append(incoming);
        } else if !self.held_incoming.is_empty() {
            incoming.splice(..0, self.held_incoming.drain(..));
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
