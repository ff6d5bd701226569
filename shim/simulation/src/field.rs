//! Two whole sessions over lanes that are real QUIC connections, in virtual time.
//!
//! Nothing here is a model but the links and the applications: sessions, lane monitors, selection, QUIC,
//! its congestion controllers and their sensors are those of the product, and the lanes' pump gives work to
//! QUIC as the engine's does. (The planner is not here: a lane that is closed is dialed again
//! over its links after `REDIAL`, and beside the last one that fails another one at once (`twins`). The other
//! simulation, [`World`](crate::World), has the planner.)
//!
//! ```text
//! Field     lanes over links; flows with an application; what came of them, over time
//!   ├── two Sessions, with a driver each: timers, monitors
//!   └── Network   hosts, links, the clock
//! ```
//!
//! Every byte that arrives is compared with what was sent.

mod application;
mod busy;
mod lane;
mod lane_report;
mod measure;
mod pump;
mod redials;
mod twins;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use throughline_link::{LinkStats, Profile};
use throughline_proto::flow::memory::Memory;
use throughline_proto::lane::{AddressListing, LaneAction, Observation};
use throughline_proto::selection::Cost;
use throughline_proto::session::{LaneInfo, Session, SessionConfig, SessionEvent};
use throughline_proto::types::{FlowId, LaneId, Mode, Side};
use throughline_proto::wire::VERSION;
use throughline_proto::wire::datagram::Datagram;
use throughline_proto::wire::hello::SessionParams;

use self::application::Running;
pub use self::application::{Application, Move};
use self::busy::Busy;
use self::lane::{Lane, LaneEnd};
pub use self::lane_report::LaneReport;
use self::redials::Redials;
use crate::quic::{Congestion, HostId, LinkId, Network};

/// How long after a lane is closed it is dialed again.
const REDIAL: Duration = Duration::from_millis(100);

/// What a session promises its peer, as the daemon does.
const PARAMS: SessionParams =
    SessionParams { linger: Duration::from_secs(3600), initial_window: 256 << 10, max_flows: 1024 };

/// One way out: a link in each direction, over which a lane is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isp {
    /// The link from the initiator to the acceptor.
    pub up: LinkId,
    /// The link from the acceptor to the initiator.
    pub down: LinkId,
    cost: Cost,
}

/// Two sessions, the lanes between them, and flows.
pub struct Field {
    network: Network,
    sessions: [Session; 2],
    isps: Vec<Isp>,
    lanes: BTreeMap<LaneId, Lane>,
    of_host: BTreeMap<HostId, (LaneId, usize)>,
    next_lane: u64,
    /// When the lane of an ISP is dialed.
    dials: Vec<Option<Instant>>,
    /// The dials beside lanes that failed, of each ISP.
    redials: Vec<Redials>,
    flows: Vec<Running>,
    by_id: BTreeMap<FlowId, usize>,
    reports: Vec<LaneReport>,
    /// When lanes of each ISP ended.
    closed: Vec<Vec<Duration>>,
    /// When the machines of the two ends are busy with other things, if they are.
    busy: [Option<Busy>; 2],
    trace: bool,
}

/// The number of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldFlow(usize);

impl Field {
    /// Returns two sessions without lanes; `seed` decides what links draw.
    pub fn new(seed: u64) -> Self {
        Self {
            network: Network::new(seed),
            sessions: [Side::Initiator, Side::Acceptor].map(session),
            isps: Vec::new(),
            lanes: BTreeMap::new(),
            of_host: BTreeMap::new(),
            next_lane: 0,
            dials: Vec::new(),
            redials: Vec::new(),
            flows: Vec::new(),
            by_id: BTreeMap::new(),
            reports: Vec::new(),
            closed: Vec::new(),
            busy: [None, None],
            trace: std::env::var_os("THROUGHLINE_FIELD_TRACE").is_some(),
        }
    }

    /// Adds an ISP that is like this up and down, in order of preference; its lane is dialed at once.
    pub fn isp(&mut self, up: Profile, down: Profile) -> Isp {
        self.isp_that_costs(up, down, Cost::FREE)
    }

    /// Adds an ISP whose lanes cost something.
    pub fn isp_that_costs(&mut self, up: Profile, down: Profile, cost: Cost) -> Isp {
        let isp = Isp { up: self.network.link(up), down: self.network.link(down), cost };
        self.isps.push(isp);
        self.dials.push(Some(self.network.now()));
        self.redials.push(Redials::default());
        self.reports.push(LaneReport::default());
        self.closed.push(Vec::new());
        isp
    }

    /// Opens a flow in `mode` with this application, at `after` the beginning.
    pub fn flow(&mut self, mode: Mode, application: Application, after: Duration) -> FieldFlow {
        let number = self.flows.len();
        self.flows.push(Running::new(number as u64, mode, application, after));
        FieldFlow(number)
    }

    /// Changes what a link is like from now on.
    pub fn change(&mut self, link: LinkId, change: impl FnOnce(&mut Profile)) {
        self.network.change(link, change);
    }

    /// Returns what became of a link's packets so far.
    pub fn stats(&self, link: LinkId) -> &LinkStats {
        self.network.stats(link)
    }

    /// Returns how long a packet that comes now waits before a link.
    pub fn queue(&self, link: LinkId) -> Duration {
        self.network.queue(link)
    }

    /// Makes a link lose everything, or carry again.
    pub fn set_blackhole(&mut self, link: LinkId, blackhole: bool) {
        self.network.set_blackhole(link, blackhole);
    }

    /// Makes an end's machine busy with other processes, for which ours has to wait for up to `longest`
    /// many times a second: it sees neither packets nor its timers meanwhile.
    pub fn set_busy(&mut self, side: usize, longest: Duration) {
        self.busy[side] = Some(Busy::new(side as u64, self.network.now(), longest));
    }

    /// Returns the ISPs, in order.
    pub fn isps(&self) -> &[Isp] {
        &self.isps
    }

    /// Returns how long it has run.
    pub fn elapsed(&self) -> Duration {
        self.network.elapsed()
    }

    /// Runs for `time`.
    pub fn run(&mut self, time: Duration) {
        let until = self.network.now() + time;
        while self.network.now() < until {
            self.take_turns();
            let stop = self.next_due().map_or(until, |at| at.clamp(self.network.now(), until));
            let affected = self.network.step(stop).unwrap_or_default();
            for host in affected {
                self.lane_acts(host);
            }
            self.dial_what_is_due();
            self.act_applications();
            self.drive_sessions();
            self.dispatch();
        }
    }

    /// Returns when a session, a monitor, an application or a dial is due.
    fn next_due(&self) -> Option<Instant> {
        let sessions = [0, 1].into_iter().filter_map(|side| self.session_due(side));
        let flows = self.flows.iter().filter_map(|flow| flow.next_due(self.network.epoch()));
        let dials = self.dials.iter().flatten().copied();
        let busy = self.busy.iter().flatten().map(Busy::next);
        sessions.chain(flows).chain(dials).chain(busy).min()
    }

    fn session_due(&self, side: usize) -> Option<Instant> {
        let session = &self.sessions[side];
        let due = [session.next_timeout(), session.next_lane_check()].into_iter().flatten().min();
        due.filter(|_| !self.waits(side))
    }

    /// Whether an end's process waits for its turn.
    fn waits(&self, side: usize) -> bool {
        self.busy[side].as_ref().is_some_and(Busy::waits)
    }

    /// Does what an engine's driver does: session timers, then the monitors of all lanes.
    fn drive_sessions(&mut self) {
        for side in 0..2 {
            self.drive(side, Duration::ZERO);
        }
    }

    fn drive(&mut self, side: usize, late_by: Duration) {
        let now = self.network.now();
        if self.session_due(side).is_some_and(|at| at <= now) {
            self.sessions[side].handle_timeout(now);
            for id in self.lanes.keys().copied().collect::<Vec<_>>() {
                self.observe(id, side, late_by);
            }
        }
    }

    /// Lets busy ends wait, or run. One that runs again has its timers' work done first, before it reads
    /// what came meanwhile: that may be so, and is the worse order.
    fn take_turns(&mut self) {
        let now = self.network.now();
        for side in 0..2 {
            let Some(busy) = self.busy[side].as_mut().filter(|busy| busy.next() <= now) else {
                continue;
            };
            busy.turn(now);
            let waits = busy.waits();
            if let Some(due) = self.session_due(side) {
                self.drive(side, now.saturating_duration_since(due));
            }
            for (host, _) in self.of_host.iter().filter(|(_, (_, end))| *end == side) {
                self.network.host(*host).set_stalled(now, waits);
            }
        }
    }

    /// Shows a lane's monitor what its end sees, and does what it wants done.
    fn observe(&mut self, id: LaneId, side: usize, late_by: Duration) {
        let now = self.network.now();
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.ends[side].attached) else {
            return;
        };
        let host = lane.ends[side].host;
        let host = self.network.host(host);
        let Some(sensor) = host.sensor().cloned() else { return };
        let Some(connection) = host.connection() else { return };
        let remote = connection.remote_address();
        // Asked for only while the lane is suspected, as in the engine: `stats` asks the controller for its
        // window, by which that tells mere acknowledgements apart.
        let received = || connection.stats().udp_rx.datagrams;
        let seen = Observation {
            sensor: sensor.snapshot(),
            received: &received,
            remote,
            address: AddressListing::Unknown,
            late_by,
            resumed: false,
        };
        let actions = self.sessions[side].observe_lane(now, id, &seen);
        for action in actions {
            if self.trace {
                println!("{:?} side {side} {id}: {action:?}", self.network.elapsed());
            }
            self.reports[lane.isp].take(side, &action);
            match action {
                LaneAction::Probe => lane.ends[side].probe(self.network.host(host_of(lane, side))),
                LaneAction::Close(_) => {
                    lane.ends[side].close(now, self.network.host(host_of(lane, side)));
                }
                LaneAction::Notice { narrow } => {
                    let host = self.network.host(host_of(lane, side));
                    LaneEnd::send(host, Datagram::Notice { narrow });
                }
                LaneAction::Report(_) => {}
            }
        }
        self.network.transmit(host_of(lane, side));
        if side == 0 {
            self.replace_failed(id);
        }
    }

    /// Dials the lanes whose time has come.
    fn dial_what_is_due(&mut self) {
        let now = self.network.now();
        for isp in 0..self.isps.len() {
            if self.dials[isp].take_if(|at| *at <= now).is_some() {
                let Isp { up, down, .. } = self.isps[isp];
                let ends = self.network.connect(&[up], &[down], [Congestion::Lane; 2]);
                self.next_lane += 1;
                let id = LaneId(self.next_lane);
                let hosts = [ends.client, ends.server];
                for (side, host) in hosts.into_iter().enumerate() {
                    self.of_host.insert(host, (id, side));
                }
                self.lanes
                    .insert(id, Lane { isp, ends: hosts.map(|host| LaneEnd::new(now, host)) });
            }
        }
    }

    /// Lets a lane act at one end, because something happened to its connection.
    fn lane_acts(&mut self, host: HostId) {
        let Some(&(id, side)) = self.of_host.get(&host) else {
            // It says to its peer that it is over, as often as the peer asks.
            return self.network.transmit(host);
        };
        let now = self.network.now();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let info = LaneInfo {
            local_risk: lane.isp as u64,
            remote_risk: lane.isp as u64,
            cost: self.isps[lane.isp].cost,
            order: lane.isp as u32,
            version: VERSION,
        };
        let (session, end) = (&mut self.sessions[side], &mut lane.ends[side]);
        if end.receive(now, id, info, session, self.network.host(host)).is_err() {
            if self.trace {
                println!("{:?} side {side} {id} is over", self.network.elapsed());
            }
            session.handle_lane_detached(now, id);
            end.attached = false;
            self.of_host.remove(&host);
            let isp = lane.isp;
            if lane.ends.iter().all(|end| !self.of_host.contains_key(&end.host)) {
                self.lanes.remove(&id);
            }
            if side == 0 {
                self.reports[isp].closed += 1;
                self.closed[isp].push(self.network.elapsed());
                if self.lanes.values().all(|lane| lane.isp != isp || lane.ends[0].host == host) {
                    self.dials[isp] = Some(now + REDIAL);
                }
            }
            return;
        }
        self.pump(id, side);
        self.network.transmit(host);
    }

    fn pump(&mut self, id: LaneId, side: usize) {
        if self.waits(side) {
            return;
        }
        let now = self.network.now();
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.ends[side].attached) else {
            return;
        };
        let host = lane.ends[side].host;
        lane.ends[side].pump(now, id, &mut self.sessions[side], self.network.host(host));
        self.network.transmit(host);
        // The lane wakes the driver when it becomes busy.
        if self.sessions[side].lane_check(id).is_none() {
            self.observe(id, side, Duration::ZERO);
        }
    }

    /// Passes on what the sessions say, until they say nothing more.
    fn dispatch(&mut self) {
        loop {
            let mut quiet = true;
            for side in 0..2 {
                while let Some(event) = self.sessions[side].poll_event() {
                    quiet = false;
                    self.event(side, &event);
                }
            }
            if quiet {
                break;
            }
        }
        self.measure();
    }

    fn event(&mut self, side: usize, event: &SessionEvent) {
        let now = self.network.now();
        match *event {
            SessionEvent::Work(lane) => self.pump(lane, side),
            SessionEvent::Incoming(id) => self.sessions[side].accept(now, id),
            SessionEvent::Readable(id)
            | SessionEvent::Writable(id)
            | SessionEvent::Acknowledged(id)
            | SessionEvent::Answered(id) => self.act(id),
            SessionEvent::Broken(id) => panic!("{id} broke"),
            SessionEvent::Forgotten(_) | SessionEvent::Locators | SessionEvent::UnservedWrite => {}
            SessionEvent::Closed => panic!("a session ended"),
        }
    }

    fn act(&mut self, id: FlowId) {
        if let Some(&flow) = self.by_id.get(&id) {
            let elapsed = self.network.elapsed();
            self.flows[flow].act(self.network.now(), elapsed, &mut self.sessions);
        }
    }

    /// Opens flows, and lets applications act whose time has come.
    fn act_applications(&mut self) {
        let (now, elapsed) = (self.network.now(), self.network.elapsed());
        // A flow is opened once a lane is there, as the daemon does.
        let up = self.lanes.keys().any(|lane| self.sessions[0].lane_is_up(*lane));
        for (number, flow) in self.flows.iter_mut().enumerate() {
            if flow.next_due(self.network.epoch()).is_some_and(|at| at <= now) {
                if let Some(id) = flow.open(elapsed, up, now, &mut self.sessions[0]) {
                    self.by_id.insert(id, number);
                }
                flow.act(now, elapsed, &mut self.sessions);
            }
        }
    }
}

fn host_of(lane: &Lane, side: usize) -> HostId {
    lane.ends[side].host
}

fn session(side: Side) -> Session {
    let memory = Arc::new(Memory::new(256 << 20));
    let params = PARAMS;
    let config = SessionConfig {
        side,
        params,
        max_flows: 1024,
        first_window: params.initial_window,
        memory,
    };
    Session::new(config, params)
}
