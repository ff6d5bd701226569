//! What the ends advertise to each other: how lanes are used, and where the ends can be reached.
//! Each advertisement has a version, and the latest stands. What they advertise of a lane's health
//! is in [`trust`](super::trust).

use std::time::Instant;

use super::advertised::Advertisement;
use super::{Session, SessionEvent, WorkClass};
use crate::selection::{Cost, Demand, Reversion};
use crate::types::{LaneId, Locator};
use crate::wire::fact::{LaneUse, Locators};

impl Session {
    /// Advertises on every lane how one is used, if that is not what was advertised last. This is
    /// the one place that numbers these advertisements. Unadvertised, a lane is free and stays.
    pub fn advertise_use(&mut self, now: Instant, id: LaneId, cost: Cost, draining: bool) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let before = lane.usage.cost();
        if !lane.usage.advertise(id, cost, draining) {
            return;
        }
        for lane in self.lanes.values_mut() {
            lane.outbox.lane_use.insert(id);
            lane.wake(WorkClass::Urgent, &mut self.events);
        }
        self.handle_use_changed(now, id, before);
    }

    /// Takes an advertisement of the peer's, now or when its turn comes.
    pub(super) fn advertised(&mut self, now: Instant, new: Advertisement) {
        let Some(lane) = self.lanes.get(&new.lane()) else { return };
        let is_news = match &new {
            Advertisement::Use(lane_use) => lane.usage.is_news(lane_use),
            Advertisement::Health(health) => health.version > lane.peer_health_version,
        };
        // Each comes on every lane.
        if !is_news {
            return;
        }
        self.advertised.push(new);
        self.take_advertised(now);
    }

    /// Takes as many of the advertisements that wait as may be taken now.
    pub(super) fn take_advertised(&mut self, now: Instant) {
        while let Some(next) = self.advertised.next(now) {
            match next {
                Advertisement::Use(lane_use) => self.handle_peer_lane_use(now, lane_use),
                Advertisement::Health(health) => self.handle_peer_health(now, health),
            }
        }
    }

    /// Takes the peer's advertisement of how a lane is used.
    pub(super) fn handle_peer_lane_use(&mut self, now: Instant, lane_use: LaneUse) {
        let Some(lane) = self.lanes.get_mut(&lane_use.lane) else { return };
        let before = lane.usage.cost();
        if lane.usage.receive(lane_use) {
            self.handle_use_changed(now, lane_use.lane, before);
        }
    }

    /// Lets flows revert to a lane whose cost was `before`, if it is restored, and schedules all.
    fn handle_use_changed(&mut self, now: Instant, id: LaneId, before: Cost) {
        let Some(cost) = self.lanes.get(&id).map(|lane| lane.usage.cost()) else { return };
        let reversion = Reversion::of_change(before, cost);
        if reversion != Reversion::None {
            let candidates = self.candidates();
            for flow in self.flows.values_mut() {
                let demand = Demand { mode: flow.open.mode, thin: flow.tx.is_thin(now) };
                flow.tx.placement.revert(now, id, reversion, &candidates, demand);
            }
        }
        self.schedule_all(now);
    }

    /// Advertises our locators on every lane, and on those to come.
    pub fn set_locators(&mut self, list: Vec<Locator>) {
        if list == self.locators.list || self.closed.is_some() {
            return;
        }
        self.locators = Locators { generation: self.locators.generation + 1, list };
        for lane in self.lanes.values_mut() {
            lane.outbox.locators = true;
            lane.wake(WorkClass::Urgent, &mut self.events);
        }
    }

    /// Returns the peer's locators, as last advertised; they are kept while there is no lane.
    pub fn peer_locators(&self) -> &[Locator] {
        &self.peer_locators.list
    }

    /// Takes the peer's advertisement of its locators.
    pub(super) fn handle_peer_locators(&mut self, locators: Locators) {
        if locators.generation > self.peer_locators.generation {
            self.peer_locators = locators;
            self.events.push_back(SessionEvent::Locators);
        }
    }
}
