//! What goes wrong, and the healing.

use rand::Rng;
use throughline_proto::plan::Planner;
use throughline_proto::selection::Cost;
use throughline_proto::types::LaneId;

use super::network::{Road, any_road};
use super::{Happening, World, host};
use crate::link::Nanos;
use crate::plan::Misfortune;

/// What ends a misfortune.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cure {
    /// The uplink has an address again.
    Address { uplink: usize, other: bool },
    /// What is deprecated on the uplink dies.
    Expire { uplink: usize },
    /// Nobody drains the uplink any more.
    Resume { uplink: usize },
    /// The peer takes lanes to the prefix again.
    PeerResumes { remote: usize },
}

impl World {
    fn any_lane(&mut self, side: usize) -> Option<LaneId> {
        let alive: Vec<LaneId> =
            self.lanes.iter().filter(|(_, l)| l.attached[side]).map(|(id, _)| *id).collect();
        (!alive.is_empty()).then(|| alive[self.rng.random_range(0..alive.len())])
    }

    pub(super) fn misfortune(&mut self, index: usize) {
        let misfortune = self.plan.misfortunes[index].1;
        self.say(|| format!("{misfortune:?}"));
        self.plan_soon();
        match misfortune {
            Misfortune::Hole { directions, lasts } => {
                if let Some(road) = self.any_lane(0).map(|id| self.lanes[&id].road(0)) {
                    let until = self.now + lasts;
                    self.network.silence(|r| *r == road, directions, until);
                }
            }
            Misfortune::UplinkHole { directions, lasts } => {
                let (uplink, until) = (self.any_road().0, self.now + lasts);
                self.network.silence(|r| r.0 == uplink, directions, until);
            }
            Misfortune::RemoteHole { directions, lasts } => {
                let (remote, until) = (self.any_road().1, self.now + lasts);
                self.network.silence(|r| r.1 == remote, directions, until);
            }
            Misfortune::Crosswise { lasts } => {
                let ((uplink, remote), until) = (self.any_road(), self.now + lasts);
                self.network.silence(|r| r.0 == uplink || r.1 == remote, 3, until);
            }
            Misfortune::Narrow { lasts } => {
                let (uplink, until) = (self.any_road().0, self.now + lasts);
                self.network.narrow(|r| r.0 == uplink, until);
            }
            Misfortune::AddressLost { lasts, other } => {
                let uplink = self.any_road().0;
                self.network.unlist(uplink);
                self.addresses_changed();
                self.at(self.now + lasts, Happening::Cure(Cure::Address { uplink, other }));
            }
            Misfortune::Renumber { old_lasts } => {
                let uplink = self.any_road().0;
                self.network.list(uplink, true, true);
                self.at(self.now + old_lasts, Happening::Cure(Cure::Expire { uplink }));
            }
            Misfortune::DrainUplink { lasts } => {
                let uplink = self.any_road().0;
                self.network.drain(uplink, true);
                self.at(self.now + lasts, Happening::Cure(Cure::Resume { uplink }));
            }
            Misfortune::PeerDrains { lasts } => {
                let remote = self.any_road().1;
                self.peer_drains(remote, true);
                self.at(self.now + lasts, Happening::Cure(Cure::PeerResumes { remote }));
            }
            Misfortune::Kill { side, tell } => {
                if let Some(id) = self.any_lane(side) {
                    self.die(id, side, tell);
                }
            }
            Misfortune::Outage { lasts } => self.outage(lasts),
            Misfortune::FalseAlarm { side } => {
                if let Some(id) = self.any_lane(side) {
                    if let Some(lane) = self.lanes.get_mut(&id) {
                        lane.ends[side].sensor.set_alarm(true);
                    }
                    self.queue_timer(id, side);
                }
            }
            Misfortune::Loses { side, lossy } => {
                let now = self.now;
                if let Some(id) = self.any_lane(side)
                    && let Some(lane) = self.lanes.get_mut(&id)
                {
                    lane.ends[side].sensor.set_lossy(now, lossy);
                }
            }
            Misfortune::Use { side, cost, draining } => {
                if let Some(lane) = self.any_lane(side) {
                    let instant = self.instant();
                    self.hosts[side].session.advertise_use(
                        instant,
                        lane,
                        Cost::from_wire(cost),
                        draining,
                    );
                }
            }
            Misfortune::Weather => {
                let road = self.any_road();
                self.network.weather(road, self.plan.rough, &mut self.rng);
            }
            Misfortune::Fails(failure, side) => self.fails(failure, side),
            Misfortune::Restart { side } => self.restart(side),
            Misfortune::Close { side } => {
                self.hosts[side].session.close(7, "closed by plan");
                self.settle();
                // The other end learns it from the lane, or from whoever dials it next.
                self.replace_later();
            }
        }
    }

    fn any_road(&mut self) -> Road {
        any_road(&self.network, &mut self.rng)
    }

    pub(super) fn cure(&mut self, cure: Cure) {
        if self.healed {
            return;
        }
        self.say(|| format!("{cure:?}"));
        match cure {
            Cure::Address { uplink, other } => self.network.list(uplink, other, false),
            Cure::Expire { uplink } => self.network.expire(uplink),
            Cure::Resume { uplink } => self.network.drain(uplink, false),
            Cure::PeerResumes { remote } => self.peer_drains(remote, false),
        }
        self.addresses_changed();
        self.plan_soon();
    }

    /// The initiator's monitors are asked at once: an address came or went.
    pub(super) fn addresses_changed(&mut self) {
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

    fn outage(&mut self, lasts: Nanos) {
        self.outage_until = self.outage_until.max(self.now + lasts);
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
        self.settle();
        self.begin_anew(Some(side));
    }

    fn replace_later(&mut self) {
        self.outage(0);
        for side in 0..2 {
            self.hosts[side].session.handle_session_lost("closed by the peer");
        }
        self.settle();
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
        self.settle();
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
        if self.now < self.outage_until {
            return self.at(self.outage_until, Happening::Heal);
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
