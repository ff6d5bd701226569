//! Dials, migrates and closes the lanes of a session, as the planner decides.
//!
//! Every dialed lane has a socket and an endpoint of its own, bound to its source address: migrating
//! one lane (`rebind`) must not move another.
//!
//! **Tasks and their owner.** Each dial is a task in the [`Attempts`] of its dialer, which belongs to
//! the session's driver; dropping it aborts the dials. A dial ends with a connection, an error, or
//! its timeout. Aborting one is safe: it has no flow's bytes yet, and dropping its endpoint closes
//! what there was of a connection.

mod attempt;
mod attempts;
mod candidates;
mod failures;
mod hold_down;
mod lane_use;
mod lookup;
mod migrate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use self::attempt::{Attempt, DialError};
use self::attempts::Attempts;
use self::candidates::Candidates;
use self::failures::{DialFailures, NoPath};
use self::hold_down::HoldDownReporter;
use self::lane_use::LaneUses;
use super::context::NodeContext;
use super::lane::{self, NewLane};
use super::quic::close;
use super::session::{Core, Origin, SessionHandle};
use throughline_proto::path::{Path, PathKey};
use throughline_proto::plan::{self, LaneView, PlanActions, PlanInput, Planner};
use throughline_proto::session::LanePlace;
use throughline_proto::types::{LaneId, PeerId};
use throughline_proto::wire::VERSION;
use throughline_proto::wire::hello::{Hello, Intent, RejectCode};
use throughline_uplinks::Snapshot;

/// The dialer of one session; its driver owns it.
pub(crate) struct Dialer {
    context: Arc<NodeContext>,
    peer: PeerId,
    planner: Planner,
    candidates: Candidates,
    attempts: Attempts,
    /// The round-trip time of the last lane that came up, which bounds how long a dial may take.
    rtt: Option<Duration>,
    failures: DialFailures,
    lane_uses: LaneUses,
    hold_downs: HoldDownReporter,
}

impl Dialer {
    pub(crate) fn new(context: Arc<NodeContext>, peer: PeerId) -> Self {
        Self {
            context,
            peer,
            planner: Planner::new(rand::random()),
            candidates: Candidates::default(),
            attempts: Attempts::default(),
            rtt: None,
            failures: DialFailures::default(),
            lane_uses: LaneUses::default(),
            hold_downs: HoldDownReporter::default(),
        }
    }

    /// Forgets the failures, so that every path is dialed at once: the system was suspended, so what
    /// failed before says nothing, and the addresses may be others.
    pub(crate) fn reset_backoff(&mut self) {
        self.planner.forget_failures();
        self.candidates.invalidate();
    }

    /// Does what the planner decides; returns when to come back.
    pub(crate) fn step(&mut self, session: &SessionHandle, uplinks: &Snapshot) -> Option<Instant> {
        let now = Instant::now();
        let (lanes, has_flows) = session.with(|core, _| (lane_views(core), has_flows(core)));
        self.update_candidates(session, now, uplinks, &lanes);
        if self.candidates.paths().is_empty() && lanes.is_empty() {
            let no_path = NoPath::new(self.candidates.knows_an_address(), uplinks);
            self.failures.no_path(session, &self.context, now, no_path);
        }
        let input = PlanInput {
            paths: self.candidates.paths(),
            lanes: &lanes,
            dialing: &self.attempts.paths(),
            has_demand: has_flows || self.context.peers.has_demand(self.peer),
        };
        let plan = self.planner.plan(now, &input);
        self.lane_uses.advertise(session, &self.planner, now, &lanes, &plan);
        self.hold_downs.report(session, self.planner.held_down(now));
        let wake_at = plan.wake_at;
        self.perform(session, plan);
        let retry_lookup = self.candidates.retry_at(now);
        [wake_at, retry_lookup].into_iter().flatten().min()
    }

    /// Brings the paths up to date with our addresses and the peer's.
    fn update_candidates(
        &mut self,
        session: &SessionHandle,
        now: Instant,
        uplinks: &Snapshot,
        lanes: &[LaneView],
    ) {
        // While all the lanes are there and answer, nothing needs to be looked up.
        let satisfied = lanes.len() >= plan::wanted_lanes(self.candidates.paths())
            && lanes.iter().all(|lane| lane.suspected_since.is_none());
        let update = self.candidates.update(session, &self.context, now, uplinks, satisfied);
        if update.new_path_on_new_uplinks {
            // What failed before an address came, or its route, says nothing of now.
            self.planner.forget_failures();
        }
        if update.done {
            self.attempts.abort_outdated(|path, device| self.candidates.offers(path, device));
        }
        self.candidates.mark_drained(&self.context.drains);
    }

    fn perform(&mut self, session: &SessionHandle, plan: PlanActions) {
        for (id, path) in plan.migrate {
            migrate::migrate(session, &self.context.uplinks, id, &path);
        }
        for path in plan.abandon {
            self.attempts.abandon(path);
        }
        for id in plan.close {
            session.with(|core, _| {
                let drained = core.session.lane_is_draining(id);
                if let Some(lane) = core.lanes.get_mut(&id) {
                    let reason = if drained { "drained" } else { "replaced by another lane" };
                    lane.end(close::REPLACED, reason);
                }
            });
        }
        for path in plan.dial {
            self.dial(session, path);
        }
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
        debug!(peer = %session.name(), session = %session.id(), %lane, uplink = path.uplink,
               local = %path.local, remote = %path.remote, "dialing");
        self.attempts.start(Attempt {
            context: self.context.clone(),
            peer: self.peer,
            device: self.context.uplinks.device(path.local, path.remote),
            path,
            hello,
            timeout: attempt::timeout(self.rtt),
        });
    }

    /// Waits for a dial to end, and does what follows from it. Cancel-safe.
    pub(crate) async fn dial_ended(&mut self, session: &SessionHandle) {
        // One that was given up is no failure, but the planner is to be asked again.
        let Some((path, result)) = self.attempts.ended().await else { return };
        self.planner.dial_ended(path, result.is_ok());
        match result {
            Ok(lane) => self.attach(session, lane),
            Err(error) => self.dial_failed(session, path, &error),
        }
    }

    fn attach(&mut self, session: &SessionHandle, new: NewLane) {
        self.rtt = Some(new.connection.rtt());
        if session.is_over() {
            close::close(&new.connection, close::DONE, "session over");
            return;
        }
        self.context.peers.dial_succeeded(self.peer);
        if let Origin::Dialed(dialed) = &new.origin {
            self.failures.reset(PathKey { local: dialed.local.ip(), remote: dialed.remote });
        }
        tokio::spawn(lane::run(session.clone(), new));
    }

    fn dial_failed(&mut self, session: &SessionHandle, path: PathKey, error: &DialError) {
        let uplink = self.candidates.uplink_of(path);
        let others_under_way = !self.attempts.is_empty();
        self.failures.log(session, &self.context, path, error);
        match error.rejection() {
            Some((RejectCode::UnknownSession, _)) => {
                warn!(peer = %session.name(), session = %session.id(), "peer restarted; flows end");
                session.lose("peer restarted and no longer knows the session");
            }
            Some((RejectCode::Stale | RejectCode::Superseded, detail)) => {
                session.lose(&format!("session given up: {detail}"));
            }
            _ => self.failures.report(session, path, uplink, error, others_under_way),
        }
    }
}

/// Returns the lanes that we dialed, as the planner sees them.
fn lane_views(core: &Core) -> Vec<LaneView> {
    let view = |(id, lane): (&LaneId, &super::session::LaneEntry)| {
        let dialed = lane.dialed()?;
        // One that is being closed is no lane any more, though its task has not ended yet.
        if lane.is_ending() {
            return None;
        }
        let place = LanePlace {
            uplink: dialed.uplink.clone(),
            metered: dialed.metered,
            local: dialed.local.ip(),
            remote: dialed.remote,
        };
        core.session.lane_view(*id, place)
    };
    let mut lanes: Vec<LaneView> = core.lanes.iter().filter_map(view).collect();
    lanes.sort_unstable_by_key(|lane| lane.id);
    lanes
}

fn has_flows(core: &Core) -> bool {
    core.session.flows().next().is_some()
}
