//! Applications: flows opened, answered, written and read.

use rand::Rng;
use throughline_proto::session::OpenError;
use throughline_proto::types::{FailureCode, FlowId, OpenFailure, Target};
use throughline_proto::wire::fact::Open;

use super::{SimEvent, World};
use crate::application::App;
use crate::link::{MS, Nanos};
use crate::plan::Answer;

impl World {
    pub(super) fn open(&mut self, index: usize) {
        let (seed, instant) = (self.seed, self.instant());
        let run = &mut self.flows[index];
        let side = run.plan.opener;
        let open = Open { target: Target::service(run.service()), mode: run.plan.mode };
        let id = match self.hosts[side].session.open(instant, open) {
            Ok(id) => id,
            Err(OpenError::TooMany(_)) => {
                let later = self.now + 50 * MS;
                return self.at(later, SimEvent::Open { flow: index });
            }
            Err(error) => panic!("flow {index} cannot be opened: {error}"),
        };
        let app = App::new(run.plan.halves[side], run.keys(seed, side), id, run.plan.polite);
        let from = app.plan.reading.from;
        run.id = Some(id);
        run.apps[side] = Some(app);
        self.by_id.insert(id, index);
        self.say(|| format!("{side} opens {id} as flow {index}"));
        self.step_at(self.now, index, side, 0);
        self.step_at(self.now.max(from), index, side, 1);
    }

    pub(super) fn incoming(&mut self, side: usize, id: FlowId) {
        let flow = self.hosts[side].session.flow(id).expect("an incoming flow that is not there");
        if let Target::DatagramService(name) = flow.target() {
            let name = name.clone();
            return self.call_comes(side, id, &name);
        }
        let Target::Service(name) = flow.target() else { panic!("another target came") };
        let number: usize = name.strip_prefix("flow-").and_then(|n| n.parse().ok()).unwrap();
        let run = &mut self.flows[number];
        assert_eq!(run.id, Some(id), "the flow came in under another id");
        assert_eq!(run.plan.mode, flow.mode(), "the flow came in with another mode");
        run.incoming += 1;
        assert_eq!(run.incoming, 1, "{id} came in twice");
        let (at, era) = (self.now + run.plan.answer_after, self.era);
        self.at(at, SimEvent::Answer { flow: number, era });
    }

    /// The acceptor's application takes the flow, or does not.
    pub(super) fn answer(&mut self, index: usize, era: u32) {
        if era != self.era {
            return;
        }
        let (seed, instant) = (self.seed, self.instant());
        let run = &mut self.flows[index];
        let side = 1 - run.plan.opener;
        let session = &mut self.hosts[side].session;
        let Some(id) = run.id else { return };
        match run.plan.answer {
            Answer::Refuse => {
                session.refuse(instant, id, OpenFailure::new(FailureCode::Refused, "no"));
                run.declined = true;
            }
            Answer::Abandon => {
                session.drop_reader(instant, id);
                session.drop_writer(instant, id);
                run.declined = true;
            }
            Answer::Accept => {
                session.accept(instant, id);
                let app = App::new(run.plan.halves[side], run.keys(seed, side), id, false);
                let from = app.plan.reading.from;
                run.apps[side] = Some(app);
                self.step_at(self.now, index, side, 0);
                self.step_at(self.now.max(from), index, side, 1);
            }
        }
    }

    /// Somebody who waited is woken; a reader that does not read yet sleeps on.
    pub(super) fn wake(&mut self, side: usize, id: FlowId, half: usize) {
        let Some(&index) = self.by_id.get(&id) else { return };
        let Some(app) = &self.flows[index].apps[side] else { return };
        let from = if half == 1 { app.plan.reading.from } else { 0 };
        let at = (self.now + self.jiggle()).max(from);
        let at = match self.flows[index].apps[side].as_ref().and_then(|app| app.due[half]) {
            Some(due) if due <= at => return,
            _ => at,
        };
        self.step_at(at, index, side, half);
    }

    fn step_at(&mut self, at: Nanos, index: usize, side: usize, half: usize) {
        if let Some(app) = &mut self.flows[index].apps[side] {
            app.due[half] = Some(at);
            self.at(at, SimEvent::Step { flow: index, side, half });
        }
    }

    pub(super) fn step(&mut self, index: usize, side: usize, half: usize) {
        let instant = self.instant();
        let Some(app) = &mut self.flows[index].apps[side] else { return };
        if app.due[half] != Some(self.now) {
            return;
        }
        app.due[half] = None;
        let session = &mut self.hosts[side].session;
        let pause = match half {
            0 => app.write(instant, session, &mut self.rng),
            _ => app.read(instant, session, &mut self.rng),
        };
        let write_too = app.due[0].take_if(|at| *at == 0).is_some();
        if let Some(pause) = pause {
            self.step_at(self.now + pause, index, side, half);
        }
        if write_too {
            let at = self.now + self.rng.random_range(0..MS);
            self.step_at(at, index, side, 0);
        }
    }

    /// The session at this end is over: its flows end however they end.
    pub(super) fn closed(&mut self, side: usize) {
        let over: Vec<FlowId> = self.by_id.keys().copied().collect();
        for id in over {
            let run = &mut self.flows[self.by_id[&id]];
            if !(run.forgotten[0] && run.forgotten[1]) {
                run.lost = true;
            }
        }
        self.end_calls(side);
        self.say(|| format!("{side} session is over"));
    }
}
