//! Lanes: dialed by the initiator, attached at each end in its own time, moved, and their deaths.

use std::collections::BTreeMap;

use rand::Rng;
use throughline_proto::hold_down::HoldState;
use throughline_proto::lane::Condition;
use throughline_proto::path::{Path, PathKey};
use throughline_proto::selection::Cost;
use throughline_proto::session::{HeldWrite, LaneInfo};
use throughline_proto::types::LaneId;
use throughline_proto::wire::VERSION;
use throughline_proto::wire::control::Decoder;

use super::lane::Lane;
use super::network::road;
use super::{SimEvent, World};
use crate::connection::{End, Frame, Packet};
use crate::link::{Nanos, SEC};
use crate::streams::CONTROL;

impl World {
    /// How well a handshake does: badly below 0.1, lost on its way back below 0.2.
    pub(super) fn luck(&mut self) -> f64 {
        if self.healed || self.plan.smooth { 1.0 } else { self.rng.random_range(0.0..1.0) }
    }

    pub(super) fn dial(&mut self, path: &Path) {
        let window = match self.plan.smooth {
            true => 128_000,
            false => [16_000, 64_000, 256_000][self.rng.random_range(0..3)],
        };
        let key = path.key();
        let rtt = self.network.rtt(road(key));
        let id = LaneId(self.next_lane);
        self.next_lane += 1;
        let end = || End::new(self.now, window, rtt);
        self.lanes.insert(
            id,
            Lane {
                key,
                heard_from: key,
                order: path.order,
                metered: path.metered,
                planned: Condition::default(),
                ends: [end(), end()],
                attached: [false; 2],
                dead: [false; 2],
                armed: [Nanos::MAX; 2],
                held: [HeldWrite::default(), HeldWrite::default()],
                decoders: [Decoder::default(), Decoder::default()],
                incoming: [BTreeMap::new(), BTreeMap::new()],
                long: [BTreeMap::new(), BTreeMap::new()],
                long_begun: [0; 2],
                early: [Vec::new(), Vec::new()],
            },
        );
        self.dials.insert(id, key);
        self.report.dials += 1;
        self.say(|| format!("dial {id} {key:?}"));
        self.at(self.now, SimEvent::Handshake { lane: id, attempt: 0 });
    }

    pub(super) fn give_up(&mut self, id: LaneId) {
        if let Some(key) = self.dials.remove(&id) {
            self.planner.dial_ended(key, false);
            self.forsake(id);
            self.plan_soon();
        }
    }

    /// A dial that nobody needs any more.
    pub(super) fn abandon(&mut self, id: LaneId) {
        self.dials.remove(&id);
        self.send(id, 0, &Packet { number: u64::MAX, frames: vec![Frame::Close] });
        self.forsake(id);
    }

    /// The initiator has no such lane. What the acceptor has of it dies by itself.
    fn forsake(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.dead[0] = true;
            if !lane.attached[1] {
                lane.dead[1] = true;
            }
        }
    }

    pub(super) fn attach(&mut self, id: LaneId, side: usize) {
        let (now, instant) = (self.now, self.instant());
        if side == 0 && !self.dials.contains_key(&id) {
            return;
        }
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| !l.dead[side] && !l.attached[side])
        else {
            // It died while it was set up.
            if side == 0 {
                self.give_up(id);
            }
            return;
        };
        if side == 0 && lane.dead[1] {
            // No Welcome comes.
            return self.at(now + SEC, SimEvent::GiveUp { lane: id });
        }
        lane.attached[side] = true;
        lane.ends[side].begin(now);
        lane.ends[side].outbox.open(CONTROL, 0);
        let cost = Cost::of_lane(lane.order, lane.metered, HoldState::Normal);
        let (key, remote) = (lane.key, lane.road(1).1);
        let remote_risk = remote as u64;
        let info = match side {
            0 => LaneInfo {
                local_risk: lane.order.into(),
                remote_risk,
                cost,
                order: lane.order,
                version: VERSION,
            },
            _ => LaneInfo {
                local_risk: lane.road(1).0 as u64,
                remote_risk,
                cost: Cost::FREE,
                order: 0,
                version: VERSION,
            },
        };
        let early = std::mem::take(&mut lane.early[side]);
        self.say(|| format!("{side} attaches {id}"));
        let session = &mut self.hosts[side].session;
        session.handle_lane_attached(instant, id, info);
        match side {
            0 => session.advertise_use(instant, id, cost, false),
            _ => session.advertise_use(instant, id, Cost::FREE, self.network.peer_drains[remote]),
        }
        if side == 0 {
            self.dials.remove(&id);
            self.planner.dial_ended(key, true);
            self.plan_soon();
        }
        for frame in early {
            self.frame(id, side, frame);
        }
        self.pump(id, side);
    }

    /// The initiator moves a lane to another address.
    pub(super) fn migrate(&mut self, id: LaneId, path: &Path) {
        let (now, instant) = (self.now, self.instant());
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| l.attached[0]) else { return };
        assert_eq!(lane.key.remote, path.remote, "a lane cannot move to another locator");
        (lane.key, lane.order, lane.metered) = (path.key(), path.order, path.metered);
        lane.ends[0].moved(now);
        let cost = Cost::of_lane(path.order, path.metered, HoldState::Normal);
        let session = &mut self.hosts[0].session;
        session.advertise_use(instant, id, cost, false);
        session.handle_local_migration(instant, id);
        session.handle_lane_migrated(instant, id, path.order.into(), path.order);
        self.say(|| format!("{id} moves to {:?}", path.key()));
        self.observe(id, 0);
        self.pump(id, 0);
    }

    /// The acceptor hears a lane from elsewhere.
    pub(super) fn heard(&mut self, id: LaneId, from: PathKey) {
        let (now, instant) = (self.now, self.instant());
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| l.heard_from != from) else { return };
        lane.heard_from = from;
        lane.ends[1].moved(now);
        let risk = lane.road(1).0 as u64;
        let session = &mut self.hosts[1].session;
        session.handle_lane_migrated(instant, id, risk, 0);
        self.say(|| format!("1 hears {id} from {from:?}"));
    }

    /// An end's connection is over. The other end may be notified.
    pub(super) fn die(&mut self, id: LaneId, side: usize, notify_peer: bool) {
        let instant = self.instant();
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| !l.dead[side]) else { return };
        lane.dead[side] = true;
        let attached = std::mem::take(&mut lane.attached[side]);
        self.say(|| format!("{side} loses {id}"));
        if attached {
            self.hosts[side].session.handle_lane_detached(instant, id);
        }
        if notify_peer {
            self.send(id, side, &Packet { number: u64::MAX, frames: vec![Frame::Close] });
        }
        if side == 0 {
            self.plan_soon();
        }
    }

    /// Puts a packet onto the road that the end thinks the lane is on.
    pub(super) fn send(&mut self, id: LaneId, side: usize, packet: &Packet) {
        let Some(lane) = self.lanes.get(&id) else { return };
        let key = [lane.key, lane.heard_from][side];
        if !self.network.is_alive(key.local) {
            return;
        }
        let link = self.network.link(road(key), side);
        let arrivals = link.carry(self.now, packet.size());
        for at in arrivals.into_iter().flatten() {
            let packet = packet.clone();
            self.at(at, SimEvent::Arrive { lane: id, side: 1 - side, packet, from: key });
        }
    }

    pub(super) fn arm_lane(&mut self, id: LaneId, side: usize) {
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| l.attached[side]) else { return };
        // A timer that is late fires now: `armed` is compared with the moment at which it does.
        let at = lane.ends[side].next_timeout().max(self.now);
        if at < lane.armed[side] {
            lane.armed[side] = at;
            self.at(at, SimEvent::LaneTimer { lane: id, side });
        }
    }

    /// Forgets lanes that are dead at both ends.
    pub(super) fn bury(&mut self) {
        self.lanes.retain(|_, lane| lane.dead != [true; 2]);
    }
}
