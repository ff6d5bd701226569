//! The event loop: two sessions, their lanes and applications, and the clock.

pub(crate) mod bars;
pub(crate) mod call;
mod calls;
mod dialing;
mod handing_over;
mod handover;
mod lane;
mod long_datagrams;
mod misfortune;
mod network;
mod planning;
mod pump;
mod sleeping;
mod steps;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use throughline_proto::flow::memory::Memory;
use throughline_proto::path::PathKey;
use throughline_proto::plan::Planner;
use throughline_proto::session::{Session, SessionConfig, SessionEvent};
use throughline_proto::types::{FlowId, LaneId, Side};
use throughline_proto::wire::hello::SessionParams;

use self::call::Call;
use self::handing_over::HandOver;
use self::lane::Lane;
use self::network::Network;
use crate::connection::Packet;
use crate::flows::FlowRun;
use crate::judge::{self, Report, Watch};
use crate::link::{Link, MS, Nanos, SEC};
use crate::plan::{Recovery, Scenario};
use crate::sleep::Sleep;

/// After healing, everything must have drained within this.
const DRAIN: Nanos = 240 * SEC;

/// ... and for so long after that the lanes have time to become those that are wanted: the last
/// dial of a path that failed for long comes 30 s later, what the peer drained is asked again after
/// 60 s, and what is one too many then goes in 15.
const CONVERGENCE_TIME: Nanos = 110 * SEC;

#[derive(Debug)]
enum SimEvent {
    Arrive { lane: LaneId, side: usize, packet: Packet, from: PathKey },
    LaneTimer { lane: LaneId, side: usize },
    SessionTimer { side: usize },
    Attach { lane: LaneId, side: usize },
    Handshake { lane: LaneId, attempt: u32 },
    GiveUp { lane: LaneId },
    PathAnswered(PathKey),
    Plan,
    Open { flow: usize },
    Answer { flow: usize, era: u32 },
    Step { flow: usize, side: usize, half: usize },
    Misfortune(usize),
    HandedOver(usize),
    Talk { call: usize, side: usize },
    Recover(Recovery),
    Heal,
}

struct Queued(Nanos, u64, SimEvent);

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Host {
    session: Session,
    memory: Arc<Memory>,
    /// When the session's timer event is queued for.
    armed: Nanos,
    handing_over: Option<HandOver>,
}

/// A run: two hosts with their sessions, lanes and applications, and the network between them.
pub struct World {
    seed: u64,
    trace: bool,
    rng: SmallRng,
    plan: Scenario,
    base: Instant,
    now: Nanos,
    queue: BinaryHeap<Reverse<Queued>>,
    order: u64,
    hosts: [Host; 2],
    lanes: BTreeMap<LaneId, Lane>,
    next_lane: u64,
    network: Network,
    planner: Planner,
    /// When the planner is asked next.
    plan_at: Nanos,
    /// Dials under way.
    dials: BTreeMap<LaneId, PathKey>,
    /// Everything is silent until then.
    outage_until: Nanos,
    sleeps: [Sleep; 2],
    healed: bool,
    /// When the sessions had nothing left to do.
    drained_at: Option<Nanos>,
    /// Counts the lives of the session: a restart begins a new one.
    era: u32,
    flows: Vec<FlowRun>,
    by_id: BTreeMap<FlowId, usize>,
    calls: Vec<Call>,
    watch: Watch,
    checked_at: Nanos,
    report: Report,
}

impl World {
    /// Draws the run of `seed`; `trace` prints what happens.
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let plan = Scenario::draw(&mut rng);
        let network = Network::new(&plan.net, || Link::draw(&mut rng, plan.rough));
        Self::with(seed, trace, rng, plan, network)
    }

    fn with(seed: u64, trace: bool, rng: SmallRng, plan: Scenario, network: Network) -> Self {
        let flows = plan.flows.iter().cloned().enumerate();
        let flows: Vec<_> = flows.map(|(n, f)| FlowRun::new(n, f)).collect();
        let mut world = Self {
            seed,
            trace,
            rng,
            base: Instant::now(),
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            hosts: [host(&plan, 0), host(&plan, 1)],
            plan,
            lanes: BTreeMap::new(),
            next_lane: 0,
            network,
            planner: Planner::new(seed),
            plan_at: Nanos::MAX,
            dials: BTreeMap::new(),
            outage_until: 0,
            sleeps: [Sleep::default(); 2],
            healed: false,
            drained_at: None,
            era: 0,
            flows,
            by_id: BTreeMap::new(),
            calls: Vec::new(),
            watch: Watch::default(),
            checked_at: 0,
            report: Report::default(),
        };
        if trace {
            println!("{:#?}", world.plan);
        }
        for flow in 0..world.flows.len() {
            world.at(world.flows[flow].plan.at, SimEvent::Open { flow });
        }
        for (index, (at, _)) in world.plan.misfortunes.clone().iter().enumerate() {
            world.at(*at, SimEvent::Misfortune(index));
        }
        world.at(world.plan.heal_at, SimEvent::Heal);
        world.plan_soon();
        world
    }

    fn instant(&self) -> Instant {
        self.base + Duration::from_nanos(self.now)
    }

    fn at(&mut self, at: Nanos, what: SimEvent) {
        self.order += 1;
        self.queue.push(Reverse(Queued(at.max(self.now), self.order, what)));
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>13.6} {}", self.now as f64 / 1e9, text());
        }
    }

    /// Runs to the end; panics where something is wrong.
    pub fn run(mut self) -> Report {
        let mut deadline = Nanos::MAX;
        while let Some(Reverse(Queued(at, _, what))) = self.queue.pop() {
            assert!(at >= self.now);
            self.now = at;
            self.report.events += 1;
            if at > self.checked_at + SEC / 2 {
                self.check_bounds();
            }
            assert!(self.report.events < 3_000_000, "no end of events: {}", self.report);
            self.handle(what);
            self.process_events();
            if self.report.events.is_multiple_of(32) {
                self.check_bounds();
            }
            if self.healed && deadline == Nanos::MAX {
                self.watch.healed_at = Some(self.now);
                deadline = self.now + DRAIN;
            }
            if self.healed && self.drained_at.is_none() && self.is_drained() {
                self.drained_at = Some(self.now);
            }
            if self.drained_at.is_some_and(|at| self.now > at + CONVERGENCE_TIME) {
                return self.finish();
            }
            if self.drained_at.is_none() && self.now > deadline {
                self.complain();
            }
        }
        unreachable!("lanes always have a timer");
    }

    fn handle(&mut self, what: SimEvent) {
        let Some(what) = self.unless_asleep(what) else { return };
        let Some(what) = self.unless_mute(what) else { return };
        match what {
            SimEvent::Arrive { lane, side, packet, from } => self.arrive(lane, side, packet, from),
            SimEvent::LaneTimer { lane, side } => self.lane_timer(lane, side),
            SimEvent::SessionTimer { side } => self.session_timer(side),
            SimEvent::Attach { lane, side } => self.attach(lane, side),
            SimEvent::Handshake { lane, attempt } => self.handshake(lane, attempt),
            SimEvent::GiveUp { lane } => self.give_up(lane),
            SimEvent::PathAnswered(key) => self.path_answered(key),
            SimEvent::Plan => self.plan(),
            SimEvent::Open { flow } => self.open(flow),
            SimEvent::Answer { flow, era } => self.answer(flow, era),
            SimEvent::Step { flow, side, half } => self.step(flow, side, half),
            SimEvent::Misfortune(index) => self.strike(index),
            SimEvent::Talk { call, side } => self.talk(call, side),
            SimEvent::HandedOver(index) => self.end_hand_over(index),
            SimEvent::Recover(recovery) => self.recover(recovery),
            SimEvent::Heal => self.heal(),
        }
    }

    fn session_timer(&mut self, side: usize) {
        let now = self.instant();
        let at = self.now;
        let host = &mut self.hosts[side];
        if host.armed != at {
            // It was set anew since.
            return;
        }
        host.armed = Nanos::MAX;
        if host.session.next_timeout().is_some_and(|at| at <= now) {
            host.session.handle_timeout(now);
            self.report.timeouts += 1;
            let next = host.session.next_timeout();
            assert!(next.is_none_or(|at| at > now), "a timer that fired is due at once again");
        }
    }

    /// Passes on what the sessions say until they say nothing more, and sets their timers.
    fn process_events(&mut self) {
        loop {
            let mut quiet = true;
            for side in 0..2 {
                while let Some(event) = self.hosts[side].session.poll_event() {
                    quiet = false;
                    self.event(side, &event);
                }
            }
            if quiet {
                break;
            }
        }
        for side in 0..2 {
            if self.is_asleep(side) {
                continue;
            }
            self.check_lanes_that_are_due(side);
            let Some(at) = self.hosts[side].session.next_timeout() else { continue };
            let at = at.saturating_duration_since(self.base).as_nanos() as Nanos;
            let at = at.max(self.now);
            if at < self.hosts[side].armed {
                self.hosts[side].armed = at;
                self.at(at, SimEvent::SessionTimer { side });
            }
        }
    }

    fn event(&mut self, side: usize, event: &SessionEvent) {
        if !matches!(event, SessionEvent::Work(_)) {
            self.say(|| format!("{side} {event:?}"));
        }
        match *event {
            SessionEvent::Work(lane) => self.pump(lane, side),
            SessionEvent::Incoming(id) => {
                if !self.holds_back(side, id) {
                    self.incoming(side, id);
                }
            }
            SessionEvent::Answered(id) => {
                self.wake(side, id, 0);
                if let Some(flow) = self.by_id.get(&id) {
                    self.flows[*flow].answered = true;
                }
            }
            SessionEvent::Readable(id) => {
                self.hear(side, id);
                self.wake(side, id, 1);
            }
            SessionEvent::Writable(id) => self.wake(side, id, 0),
            SessionEvent::Acknowledged(_) => {}
            SessionEvent::Broken(id) => {
                self.wake(side, id, 0);
                self.wake(side, id, 1);
            }
            SessionEvent::Forgotten(id) => {
                if let Some(flow) = self.by_id.get(&id) {
                    let again = std::mem::replace(&mut self.flows[*flow].forgotten[side], true);
                    assert!(!again, "{id} was forgotten twice");
                }
            }
            SessionEvent::Locators => unreachable!("no locators are said here"),
            SessionEvent::UnservedWrite if side == 0 => {
                self.hosts[side].session.take_unserved_write();
                let now = self.instant();
                self.planner.application_waits(now);
                self.plan_soon();
            }
            SessionEvent::UnservedWrite => {}
            SessionEvent::Closed => self.closed(side),
        }
    }

    fn check_bounds(&mut self) {
        self.checked_at = self.now;
        self.bury();
        if !self.lanes.values().any(|lane| lane.attached == [true; 2]) {
            self.watch.joined_at = self.now;
        }
        for (side, host) in self.hosts.iter().enumerate() {
            self.watch.observe(self.now, (self.era, side), &host.session);
            judge::check_bounds(&host.session, &host.memory);
            for lane in self.lanes.keys() {
                let backlog = host.session.lane_backlog(*lane);
                let flows = host.session.flows().count();
                assert!(backlog <= 2 * self.flows.len() + flows + 64, "{lane}: {backlog} wait");
            }
        }
    }

    /// Nothing is left to be done by the sessions.
    fn is_drained(&self) -> bool {
        self.flows.iter().all(FlowRun::is_over)
            && self.calls.iter().all(Call::is_over)
            && self.hosts.iter().all(|host| {
                host.session.flows().next().is_none() && host.session.next_timeout().is_none()
            })
    }

    fn finish(mut self) -> Report {
        self.check_bounds();
        assert!(self.is_drained(), "a session at rest became busy again");
        self.check_lanes();
        for host in &self.hosts {
            assert_eq!(host.memory.used(), 0, "memory is still set aside");
        }
        for run in &self.flows {
            judge::check_end(run);
            let reads = run.apps.iter().flatten();
            self.report.bytes += reads.clone().map(|app| app.read).sum::<u64>();
            self.report.clean += u64::from(reads.filter(|app| app.finished).count() == 2);
            self.report.flows += 1;
        }
        (self.report.duplicates, self.report.resent) = self.watch.totals();
        let drained_at = self.drained_at.unwrap_or(self.now);
        self.report.drained_in = drained_at - self.watch.healed_at.unwrap_or(0);
        self.report.virtual_seconds = self.now / SEC;
        self.report
    }

    fn complain(&self) -> ! {
        for (side, host) in self.hosts.iter().enumerate() {
            let next = host.session.next_timeout().map(|at| at - self.base);
            println!("side {side}: next timeout {next:?}");
            for flow in host.session.flows() {
                println!("side {side}: {flow:#?}");
            }
        }
        for run in self.flows.iter().filter(|run| !run.is_over()) {
            println!("{run:#?}");
        }
        for (id, lane) in &self.lanes {
            println!("{id}: attached {:?} dead {:?}", lane.attached, lane.dead);
        }
        panic!("not drained {} s after everything healed", DRAIN / SEC);
    }

    fn jiggle(&mut self) -> Nanos {
        self.rng.random_range(0..MS / 5)
    }
}

fn host(plan: &Scenario, side: usize) -> Host {
    let memory = Arc::new(Memory::new(plan.memory));
    let config = session_config(plan, side, memory.clone());
    let params = config.params;
    let session = Session::new(config, params);
    Host { session, memory, armed: Nanos::MAX, handing_over: None }
}

fn session_config(plan: &Scenario, side: usize, memory: Arc<Memory>) -> SessionConfig {
    let params = SessionParams {
        linger: Duration::from_secs(3600),
        initial_window: plan.initial_window,
        max_flows: plan.max_flows as u64,
    };
    let side = [Side::Initiator, Side::Acceptor][side];
    SessionConfig { side, params, max_flows: plan.max_flows, first_window: 256 << 10, memory }
}
