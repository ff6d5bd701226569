//! What goes wrong, and the healing.

use rand::Rng;
use throughline_proto::plan::Planner;
use throughline_proto::selection::Cost;
use throughline_proto::types::LaneId;

use super::network::{Road, any_road};
use super::{SimEvent, World, host};
use crate::link::Nanos;
use crate::plan::{Misfortune, Recovery};

impl World {
    fn any_lane(&mut self, side: usize) -> Option<LaneId> {
        let alive: Vec<LaneId> =
            self.lanes.iter().filter(|(_, l)| l.attached[side]).map(|(id, _)| *id).collect();
        (!alive.is_empty()).then(|| alive[self.rng.random_range(0..alive.len())])
    }

    pub(super) fn strike(&mut self, index: usize) {
        let misfortune = self.plan.misfortunes[index].1;
        self.say(|| format!("{misfortune:?}"));
        self.plan_soon();
        match misfortune {
            Misfortune::Hole { directions, duration } => self.silence_lane(directions, duration),
            Misfortune::UplinkHole { directions, duration } => {
                self.silence(|road, hit| road.0 == hit.0, directions, duration);
            }
            Misfortune::RemoteHole { directions, duration } => {
                self.silence(|road, hit| road.1 == hit.1, directions, duration);
            }
            Misfortune::Crosswise { duration } => {
                self.silence(|road, hit| road.0 == hit.0 || road.1 == hit.1, 3, duration);
            }
            Misfortune::Narrow { duration } => {
                let (uplink, until) = (self.any_road().0, self.now + duration);
                self.network.narrow(|road| road.0 == uplink, until);
            }
            Misfortune::Weather => {
                let road = self.any_road();
                self.network.weather(road, self.plan.rough, &mut self.rng);
            }
            Misfortune::AddressLost { duration, other } => self.lose_address(duration, other),
            Misfortune::Renumber { old_duration } => self.renumber(old_duration),
            Misfortune::DrainUplink { duration } => self.drain_uplink(duration),
            Misfortune::PeerDrains { duration } => self.drain_remote(duration),
            Misfortune::Kill { side, notify_peer } => {
                if let Some(id) = self.any_lane(side) {
                    self.die(id, side, notify_peer);
                }
            }
            Misfortune::FalseAlarm { side } => self.alarm(side),
            Misfortune::Loses { side, lossy } => self.seem_lossy(side, lossy),
            Misfortune::Use { side, cost, draining } => self.advertise_use(side, cost, draining),
            Misfortune::Outage { duration } => self.outage(duration),
            Misfortune::Sleep { side, duration } => self.sleeps[side].extend(self.now, duration),
            Misfortune::Fails(failure, side) => self.fails(failure, side),
            Misfortune::Restart { side } => self.restart(side),
            Misfortune::Close { side } => self.close(side),
            Misfortune::HandOver { .. } => self.begin_hand_over(index),
        }
    }

    /// The road of a lane goes silent.
    fn silence_lane(&mut self, directions: u8, duration: Nanos) {
        if let Some(hit) = self.any_lane(0).map(|id| self.lanes[&id].road(0)) {
            let until = self.now + duration;
            self.network.silence(|road| *road == hit, directions, until);
        }
    }

    /// Roads go silent that share with a drawn one what `shares` says.
    fn silence(&mut self, shares: impl Fn(&Road, Road) -> bool, directions: u8, duration: Nanos) {
        let (hit, until) = (self.any_road(), self.now + duration);
        self.network.silence(|road| shares(road, hit), directions, until);
    }

    fn lose_address(&mut self, duration: Nanos, other: bool) {
        let uplink = self.any_road().0;
        self.network.unlist(uplink);
        self.addresses_changed();
        self.recover_after(duration, Recovery::Address { uplink, other });
    }

    fn renumber(&mut self, old_duration: Nanos) {
        let uplink = self.any_road().0;
        self.network.list(uplink, true, true);
        self.recover_after(old_duration, Recovery::Expire { uplink });
    }

    fn drain_uplink(&mut self, duration: Nanos) {
        let uplink = self.any_road().0;
        self.network.drain(uplink, true);
        self.recover_after(duration, Recovery::Resume { uplink });
    }

    fn drain_remote(&mut self, duration: Nanos) {
        let remote = self.any_road().1;
        self.peer_drains(remote, true);
        self.recover_after(duration, Recovery::PeerResumes { remote });
    }

    fn alarm(&mut self, side: usize) {
        if let Some(id) = self.any_lane(side) {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.ends[side].sensor.set_alarm(true);
            }
            self.queue_timer(id, side);
        }
    }

    fn seem_lossy(&mut self, side: usize, lossy: bool) {
        let now = self.now;
        if let Some(id) = self.any_lane(side)
            && let Some(lane) = self.lanes.get_mut(&id)
        {
            lane.ends[side].sensor.set_lossy(now, lossy);
        }
    }

    fn advertise_use(&mut self, side: usize, cost: u8, draining: bool) {
        if let Some(lane) = self.any_lane(side) {
            let (instant, cost) = (self.instant(), Cost::from_wire(cost));
            self.hosts[side].session.advertise_use(instant, lane, cost, draining);
        }
    }

    fn close(&mut self, side: usize) {
        self.hosts[side].session.close(7, "closed by plan");
        self.process_events();
        // The other end learns it from the lane, or from whoever dials it next.
        self.replace_later();
    }

    fn recover_after(&mut self, duration: Nanos, recovery: Recovery) {
        self.at(self.now + duration, SimEvent::Recover(recovery));
    }

    fn any_road(&mut self) -> Road {
        any_road(&self.network, &mut self.rng)
    }

    pub(super) fn recover(&mut self, recovery: Recovery) {
        if self.healed {
            return;
        }
        self.say(|| format!("{recovery:?}"));
        match recovery {
            Recovery::Address { uplink, other } => self.network.list(uplink, other, false),
            Recovery::Expire { uplink } => self.network.expire(uplink),
            Recovery::Resume { uplink } => self.network.drain(uplink, false),
            Recovery::PeerResumes { remote } => self.peer_drains(remote, false),
        }
        self.addresses_changed();
        self.plan_soon();
    }

    /// The initiator's monitors are asked at once: an address came or went.
    pub(super) fn addresses_changed(&mut self) {
        let instant = self.instant();
        self.planner.network_changed(instant);
        let attached = self.lanes.iter().filter(|(_, lane)| lane.attached[0]);
        for id in attached.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.queue_timer(id, 0);
        }
    }

    pub(super) fn peer_drains(&mut self, remote: usize, draining: bool) {
        let instant = self.instant();
        self.network.peer_drains[remote] = draining;
        for (id, lane) in &self.lanes {
            if lane.attached[1] && lane.road(1).1 == remote {
                self.hosts[1].session.advertise_use(instant, *id, Cost::FREE, draining);
            }
        }
    }

    fn outage(&mut self, duration: Nanos) {
        self.outage_until = self.outage_until.max(self.now + duration);
        self.network.silence(|_| true, 3, self.outage_until);
        for id in self.lanes.keys().copied().collect::<Vec<_>>() {
            for side in 0..2 {
                self.die(id, side, false);
            }
        }
    }

    /// One end is replaced; the survivor learns it and begins anew as well.
    fn restart(&mut self, side: usize) {
        self.outage(0);
        self.hosts[1 - side].session.handle_session_lost("peer restarted");
        self.process_events();
        self.begin_anew(Some(side));
    }

    fn replace_later(&mut self) {
        self.outage(0);
        for side in 0..2 {
            self.hosts[side].session.handle_session_lost("closed by the peer");
        }
        self.process_events();
        self.begin_anew(None);
    }

    /// Lets the applications of lost flows see the error, then makes two new sessions.
    fn begin_anew(&mut self, vanished: Option<usize>) {
        let instant = self.instant();
        for run in self.flows.iter_mut().filter(|run| run.id.is_some()) {
            run.lost |= !(run.forgotten[0] && run.forgotten[1]);
            for side in 0..2 {
                let session = &mut self.hosts[side].session;
                let Some(id) = run.id else { continue };
                if vanished == Some(side) {
                    // Its applications vanish with it.
                    run.apps[side].take_if(|app| !app.is_done());
                    continue;
                }
                let Some(app) = &mut run.apps[side] else {
                    session.drop_reader(instant, id);
                    session.drop_writer(instant, id);
                    continue;
                };
                app.plan.reading.pause = 0;
                for _ in 0..200_000 {
                    app.write(instant, session, &mut self.rng);
                    app.read(instant, session, &mut self.rng);
                    if app.is_done() {
                        break;
                    }
                }
                assert!(app.is_done(), "an application hangs although its session is over");
            }
        }
        self.process_events();
        for side in 0..2 {
            let session = &self.hosts[side].session;
            if vanished != Some(side) {
                assert_eq!(session.flows().count(), 0, "a flow outlives its session");
                assert_eq!(self.hosts[side].memory.used(), 0, "memory outlives its session");
                assert!(session.next_timeout().is_none(), "a timer outlives its session");
            }
            let memory = self.hosts[side].memory.clone();
            self.hosts[side] = host(&self.plan, side);
            assert_eq!(memory.used(), 0, "a session that is dropped keeps memory");
        }
        self.era += 1;
        self.by_id.clear();
        for id in std::mem::take(&mut self.dials).into_keys() {
            self.die(id, 0, false);
        }
        self.planner = Planner::new(self.seed);
        self.plan_soon();
        for run in self.flows.iter_mut().filter(|run| run.lost) {
            if let Some(opener) = run.apps[run.plan.opener].take_if(|app| !app.is_done()) {
                panic!("{opener:?}");
            }
        }
    }

    pub(super) fn heal(&mut self) {
        let over_at = self.outage_until.max(self.awake_at());
        if self.now < over_at {
            return self.at(over_at, SimEvent::Heal);
        }
        self.healed = true;
        self.say(|| "everything heals".to_owned());
        self.network.heal();
        for remote in 0..self.network.remotes() {
            self.peer_drains(remote, false);
        }
        self.addresses_changed();
        self.plan_soon();
    }
}
