//! What the two ends say to each other of lanes: how they are to be used, that they are in doubt;
//! and where the ends can be reached. Each word has a version, and the latest stands.

use std::time::{Duration, Instant};

use super::lane::Lane;
use super::select::{self, Candidate, Returning};
use super::{Event, Session};
use crate::types::{LaneId, Locator};
use crate::wire::fact::{LaneHealth, LaneUse, Locators};

impl Session {
    /// Tells the peer on every lane what we think of one. On the lane itself as well: it may be
    /// that only large packets, or only the peer's, are lost there, and it may be the only one.
    pub(super) fn tell_health(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.health_version += 1;
        for (on, lane) in &mut self.lanes {
            lane.health_words.insert(id);
            lane.wake(*on, &mut self.events);
        }
    }

    /// Our word on how a lane is to be used; the peer is told on every lane.
    pub fn set_lane_use(&mut self, now: Instant, word: LaneUse) {
        let Some(lane) = self.lanes.get_mut(&word.lane) else { return };
        let before = lane.cost();
        lane.info.cost = word.cost;
        lane.our_use = Some(word);
        for (id, lane) in &mut self.lanes {
            lane.use_words.insert(word.lane);
            lane.wake(*id, &mut self.events);
        }
        self.come_home(now, word.lane, before);
        self.reconsider(now);
    }

    /// Says how a lane is to be used, if that is not what was said last: the one place that
    /// numbers our words. Unsaid, a lane is free and stays.
    pub fn use_lane(&mut self, now: Instant, id: LaneId, cost: u8, draining: bool) {
        let Some(lane) = self.lanes.get(&id) else { return };
        let last = lane.our_use.map_or((0, 0, false), |w| (w.version, w.cost, w.draining));
        if (last.1, last.2) != (cost, draining) {
            self.set_lane_use(now, LaneUse { lane: id, version: last.0 + 1, cost, draining });
        }
    }

    /// A lane's cost was `before`: flows that would rather have it choose it again.
    fn come_home(&mut self, now: Instant, id: LaneId, before: u8) {
        let Some(cost) = self.lanes.get(&id).map(Lane::cost) else { return };
        let who = select::returns(before, cost);
        let candidates: smallvec::SmallVec<[Candidate; 8]> = self.candidates().collect();
        if who == Returning::None || select::home(&candidates, None) != Some(id) {
            return;
        }
        let Self { lanes, flows, .. } = self;
        let rtt = |id| lanes.get(&id).map_or(Duration::ZERO, |lane| lane.rtt);
        for flow in flows.values_mut() {
            if who == Returning::All || flow.tx.is_thin(now) {
                flow.tx.settle(now, id, rtt);
            }
        }
    }

    /// Whether the peer wants the lane drained.
    pub fn peer_drains(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(|l| l.peer_use.is_some_and(|word| word.draining))
    }

    /// Where we can be reached, as it is now; the peer is told on every lane, and on those to come.
    pub fn set_locators(&mut self, list: Vec<Locator>) {
        if list == self.locators.list || self.closed.is_some() {
            return;
        }
        self.locators = Locators { generation: self.locators.generation + 1, list };
        for (id, lane) in &mut self.lanes {
            lane.locators_due = true;
            lane.wake(*id, &mut self.events);
        }
    }

    /// Where the peer says that it can be reached; the latest word, kept while there is no lane.
    pub fn peer_locators(&self) -> &[Locator] {
        &self.peer_locators.list
    }

    /// The peer's word on where it can be reached.
    pub(super) fn peer_says_locators(&mut self, locators: Locators) {
        if locators.generation > self.peer_locators.generation {
            self.peer_locators = locators;
            self.events.push_back(Event::Locators);
        }
    }

    /// The peer's word on how a lane is to be used.
    pub(super) fn peer_lane_use(&mut self, now: Instant, word: LaneUse) {
        let Some(lane) = self.lanes.get_mut(&word.lane) else { return };
        if lane.peer_use.is_none_or(|known| known.version < word.version) {
            let before = lane.cost();
            lane.peer_use = Some(word);
            self.come_home(now, word.lane, before);
            self.reconsider(now);
        }
    }

    pub(super) fn peer_suspects(&mut self, now: Instant, word: LaneHealth) {
        let resent = self.resent_elsewhere(word.lane);
        let Some(lane) = self.lanes.get_mut(&word.lane) else { return };
        if word.version > lane.peer_health_version {
            lane.peer_health_version = word.version;
            let actions = lane.monitor.handle_advertisement(now, word.suspicion, resent);
            self.act(now, word.lane, actions);
        }
    }
}
