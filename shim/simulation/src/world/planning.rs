//! The initiator's hands: the planner is asked, and what it says is done.

use throughline_proto::hold_down::HoldState;
use throughline_proto::path::{Path, PathKey, Prefix};
use throughline_proto::plan::{self, LaneView, PlanInput};
use throughline_proto::selection::Cost;
use throughline_proto::session::LanePlace;
use throughline_proto::types::LaneId;

use super::{SimEvent, World};
use crate::link::{MS, Nanos, SEC};

/// The most lanes that may be attached at once at the initiator: what an acceptor takes.
const MAX_LANES: usize = 16;

impl World {
    pub(super) fn plan_soon(&mut self) {
        if self.plan_at > self.now {
            self.plan_at = self.now;
            self.at(self.now, SimEvent::Plan);
        }
    }

    pub(super) fn plan(&mut self) {
        if self.plan_at != self.now {
            // It was asked since, or is to be asked sooner.
            return;
        }
        self.plan_at = Nanos::MAX;
        let (instant, paths) = (self.instant(), self.network.paths());
        let lanes = self.view();
        assert!(lanes.len() <= MAX_LANES, "{} lanes", lanes.len());
        self.report.most_lanes = self.report.most_lanes.max(lanes.len() as u64);
        let dialing: Vec<PathKey> = self.dials.values().copied().collect();
        let has_demand = self.hosts[0].session.flows().next().is_some();
        let world = PlanInput { paths: &paths, lanes: &lanes, dialing: &dialing, has_demand };
        let plan = self.planner.plan(instant, &world);
        self.say(|| format!("plan {plan:?}"));
        for view in &lanes {
            let hold_state = self.planner.hold_state(instant, view);
            let draining = plan.drain.contains(&view.id);
            let Some(lane) = self.lanes.get(&view.id) else { continue };
            let cost = Cost::of_lane(lane.order, lane.metered, hold_state);
            self.report.held += u64::from(hold_state == HoldState::HeldDown);
            self.hosts[0].session.advertise_use(instant, view.id, cost, draining);
        }
        self.report.moves += plan.migrate.len() as u64;
        self.report.drained += plan.close.iter().filter(|id| self.is_draining(**id)).count() as u64;
        for (id, path) in plan.migrate {
            self.migrate(id, &path);
        }
        for key in plan.abandon {
            let dial = self.dials.iter().find(|(_, k)| **k == key).map(|(id, _)| *id);
            if let Some(id) = dial {
                self.abandon(id);
            }
        }
        for id in plan.close {
            self.die(id, 0, true);
        }
        for path in plan.dial {
            self.dial(&path);
        }
        for path in plan.probe {
            self.probe_path(path.key());
        }
        if let Some(at) = plan.wake_at {
            assert!(at > instant, "to be asked again at once is never to rest");
            let at = at.saturating_duration_since(self.base).as_nanos() as Nanos;
            if at < self.plan_at {
                self.plan_at = at;
                self.at(at, SimEvent::Plan);
            }
        }
    }

    /// Whether the acceptor has heard that the lane drains.
    fn is_draining(&self, id: LaneId) -> bool {
        self.hosts[1].session.peer_drains(id)
    }

    fn view(&self) -> Vec<LaneView> {
        let session = &self.hosts[0].session;
        let attached = self.lanes.iter().filter(|(_, l)| l.attached[0]);
        attached
            .filter_map(|(id, lane)| {
                let place = LanePlace {
                    uplink: format!("isp-{}", lane.order),
                    metered: lane.metered,
                    local: lane.key.local,
                    remote: lane.key.remote,
                };
                session.lane_view(*id, place)
            })
            .collect()
    }

    /// After everything has healed and come to rest, the lanes are those that are wanted.
    pub(super) fn check_lanes(&self) {
        let paths = self.network.paths();
        let lanes: Vec<LaneView> = self.view().into_iter().filter(|l| !l.metered).collect();
        let free: Vec<&Path> = paths.iter().filter(|p| !p.metered).collect();
        if free.is_empty() {
            return;
        }
        let count = |mut names: Vec<String>| {
            names.sort();
            names.dedup();
            names.len()
        };
        let wanted = plan::wanted_lanes(&paths);
        assert_eq!(lanes.len(), wanted, "wanted are {wanted} lanes: {lanes:#?}");
        let uplinks = count(free.iter().map(|p| p.uplink.clone()).collect());
        let prefixes = count(free.iter().map(|p| format!("{:?}", Prefix::of(p.remote))).collect());
        let over = count(lanes.iter().map(|l| l.uplink.clone()).collect());
        let to = count(lanes.iter().map(|l| format!("{:?}", Prefix::of(l.remote))).collect());
        assert_eq!((over, to), (uplinks.min(wanted), prefixes.min(wanted)), "{lanes:#?}");
        for id in lanes.iter().map(|l| l.id) {
            assert!(!self.is_draining(id), "{id} drains for ever");
        }
    }

    /// A probe of a path: it is answered, or lost.
    fn probe_path(&mut self, key: PathKey) {
        self.report.probes += 1;
        let luck = self.luck();
        if self.network.is_open(self.now, key) && luck > 0.1 && !self.is_asleep(1) {
            let rtt = self.network.rtt(super::network::road(key));
            self.at(self.now + rtt, SimEvent::PathAnswered(key));
        }
    }

    /// The answer to a probe arrives.
    pub(super) fn path_answered(&mut self, key: PathKey) {
        let instant = self.instant();
        self.planner.path_answered(instant, key);
        self.plan_soon();
    }

    /// The handshake of a dial: it gets through, or is tried again, or given up.
    pub(super) fn handshake(&mut self, id: LaneId, attempt: u32) {
        let Some(key) = self.dials.get(&id).copied() else { return };
        let luck = self.luck();
        // An acceptor that sleeps answers when it wakes: too late for this attempt.
        if self.network.is_open(self.now, key) && luck > 0.1 && !self.is_asleep(1) {
            let rtt = self.network.rtt(super::network::road(key));
            let delay = self.network.link(super::network::road(key), 0).delay();
            self.at(self.now + rtt + delay, SimEvent::Attach { lane: id, side: 1 });
            if luck > 0.2 {
                return self.at(self.now + 2 * rtt, SimEvent::Attach { lane: id, side: 0 });
            }
        }
        let later = self.now + SEC;
        if self.plan.smooth {
            // The patience that a dial has where the round trip is 20 ms.
            return self.at(later, SimEvent::GiveUp { lane: id });
        }
        match attempt {
            0 | 1 => self.at(later, SimEvent::Handshake { lane: id, attempt: attempt + 1 }),
            _ => self.at(later + 10 * MS, SimEvent::GiveUp { lane: id }),
        }
    }
}
