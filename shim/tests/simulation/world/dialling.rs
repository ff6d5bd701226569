//! Lanes: dialled by the initiator, attached at each end in its own time, and their deaths.

use std::collections::BTreeMap;

use rand::Rng;
use throughline::LaneId;
use throughline::state::session::LaneInfo;
use throughline::vocab::wire::control::Decoder;

use super::{Happening, World};
use crate::connection::{End, Frame, Packet};
use crate::link::{Link, MS, Nanos, SEC};
use crate::streams::CONTROL;

/// What a side makes of a segment that comes.
pub(crate) enum Incoming {
    /// Its header is not complete.
    Head(Vec<u8>),
    Body {
        flow: throughline::FlowId,
        offset: u64,
        resent: bool,
    },
}

pub(crate) struct Lane {
    pub(crate) group: u64,
    pub(crate) cost: u8,
    /// By the side that sends.
    pub(crate) links: [Link; 2],
    pub(crate) ends: [End; 2],
    pub(crate) attached: [bool; 2],
    pub(crate) dead: [bool; 2],
    pub(crate) armed: [Nanos; 2],
    pub(crate) decoders: [Decoder; 2],
    pub(crate) incoming: [BTreeMap<u64, Incoming>; 2],
    /// Frames that came before the end attached the lane.
    pub(crate) early: [Vec<Frame>; 2],
}

impl World {
    pub(super) fn dial_soon(&mut self, after: Nanos) {
        if !self.dial_queued {
            self.dial_queued = true;
            let at = (self.now + after).max(self.outage_until);
            self.at(at, Happening::Dial);
        }
    }

    /// Dials one lane if there are fewer than wanted, and comes back for the next.
    pub(super) fn dial(&mut self) {
        self.dial_queued = false;
        if self.now < self.outage_until {
            return self.dial_soon(0);
        }
        let alive = |lane: &&Lane| !lane.dead[0];
        if self.lanes.values().filter(alive).count() >= self.plan.lanes {
            return;
        }
        let used = |group| self.lanes.values().filter(alive).any(|l| l.group == group);
        let disjoint = (0..3).find(|g| !used(*g)).unwrap_or(0);
        let group = if self.rng.random_bool(0.1) { 0 } else { disjoint };
        let cost = if self.rng.random_bool(0.1) { 200 } else { 0 };
        let (rough, window) = (self.plan.rough && !self.healed, [16_000, 64_000, 256_000]);
        let mut links = [Link::draw(&mut self.rng, rough), Link::draw(&mut self.rng, rough)];
        if self.healed {
            links.iter_mut().for_each(Link::heal);
        }
        let rtt = links[0].delay + links[1].delay;
        let window = window[self.rng.random_range(0..3)];
        let end = |now| End::new(now, window, rtt);
        let id = LaneId(self.next_lane);
        self.next_lane += 1;
        let (hello, welcome) = (self.now + rtt + links[0].delay, self.now + 2 * rtt);
        self.lanes.insert(
            id,
            Lane {
                group,
                cost,
                ends: [end(welcome), end(hello)],
                links,
                attached: [false; 2],
                dead: [false; 2],
                armed: [Nanos::MAX; 2],
                decoders: [Decoder::default(), Decoder::default()],
                incoming: [BTreeMap::new(), BTreeMap::new()],
                early: [Vec::new(), Vec::new()],
            },
        );
        let luck = if self.healed { 1.0 } else { self.rng.random_range(0.0..1.0) };
        self.say(|| format!("dial {id} group {group}, rtt {} ms, luck {luck:.2}", rtt / MS));
        if luck > 0.1 {
            self.at(hello, Happening::Attach { lane: id, side: 1 });
        }
        if luck > 0.2 {
            self.at(welcome, Happening::Attach { lane: id, side: 0 });
        } else {
            self.at(self.now + 3 * SEC, Happening::GiveUp { lane: id });
        }
        let pause = self.rng.random_range(MS..200 * MS);
        self.dial_soon(pause);
    }

    pub(super) fn give_up(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.dead[0] = true;
            self.dial_soon(10 * MS);
        }
    }

    pub(super) fn attach(&mut self, id: LaneId, side: usize) {
        let (now, instant) = (self.now, self.instant());
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| !l.dead[side] && !l.attached[side])
        else {
            return;
        };
        if side == 0 && lane.dead[1] {
            // No Welcome comes.
            return self.at(now + SEC, Happening::GiveUp { lane: id });
        }
        lane.attached[side] = true;
        lane.ends[side].outbox.open(CONTROL, 0);
        let info = LaneInfo { group: lane.group, cost: lane.cost, order: lane.group as u32 };
        let early = std::mem::take(&mut lane.early[side]);
        self.say(|| format!("{side} attaches {id}"));
        self.hosts[side].session.lane_attached(instant, id, info);
        for frame in early {
            self.frame(id, side, frame);
        }
        self.pump(id, side);
    }

    /// An end's connection is over. The other end may be told.
    pub(super) fn die(&mut self, id: LaneId, side: usize, tell: bool) {
        let instant = self.instant();
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| !l.dead[side]) else { return };
        lane.dead[side] = true;
        let attached = std::mem::take(&mut lane.attached[side]);
        self.say(|| format!("{side} loses {id}"));
        if attached {
            self.hosts[side].session.lane_detached(instant, id);
        }
        if tell {
            self.send(id, side, &Packet { number: u64::MAX, frames: vec![Frame::Close] });
        }
        if side == 0 {
            let pause = self.rng.random_range(10 * MS..SEC);
            self.dial_soon(pause);
        }
    }

    /// Puts a packet onto the lane's link.
    pub(super) fn send(&mut self, id: LaneId, side: usize, packet: &Packet) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let arrivals = lane.links[side].carry(self.now, packet.size(), &mut self.rng);
        for at in arrivals.into_iter().flatten() {
            let packet = packet.clone();
            self.at(at, Happening::Arrive { lane: id, side: 1 - side, packet });
        }
    }

    pub(super) fn arm_lane(&mut self, id: LaneId, side: usize) {
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| l.attached[side]) else { return };
        let at = lane.ends[side].next_timeout();
        if at < lane.armed[side] {
            lane.armed[side] = at;
            self.at(at, Happening::LaneTimer { lane: id, side });
        }
    }
}
