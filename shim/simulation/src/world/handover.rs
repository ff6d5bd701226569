//! A session is handed over to another process, or nearly: it falls mute, its snapshot is taken, and a
//! moment later a session that is restored from that takes its place. Or nobody does, and it goes on.
//!
//! In between it hears its peer as before, while its applications and what comes in wait.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use throughline_proto::plan::Planner;
use throughline_proto::session::Session;
use throughline_proto::types::{FlowId, LaneId};

use super::handing_over::HandOver;
use super::{SimEvent, World, session_config};
use crate::link::{MS, Nanos};
use crate::plan::Misfortune;

/// How often what waits for a mute session looks again.
const MUTE_POLL: Nanos = MS;

impl World {
    /// Draws the run of `seed` as [`new`](Self::new) does, with hand-overs of both sessions besides.
    pub fn with_hand_overs(seed: u64, trace: bool) -> Self {
        let mut world = Self::new(seed, trace);
        let mut rng = SmallRng::seed_from_u64(!seed);
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(0..world.plan.heal_at);
            let misfortune = Misfortune::HandOver {
                side: rng.random_range(0..2),
                duration: [0, MS, 30 * MS, 400 * MS][rng.random_range(0..4)],
                fails: rng.random_bool(0.2),
                notify_peer: rng.random_bool(0.7),
            };
            world.at(at, SimEvent::Misfortune(world.plan.misfortunes.len()));
            world.plan.misfortunes.push((at, misfortune));
        }
        world
    }

    /// Begins a hand-over, unless the host sleeps, hands over already, or its session is over.
    pub(super) fn begin_hand_over(&mut self, index: usize) {
        let Misfortune::HandOver { side, duration, .. } = self.plan.misfortunes[index].1 else {
            return;
        };
        if self.is_asleep(side) || self.hosts[side].handing_over.is_some() {
            return;
        }
        self.process_events();
        let host = &mut self.hosts[side];
        if host.session.closed().is_some() {
            return;
        }
        host.session.mute();
        let records = host.session.snapshot().collect();
        host.handing_over = Some(HandOver { era: self.era, records, incoming: Vec::new() });
        self.at(self.now + duration, SimEvent::HandedOver(index));
    }

    /// Ends a hand-over: with a session restored from the snapshot, or with the one there was.
    pub(super) fn end_hand_over(&mut self, index: usize) {
        let Misfortune::HandOver { side, fails, notify_peer, .. } = self.plan.misfortunes[index].1
        else {
            return;
        };
        let Some(under_way) = self.hosts[side].handing_over.take() else { return };
        if under_way.era != self.era {
            return;
        }
        self.process_events();
        if fails || self.hosts[side].session.closed().is_some() {
            self.hosts[side].session.unmute();
            under_way.incoming.into_iter().for_each(|id| self.incoming(side, id));
            return;
        }
        for id in self.lanes.keys().copied().collect::<Vec<LaneId>>() {
            self.die(id, side, notify_peer);
        }
        if side == 0 {
            let dials = std::mem::take(&mut self.dials);
            dials.into_keys().for_each(|id| self.die(id, 0, false));
            self.planner = Planner::new(self.seed);
            self.plan_soon();
        }
        self.replace(side, &under_way.records);
        self.report.hand_overs += 1;
    }

    fn replace(&mut self, side: usize, records: &[Vec<u8>]) {
        let config = session_config(&self.plan, side, Arc::clone(&self.hosts[side].memory));
        let mut session = Session::restore(config, &records[0]).expect("a session's record");
        for record in &records[1..] {
            let id = session.restore_flow(record).expect("a flow's record");
            if let Some(flow) = self.by_id.get(&id) {
                // The old session may have forgotten it since; that one's word does not count.
                self.flows[*flow].forgotten[side] = false;
            }
        }
        let flows = session.flows();
        let again: Vec<Vec<u8>> = session.snapshot().collect();
        assert_eq!(again, records, "a restored session has another snapshot");
        self.say(|| format!("{side} is handed over with {} flows", flows.count()));
        self.hosts[side].session = session;
        self.hosts[side].armed = Nanos::MAX;
    }

    /// Returns an event that happens now. What an application would do whose session is mute waits.
    pub(super) fn unless_mute(&mut self, what: SimEvent) -> Option<SimEvent> {
        let side = match &what {
            SimEvent::Step { side, .. } => *side,
            SimEvent::Open { flow } => self.flows[*flow].plan.opener,
            SimEvent::Answer { flow, .. } => 1 - self.flows[*flow].plan.opener,
            _ => return Some(what),
        };
        if self.hosts[side].handing_over.is_none() {
            return Some(what);
        }
        let later = self.now + MUTE_POLL;
        if let SimEvent::Step { flow, half, .. } = what
            && let Some(app) = &mut self.flows[flow].apps[side]
            && app.due[half] == Some(self.now)
        {
            app.due[half] = Some(later);
        }
        self.at(later, what);
        None
    }

    /// Holds back a flow that the peer opened, while the session is mute; returns whether it is.
    pub(super) fn holds_back(&mut self, side: usize, id: FlowId) -> bool {
        let under_way = self.hosts[side].handing_over.as_mut();
        under_way.map(|hand_over| hand_over.incoming.push(id)).is_some()
    }
}
