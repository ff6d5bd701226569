//! What goes wrong, and the healing.

use rand::Rng;
use throughline::LaneId;
use throughline::vocab::wire::fact::LaneUse;

use super::{World, host};
use crate::link::{Link, Nanos, SEC};
use crate::plan::Misfortune;

impl World {
    fn any_lane(&mut self, side: usize) -> Option<LaneId> {
        let alive: Vec<LaneId> =
            self.lanes.iter().filter(|(_, l)| l.attached[side]).map(|(id, _)| *id).collect();
        (!alive.is_empty()).then(|| alive[self.rng.random_range(0..alive.len())])
    }

    pub(super) fn misfortune(&mut self, index: usize) {
        let misfortune = self.plan.misfortunes[index].1;
        self.say(|| format!("{misfortune:?}"));
        match misfortune {
            Misfortune::Hole { directions, lasts } => {
                if let Some(id) = self.any_lane(0) {
                    self.hole(id, directions, lasts);
                }
            }
            Misfortune::UplinkHole { group, directions, lasts } => {
                let all = self.lanes.iter().filter(|(_, l)| l.group == group);
                for id in all.map(|(id, _)| *id).collect::<Vec<_>>() {
                    self.hole(id, directions, lasts);
                }
            }
            Misfortune::Kill { side, tell } => {
                if let Some(id) = self.any_lane(side) {
                    self.die(id, side, tell);
                }
            }
            Misfortune::Outage { lasts } => self.outage(lasts),
            Misfortune::FalseAlarm { side } => {
                if let Some(id) = self.any_lane(side) {
                    let now = self.now;
                    if let Some(lane) = self.lanes.get_mut(&id) {
                        lane.ends[side].sensor.false_alarm(now);
                    }
                    self.queue_timer(id, side);
                }
            }
            Misfortune::Use { side, cost, draining } => {
                if let Some(lane) = self.any_lane(side) {
                    let version = index as u64 + 1;
                    let word = LaneUse { lane, version, cost, draining };
                    let instant = self.instant();
                    self.hosts[side].session.set_lane_use(instant, word);
                }
            }
            Misfortune::Weather => {
                if let Some(id) = self.any_lane(0) {
                    let fresh = [(); 2].map(|()| Link::draw(&mut self.rng, self.plan.rough));
                    if let Some(lane) = self.lanes.get_mut(&id) {
                        lane.links = fresh;
                    }
                }
            }
            Misfortune::Restart { side } => self.restart(side),
            Misfortune::Close { side } => {
                self.hosts[side].session.close(7, "closed by plan");
                self.settle();
                // The other end learns it from the lane, or from whoever dials it next.
                self.replace_later();
            }
        }
    }

    fn hole(&mut self, id: LaneId, directions: u8, lasts: Nanos) {
        let until = self.now + lasts;
        if let Some(lane) = self.lanes.get_mut(&id) {
            for side in 0..2 {
                if directions & (1 << side) != 0 {
                    lane.links[side].hole_until = until;
                }
            }
        }
    }

    fn outage(&mut self, lasts: Nanos) {
        self.outage_until = self.outage_until.max(self.now + lasts);
        for id in self.lanes.keys().copied().collect::<Vec<_>>() {
            self.hole(id, 3, lasts);
            for side in 0..2 {
                self.die(id, side, false);
            }
        }
    }

    /// One end is replaced; the survivor learns it and begins anew as well.
    fn restart(&mut self, side: usize) {
        self.outage(0);
        self.hosts[1 - side].session.lost("peer restarted");
        self.settle();
        self.begin_anew(Some(side));
    }

    fn replace_later(&mut self) {
        self.outage(0);
        for side in 0..2 {
            self.hosts[side].session.lost("closed by the peer");
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
        for run in self.flows.iter_mut().filter(|run| run.lost) {
            if let Some(opener) = run.apps[run.plan.opener].take_if(|app| !app.is_done()) {
                panic!("{opener:?}");
            }
        }
    }

    pub(super) fn heal(&mut self) {
        if self.now < self.outage_until {
            return self.at(self.outage_until, super::Happening::Heal);
        }
        self.healed = true;
        self.say(|| "everything heals".to_owned());
        for lane in self.lanes.values_mut() {
            lane.links.iter_mut().for_each(Link::heal);
        }
        self.dial_soon(SEC / 10);
    }
}
