//! Lanes come, go, fall under suspicion and prove alive; flows follow.

use std::time::{Duration, Instant};

use super::lane::{Lane, LaneInfo};
use super::select::{self, Candidate};
use super::{Event, Session};
use crate::flow::Flow;
use crate::lane::Health;
use crate::types::{FlowId, LaneId, Mode};
use crate::wire::control::Message;

impl Session {
    /// A lane has been set up. All flows are stated on it; it carries bytes once the peer has
    /// stated its own ([`Message::EndOfSync`]).
    pub fn lane_attached(&mut self, now: Instant, id: LaneId, info: LaneInfo) {
        self.lane_detached(now, id);
        let mut lane = Lane::new(info);
        // What was said on other lanes may have been lost with them.
        for (other, known) in &self.lanes {
            if known.our_use.is_some() {
                lane.use_words.insert(*other);
            }
            if known.health() != Health::Alive {
                lane.health_words.insert(*other);
            }
        }
        lane.locators_due = self.locators.generation > 0;
        if self.closed.is_some() {
            lane.silence();
            lane.goodbye = self.goodbye.is_some();
        }
        self.lanes.insert(id, lane);
        for flow in self.flow_ids() {
            let dirty = self.flows.get_mut(&flow).is_some_and(|f| {
                f.clock.hasten();
                f.clock.is_dirty()
            });
            match dirty {
                // A change is for every lane: it becomes a version of its own.
                true => self.state_flow(now, flow),
                false => self.state_flow_on(now, flow, &[id]),
            }
        }
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.wake(id, &mut self.events);
        }
    }

    fn flow_ids(&self) -> Vec<FlowId> {
        self.flows.keys().copied().collect()
    }

    /// A lane is gone, with whatever it had not delivered.
    pub fn lane_detached(&mut self, now: Instant, id: LaneId) {
        if self.lanes.remove(&id).is_none() {
            return;
        }
        for lane in self.lanes.values_mut() {
            lane.use_words.remove(&id);
            lane.health_words.remove(&id);
        }
        let mut touched = Vec::new();
        for flow in self.flows.values_mut() {
            let Some(at) = flow.tx.lanes.iter().position(|l| l.lane == id) else { continue };
            flow.tx.lanes.swap_remove(at);
            flow.tx.uncovered = true;
            flow.tx.aside.take_if(|aside| *aside == id);
            flow.clock.hasten();
            touched.push(flow.id);
        }
        for flow in touched {
            self.schedule(now, flow);
            // What was said on that lane may be lost with it.
            if self.flows.get(&flow).is_some_and(|f| !f.clock.is_echoed()) {
                self.state_flow(now, flow);
            }
        }
    }

    /// A lane moved to another path: what it shares with others, and its order, are new. Its cost
    /// is said by [`set_lane_use`](Self::set_lane_use).
    pub fn lane_moved(&mut self, now: Instant, id: LaneId, group: u64, order: u32) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && (lane.info.group, lane.info.order) != (group, order)
        {
            (lane.info.group, lane.info.order) = (group, order);
            self.reconsider(now);
        }
    }

    /// Whether no flow uses the lane, and nothing that it was given waits for the peer's word.
    pub fn lane_is_idle(&self, id: LaneId) -> bool {
        let uses = |flow: &Flow| {
            flow.tx.home == Some(id)
                || flow.tx.second == Some(id)
                || flow.tx.lanes.iter().any(|l| l.lane == id && !l.carried.is_empty())
        };
        !self.flows.values().any(uses)
    }

    /// How many control messages wait for a lane, for whoever wants to know.
    pub fn lane_backlog(&self, id: LaneId) -> usize {
        self.lanes.get(&id).map_or(0, Lane::backlog)
    }

    /// The lanes that carry bytes now, for whoever wants to know.
    pub fn lane_is_up(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(Lane::is_up)
    }

    /// Whether either end says that the lane is about to go.
    pub fn lane_is_draining(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(Lane::draining)
    }

    /// Whether the peer is to be told that the session is over.
    pub fn has_goodbye(&self) -> bool {
        self.goodbye.is_some()
    }

    /// Whether any lane is attached.
    pub fn is_attached(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Closes the session: its flows end with an error, and the peer is told.
    pub fn close(&mut self, code: u64, detail: &str) {
        if self.closed.is_some() {
            return;
        }
        self.goodbye = Some(Message::Close { code, detail: detail.to_owned() }.to_bytes());
        self.end(detail.to_owned());
        for (id, lane) in &mut self.lanes {
            lane.goodbye = true;
            lane.wake(*id, &mut self.events);
        }
    }

    /// The session is over; every flow is told. Nothing is sent any more, and a flow is forgotten
    /// as soon as nobody holds it.
    pub(super) fn end(&mut self, reason: String) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(reason);
        self.timers.clear();
        self.echoes.clear();
        self.hedge_waiting.clear();
        self.echo_at = None;
        self.sweep_at = None;
        self.lanes.values_mut().for_each(Lane::silence);
        for id in self.flow_ids() {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.timer = None;
                flow.tx.buffer.clear();
                flow.tx.lanes.clear();
            }
            self.recount(id);
            self.events.push_back(Event::Broken(id));
            self.maybe_forget(id);
        }
        self.events.push_back(Event::Closed);
    }

    /// The session was lost without a word from the peer: it restarted, or lingered too long.
    pub fn lost(&mut self, reason: &str) {
        self.end(reason.to_owned());
    }

    /// A lane is suspected: what it carries is to be sent again elsewhere, and what follows too.
    pub(super) fn uncover(&mut self, now: Instant, id: LaneId) {
        let mut touched = Vec::new();
        for flow in self.flows.values_mut() {
            let carried = flow.tx.lanes.iter().any(|l| l.lane == id && !l.carried.is_empty());
            flow.tx.uncovered |= carried;
            if carried || flow.tx.home == Some(id) || flow.tx.second == Some(id) {
                touched.push(flow.id);
            }
        }
        for flow in touched {
            self.retire_segments(flow);
            self.schedule(now, flow);
        }
    }

    /// A lane is suspected no more: flows that were displaced from it return if the suspicion was
    /// spurious and the lane is not on probation for another.
    pub(super) fn trusted_again(&mut self, now: Instant, id: LaneId, spurious: bool) {
        let Some(lane) = self.lanes.get(&id) else { return };
        let forgiven = spurious && lane.cost() < select::HELD;
        for tx in self.flows.values_mut().map(|flow| &mut flow.tx) {
            if tx.aside.take_if(|aside| *aside == id).is_some() && forgiven {
                tx.home = Some(id);
            }
        }
        self.reconsider(now);
    }

    /// A lane came up or changed: flows that have something to send may use it.
    pub(super) fn reconsider(&mut self, now: Instant) {
        for flow in self.flow_ids() {
            self.schedule(now, flow);
        }
    }

    /// The lanes as candidates for a flow.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate> + '_ {
        self.lanes.iter().map(|(id, lane)| Candidate {
            id: *id,
            group: lane.info.group,
            landing: lane.info.landing,
            cost: lane.cost(),
            order: lane.info.order,
            synced: lane.synced,
            suspect: lane.is_suspect(),
            draining: lane.draining(),
            lossy: lane.monitor.is_lossy(),
        })
    }

    /// Puts the flow into the queues of the lanes that may have something to send for it.
    pub(super) fn schedule(&mut self, now: Instant, id: FlowId) {
        if self.closed.is_some() {
            return;
        }
        let candidates: smallvec::SmallVec<[Candidate; 8]> = self.candidates().collect();
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let thin = flow.tx.is_thin(now);
        let mode = flow.mode();
        let Some(home) = select::home(&candidates, flow.tx.home) else {
            flow.tx.home = None;
            return;
        };
        let rtt = |id| self.lanes.get(&id).map_or(Duration::ZERO, |lane| lane.rtt);
        let before = flow.tx.home;
        flow.tx.settle(now, home, rtt);
        if before != flow.tx.home && candidates.iter().any(|l| Some(l.id) == before && l.suspect) {
            flow.tx.aside = flow.tx.aside.or(before);
        }
        let twice = mode == Mode::Redundant || (mode == Mode::Auto && thin);
        flow.tx.second = match twice {
            true => select::second(&candidates, home, flow.tx.second),
            false => None,
        };
        let (second, handover) = (flow.tx.second, flow.tx.handover);
        let leaves = |id| second.is_none() && handover.is_some_and(|h| h.uses(now, id));
        let wanted = |lane: &Candidate| {
            lane.id == home
                || Some(lane.id) == second
                || (leaves(lane.id) && select::serves_beside(&candidates, lane.id))
                || (mode == Mode::Bond && select::bonds(&candidates, home, lane.id))
        };
        for candidate in candidates.iter().filter(|c| wanted(c)) {
            let carrier = flow.tx.lane(candidate.id);
            if carrier.queued {
                continue;
            }
            carrier.queued = true;
            if let Some(lane) = self.lanes.get_mut(&candidate.id) {
                if thin {
                    lane.thin.push_back(id);
                    lane.wake(candidate.id, &mut self.events);
                } else {
                    lane.bulk.push_back(id);
                    lane.wake_bulk(candidate.id, &mut self.events);
                }
            }
        }
    }
}
