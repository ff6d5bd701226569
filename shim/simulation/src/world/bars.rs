//! A world in which all is well but for one failure, and what an application sees of that.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use throughline_proto::types::{AddressClass, LaneId, Mode};

use super::World;
use super::call::{Call, CallReport, LONG, VOICE};
use super::network::{Network, Road};
use crate::link::{Link, MS, Nanos, SEC};
use crate::plan::{
    Answer, Ending, Failure, FlowPlan, Half, Misfortune, Net, Pace, Reading, Scenario,
};

/// An ISP: 200 Mbit/s, 20 ms from end to end and back, 50 ms of queue.
const RATE: u64 = 25_000_000;
const DELAY: Nanos = 10 * MS;
const QUEUE: u64 = RATE / 20;

/// So much is looked at after the failure, or after its end.
const AFTER: Nanos = 2 * SEC;

/// A message of the echo, and how often there is one.
const MESSAGE: usize = 64;
const MESSAGE_INTERVAL: Nanos = 20 * MS;

/// What runs while something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// A small message and its answer, 20 ms after the one before.
    Echo(Mode),
    /// Bulk from the acceptor.
    Download(Mode),
    /// Bulk from the initiator.
    Upload(Mode),
    /// A datagram of 160 bytes every 20 ms, both ways.
    Call(Mode),
    /// A datagram of 3,000 bytes every 300 ms, both ways.
    LongCall(Mode),
}

/// A failure, and all that matters of where it happens.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What fails.
    pub failure: Failure,
    /// Whose ISP fails: the initiator's (0) or the acceptor's.
    pub side: usize,
    /// The second uplink costs.
    pub standby: bool,
    /// What runs meanwhile.
    pub flow: Flow,
}

impl World {
    /// What the application sees at worst: of an echo the longest round trip, of bulk the longest
    /// time without a byte.
    pub fn worst(case: Case, seed: u64, trace: bool) -> Duration {
        let (world, from) = Self::play(case, seed, trace);
        match case.flow {
            Flow::Echo(_) => world.worst_echo(from),
            Flow::Download(_) => world.longest_gap(0, from),
            Flow::Upload(_) => world.longest_gap(1, from),
            Flow::Call(_) | Flow::LongCall(_) => {
                world.calls[0].report(from - MESSAGE_INTERVAL, from + AFTER / 2).slowest
            }
        }
    }

    /// Returns what becomes of the datagrams of a call from just before the failure on.
    pub fn call(failure: Failure, side: usize, mode: Mode, seed: u64, trace: bool) -> CallReport {
        let case = Case { failure, side, standby: false, flow: Flow::Call(mode) };
        let (world, from) = Self::play(case, seed, trace);
        world.calls[0].report(from - SEC / 2, from + AFTER - SEC / 2)
    }

    /// Plays a call whose datagrams are longer than a packet, as [`call`](Self::call) does.
    pub fn long_call(
        failure: Failure,
        side: usize,
        mode: Mode,
        seed: u64,
        trace: bool,
    ) -> CallReport {
        let case = Case { failure, side, standby: false, flow: Flow::LongCall(mode) };
        let (world, from) = Self::play(case, seed, trace);
        world.calls[0].report(from - SEC / 2, from + AFTER - SEC / 2)
    }

    /// Plays a case to some time after the failure, or after its end; returns when that was.
    fn play(case: Case, seed: u64, trace: bool) -> (Self, Nanos) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let fails_at = SEC + rng.random_range(0..100 * MS);
        let plan = plan(case, fails_at);
        // Where all dials get through in the same instant all their lanes stay for some seconds.
        let spread = if seed.is_multiple_of(2) { MS / 2 } else { 1 };
        let mut link = || Link::smooth(RATE, DELAY - rng.random_range(0..spread), QUEUE);
        let network = Network::new(&plan.net, &mut link);
        let mut world = Self::with(seed, trace, rng, plan, network);
        if let Flow::Call(mode) = case.flow {
            world.begin_call(Call::new(mode, VOICE, Nanos::MAX));
        }
        if let Flow::LongCall(mode) = case.flow {
            world.begin_call(Call::new(mode, LONG, Nanos::MAX));
        }
        let from = match case.failure {
            Failure::AllDown(duration) => fails_at + duration,
            _ => fails_at,
        };
        while let Some(std::cmp::Reverse(super::Queued(at, _, what))) = world.queue.pop() {
            if at > from + AFTER {
                break;
            }
            world.now = at;
            world.report.events += 1;
            world.handle(what);
            world.process_events();
            if world.report.events.is_multiple_of(4096) {
                world.check_bounds();
            }
        }
        (world, from)
    }

    fn worst_echo(&self, from: Nanos) -> Duration {
        let log = &self.flows[0].apps[0].as_ref().expect("the flow was opened").log;
        let begin = self.base + Duration::from_nanos(from - MESSAGE_INTERVAL);
        let end = begin + Duration::from_nanos(AFTER - MESSAGE_INTERVAL);
        let trips = log[0].iter().filter(|(at, _)| (begin..end).contains(at)).map(|(at, sent)| {
            let answer = log[1].iter().find(|(_, got)| got >= sent);
            answer.unwrap_or_else(|| panic!("{sent} bytes were never answered")).0 - *at
        });
        trips.max().expect("messages are sent")
    }

    fn longest_gap(&self, side: usize, from: Nanos) -> Duration {
        let log = &self.flows[0].apps[side].as_ref().expect("the flow was opened").log[1];
        let begin = self.base + Duration::from_nanos(from);
        let end = self.base + Duration::from_nanos(from + AFTER);
        let reads: Vec<_> = log.iter().map(|(at, _)| *at).filter(|at| *at > begin).collect();
        let moments: Vec<_> = std::iter::once(begin).chain(reads).chain([end]).collect();
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().expect("two moments")
    }

    /// The ISP that carries most fails.
    pub(super) fn fails(&mut self, failure: Failure, side: usize) {
        let (uplink, remote) = self.busiest();
        let here = |road: &Road| [road.0 == uplink, road.1 == remote][side];
        let ever = Nanos::MAX;
        let (up, down) = ([1, 2][side], [2, 1][side]);
        match failure {
            Failure::Blackhole => self.network.silence(here, 3, ever),
            Failure::OneWayUp => self.network.silence(here, up, ever),
            Failure::OneWayDown => self.network.silence(here, down, ever),
            Failure::Narrow => self.network.narrow(here, ever),
            Failure::AllDown(duration) => self.network.silence(|_| true, 3, self.now + duration),
            Failure::Crosswise => {
                // The other lane leads to the other prefix.
                self.network.silence(|r| r.0 == uplink || r.1 != remote, 3, ever);
            }
            Failure::Carrier if side == 0 => {
                self.network.unlist(uplink);
                self.addresses_changed();
            }
            Failure::Carrier => {
                self.network.silence(here, 3, ever);
                self.network.carrier_lost[remote] = true;
                let there = |lane: &super::lane::Lane| lane.attached[1] && lane.road(1).1 == remote;
                let ids: Vec<LaneId> =
                    self.lanes.iter().filter(|(_, l)| there(l)).map(|(id, _)| *id).collect();
                for id in ids {
                    self.queue_timer(id, 1);
                }
            }
            Failure::Drain if side == 0 => self.network.drain(uplink, true),
            Failure::Drain => self.peer_drains(remote, true),
        }
    }

    /// The road of the lane that sent most.
    fn busiest(&self) -> Road {
        let attached = self.lanes.values().filter(|l| l.attached == [true; 2]);
        let sent = |l: &&super::lane::Lane| l.ends.iter().map(|end| end.sent_bytes()).sum::<u64>();
        attached.max_by_key(sent).expect("no lane").road(0)
    }
}

fn plan(case: Case, fails_at: Nanos) -> Scenario {
    let reading = Reading { chunk: 1 << 20, pause: 0, from: 0, drop_after: None };
    let idle = Half {
        pace: Pace::Free,
        total: 0,
        chunk: (1, 1),
        pause: 0,
        ending: Ending::FinishAfterRead,
        reading,
    };
    let endless = Half { total: u64::MAX, ..idle };
    let bulk = Half { chunk: (16_384, 16_384), ..endless };
    let (mode, halves) = match case.flow {
        Flow::Echo(mode) => {
            let ask = Half {
                pace: Pace::Messages,
                chunk: (MESSAGE, MESSAGE),
                pause: MESSAGE_INTERVAL,
                ..endless
            };
            (mode, [ask, Half { pace: Pace::Echo, chunk: (1 << 16, 1 << 16), ..endless }])
        }
        Flow::Download(mode) => (mode, [idle, bulk]),
        Flow::Upload(mode) => (mode, [bulk, idle]),
        Flow::Call(mode) | Flow::LongCall(mode) => (mode, [idle, idle]),
    };
    let flow = FlowPlan {
        opener: 0,
        mode,
        at: 300 * MS,
        answer: Answer::Accept,
        answer_after: 0,
        polite: false,
        halves,
    };
    Scenario {
        net: Net {
            uplinks: vec![AddressClass::ProviderAssigned; 2],
            metered: case.standby.then_some(1),
            remotes: 2,
        },
        rough: false,
        smooth: true,
        initial_window: 1 << 20,
        memory: 256 << 20,
        socket_buffer: 212_992,
        max_flows: 10,
        flows: if matches!(case.flow, Flow::Call(_) | Flow::LongCall(_)) {
            vec![]
        } else {
            vec![flow]
        },
        misfortunes: vec![(fails_at, Misfortune::Fails(case.failure, case.side))],
        heal_at: 10_000 * SEC,
    }
}
