//! The initiator's hands: dials, moves and closes lanes as the planner says.
//!
//! Every dialled lane has a socket and an endpoint of its own, bound to its source address: moving
//! one lane (`rebind`) must not move another. Dials run side by side in a set that belongs to the
//! dialer, which belongs to the session's driver; dropping it ends them.

mod advertise;
mod attempt;
mod failure;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, warn};

use self::attempt::{Attempt, DialError};
use self::failure::UnreachableReporter;
use crate::engine::context::NodeContext;
use crate::engine::lane::{self, NewLane};
use crate::engine::quic::close;
use crate::engine::quic::socket::{self, SocketOptions};
use crate::engine::session::{Core, Origin, SessionHandle};
use crate::events::EventKind;
use throughline_proto::hold_down::{FailureDomain, HoldState};
use throughline_proto::path::{Path, PathKey};
use throughline_proto::plan::{self, LaneView, PlanInput, Planner};
use throughline_proto::selection::Cost;
use throughline_proto::session::LanePlace;
use throughline_proto::throttle::LogThrottle;
use throughline_proto::types::{Host, LaneId, Locator, PeerId};
use throughline_proto::wire::VERSION;
use throughline_proto::wire::hello::{Hello, Intent};
use throughline_uplinks::{Device, Snapshot};

/// Names are looked up again at most this often.
const LOOK_UP_EVERY: Duration = Duration::from_millis(250);

/// The least and the most time a dial gets. Until a path's round trip is known it gets the most.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
const MOST_PATIENCE: Duration = Duration::from_secs(4);

/// A dial under way.
struct Dial {
    lane: LaneId,
    key: PathKey,
    device: Device,
    abort: AbortHandle,
}

/// The dialler of one session.
pub(crate) struct Dialer {
    context: Arc<NodeContext>,
    peer: PeerId,
    planner: Planner,
    attempts: JoinSet<(LaneId, PathKey, Result<NewLane, DialError>)>,
    under_way: Vec<Dial>,
    paths: Vec<Path>,
    /// The paths, each with the interface that its socket is bound to.
    ways: Vec<(Path, Device)>,
    looked_up: Option<Instant>,
    /// Of the uplinks that the paths were made from.
    generation: u64,
    /// Where the peer says that it can be reached.
    learned: Vec<SocketAddr>,
    /// The round trip of the last lane that was up.
    rtt: Option<Duration>,
    lookup: attempt::Lookup,
    /// Failures that were logged.
    failure_log: LogThrottle<(PathKey, String)>,
    /// Failures that were emitted as events.
    unreachable: UnreachableReporter,
    /// Whether any address of the peer is known.
    addressed: bool,
    /// Lanes of which the log has that they are the last and stay.
    last: Vec<LaneId>,
    /// What is held down, as it was told.
    held: Vec<FailureDomain>,
}

impl Dialer {
    pub(crate) fn new(context: Arc<NodeContext>, peer: PeerId) -> Self {
        Self {
            context,
            peer,
            planner: Planner::new(rand::random()),
            attempts: JoinSet::new(),
            under_way: Vec::new(),
            paths: Vec::new(),
            ways: Vec::new(),
            looked_up: None,
            generation: 0,
            learned: Vec::new(),
            rtt: None,
            lookup: attempt::Lookup::default(),
            failure_log: LogThrottle::default(),
            unreachable: UnreachableReporter::default(),
            addressed: false,
            last: Vec::new(),
            held: Vec::new(),
        }
    }

    /// The machine slept: what failed before says nothing, and addresses may be others.
    pub(crate) fn begin_afresh(&mut self) {
        self.planner.forget_failures();
        self.looked_up = None;
    }

    /// Does what the planner says; returns when to come back.
    pub(crate) fn step(&mut self, session: &SessionHandle, uplinks: &Snapshot) -> Option<Instant> {
        let now = Instant::now();
        let (lanes, has_demand) = session.with(|core, _| view(core));
        let has_demand = has_demand || self.context.peers.has_demand(self.peer);
        self.look_up(session, now, uplinks, &lanes);
        self.context.drains.mark(&mut self.paths);
        if self.paths.is_empty() && lanes.is_empty() {
            self.no_way(session, now, uplinks);
        }
        let dialling: Vec<PathKey> = self.under_way.iter().map(|d| d.key).collect();
        let plan = self.planner.plan(
            now,
            &PlanInput { paths: &self.paths, lanes: &lanes, dialling: &dialling, has_demand },
        );
        self.state_uses(session, now, &lanes, &plan);
        self.tell_held(session, now);
        for (id, path) in plan.migrate {
            self.migrate(session, id, &path);
        }
        for key in plan.abandon {
            if let Some(at) = self.under_way.iter().position(|d| d.key == key) {
                self.under_way.swap_remove(at).abort.abort();
            }
        }
        for id in plan.close {
            session.with(|core, _| {
                let drained = core.session.lane_is_draining(id);
                if let Some(lane) = core.lanes.get_mut(&id) {
                    let why = if drained { "drained" } else { "replaced by another lane" };
                    lane.end(close::REPLACED, why);
                }
            });
        }
        for path in plan.dial {
            self.dial(session, path);
        }
        let lookup = self.paths.is_empty().then(|| now + LOOK_UP_EVERY * 4);
        [plan.wake_at, lookup].into_iter().flatten().min()
    }

    /// Our addresses and the peer's, as they are now.
    fn look_up(
        &mut self,
        session: &SessionHandle,
        now: Instant,
        uplinks: &Snapshot,
        lanes: &[LaneView],
    ) {
        let said = session.with(|core, _| {
            let news = std::mem::take(&mut core.relocated);
            (news || self.looked_up.is_none()).then(|| core.session.peer_locators().to_vec())
        });
        if let Some(said) = said {
            self.learned = said.iter().filter_map(addr).collect();
            self.looked_up = None;
        }
        let changed = self.generation != uplinks.generation;
        // While all the lanes are there and answer, nothing needs to be looked up.
        let well = lanes.len() >= plan::wanted_lanes(&self.paths)
            && lanes.iter().all(|l| l.suspected_since.is_none());
        let fresh = |at: Instant| now < at + LOOK_UP_EVERY;
        let enough = well && !self.paths.is_empty();
        if !changed && self.looked_up.is_some_and(|at| fresh(at) || enough) {
            return;
        }
        self.looked_up = Some(now);
        let mut remotes = self.lookup.remotes(&self.context.peers.locators(self.peer));
        // Only where the configured ones are known is known what the others are worth.
        remotes.extend(plan::usable_locators(&self.learned, &remotes));
        self.addressed = !remotes.is_empty();
        let ways = self.context.uplinks.paths(uplinks, &remotes);
        self.generation = uplinks.generation;
        if changed && ways.iter().any(|way| !self.ways.contains(way)) {
            // What failed before an address came, or its route, says nothing of now.
            self.planner.forget_failures();
        }
        // Nor does a dial that began by a way that is no more come to anything.
        for dial in &self.under_way {
            let way = ways.iter().find(|(path, _)| path.key() == dial.key);
            if way.is_none_or(|(_, device)| *device != dial.device) {
                dial.abort.abort();
            }
        }
        self.paths = ways.iter().map(|(path, _)| path.clone()).collect();
        self.ways = ways;
    }

    fn dial(&mut self, session: &SessionHandle, path: Path) {
        let (lane, generation, params) = session.with(|core, _| {
            let lane = LaneId(core.next_lane);
            core.next_lane += 1;
            (lane, core.generation, core.session.params())
        });
        let intent = if session.is_established() { Intent::Resume } else { Intent::Create };
        let hello =
            Hello { version: VERSION, session: session.id(), intent, generation, lane, params };
        let patience =
            self.rtt.map_or(MOST_PATIENCE, |rtt| (rtt * 10).clamp(LEAST_PATIENCE, MOST_PATIENCE));
        let key = path.key();
        debug!(peer = %session.name(), %lane, uplink = path.uplink, local = %path.local,
               remote = %path.remote, "dialling");
        let device = self.context.uplinks.device(path.local, path.remote);
        let (context, peer, over) = (self.context.clone(), self.peer, device.clone());
        let attempt = Attempt { context, peer, path, device: over, hello, patience };
        let abort = self.attempts.spawn(async move { (lane, key, attempt.run().await) });
        self.under_way.push(Dial { lane, key, device, abort });
    }

    /// Waits for a dial to end, and does what follows from it. Cancel-safe.
    pub(crate) async fn dialled(&mut self, session: &SessionHandle) {
        let (key, result) = loop {
            match self.attempts.join_next().await {
                Some(Ok((lane, key, result))) => {
                    if let Some(at) = self.under_way.iter().position(|d| d.lane == lane) {
                        self.under_way.swap_remove(at);
                        break (key, result);
                    }
                    // Abandoned in the moment in which it got through.
                    if let Ok(lane) = result {
                        close::close(&lane.connection, close::REPLACED, "another lane was first");
                    }
                }
                // Given up, as its way is no more, or it panicked, which is a way to fail: the
                // planner is to be asked again.
                Some(Err(ended)) => {
                    self.under_way.retain(|d| d.abort.id() != ended.id());
                    return;
                }
                None => return std::future::pending().await,
            }
        };
        self.planner.dial_ended(key, result.is_ok());
        match result {
            Ok(lane) => self.attach(session, lane),
            Err(error) => self.failed(session, key, &error),
        }
    }

    fn attach(&mut self, session: &SessionHandle, new: NewLane) {
        self.rtt = Some(new.connection.rtt());
        if session.is_over() {
            close::close(&new.connection, close::DONE, "session over");
            return;
        }
        self.context.peers.dial_succeeded(self.peer);
        self.unreachable.reset();
        let path = match &new.origin {
            Origin::Dialled(dialled) => {
                Some(PathKey { local: dialled.local.ip(), remote: dialled.remote })
            }
            Origin::Accepted(_) => None,
        };
        self.failure_log.forget(|(key, _)| Some(*key) == path);
        tokio::spawn(lane::run(session.clone(), new));
    }

    /// Moves a lane to another local address (RFC 9000 §9): same connection, new path.
    fn migrate(&self, session: &SessionHandle, id: LaneId, path: &Path) {
        let options =
            SocketOptions { device: self.context.uplinks.device(path.local, path.remote) };
        let socket = match socket::bind((path.local, 0).into(), &options) {
            Ok(socket) => socket,
            Err(error) => {
                warn!(peer = %session.name(), lane = %id, local = %path.local, "cannot bind: {error}");
                return;
            }
        };
        let interface = self.context.uplinks.interface(path.local);
        session.with(|core, now| {
            let Some(lane) = core.lanes.get_mut(&id) else { return };
            let sensor = lane.sensor.clone();
            let Some(dialled) = lane.dialled_mut() else { return };
            sensor.migrating(now);
            if let Err(error) = dialled.endpoint.rebind(socket) {
                warn!(peer = %session.name(), lane = %id, local = %path.local, "cannot move: {error}");
                return;
            }
            let from = std::mem::replace(&mut dialled.uplink, path.uplink.clone());
            let port = dialled.endpoint.local_addr().map_or(0, |a| a.port());
            dialled.local = (path.local, port).into();
            dialled.interface = interface;
            (dialled.order, dialled.metered) = (path.order, path.metered);
            dialled.migrations += 1;
            dialled.cost = Cost::of_lane(path.order, path.metered, HoldState::Normal);
            let (to, local) = (path.uplink.clone(), dialled.local);
            session.log().emit_lane(id, Some(&path.uplink), EventKind::LaneMigrated { from, to, local });
            core.session.advertise_use(now, id, lane.cost(), session.is_drained(&path.uplink));
            core.session.handle_local_migration(now, id);
            core.session.handle_lane_migrated(now, id, path.order.into(), path.order);
        });
    }
}

fn addr(locator: &Locator) -> Option<SocketAddr> {
    match locator.host {
        Host::Ip(ip) => Some(SocketAddr::new(ip, locator.port)),
        Host::Name(_) => None,
    }
}

/// The lanes for the planner, and whether flows wait.
fn view(core: &Core) -> (Vec<LaneView>, bool) {
    let mut lanes: Vec<LaneView> = core
        .lanes
        .iter()
        .filter_map(|(id, lane)| {
            let dialled = lane.dialled()?;
            // One that was told to end is no lane any more, though it has not said so yet.
            if lane.is_ending() {
                return None;
            }
            let place = LanePlace {
                uplink: dialled.uplink.clone(),
                metered: dialled.metered,
                local: dialled.local.ip(),
                remote: dialled.remote,
            };
            core.session.lane_view(*id, place)
        })
        .collect();
    lanes.sort_unstable_by_key(|l| l.id);
    (lanes, core.session.flows().next().is_some())
}
