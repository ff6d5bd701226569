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
mod outdated;
mod prober;
mod redundancy;
mod standby;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use self::attempt::{Attempt, DialError};
use self::attempts::Attempts;
use self::candidates::Candidates;
use self::failures::{DialFailures, NoPath};
use self::hold_down::HoldDownReporter;
use self::lane_use::LaneUses;
use self::outdated::{DialedLanes, OutdatedLanes};
use self::prober::Prober;
use self::redundancy::{PossiblePaths, RedundancyReporter};
use self::standby::{Duty, Standby};
use super::context::NodeContext;
use super::lane::{self, NewLane};
use super::peers::PACKETS_OF_A_DIAL;
use super::quic::close;
use super::session::{Core, Origin, SessionHandle};
use throughline_proto::path::{Path, PathKey};
use throughline_proto::plan::{self, LaneView, PlanActions, PlanInput, Planner};
use throughline_proto::types::{LaneId, PeerId, Side};
use throughline_proto::wire::hello::{Hello, Intent, RejectCode};
use throughline_proto::wire::version::VERSIONS;
use throughline_uplinks::Snapshot;

/// The dialer of one session; its driver owns it.
pub(crate) struct Dialer {
    /// Whether to dial at all, at an acceptor.
    standby: Option<Standby>,
    context: Arc<NodeContext>,
    peer: PeerId,
    planner: Planner,
    candidates: Candidates,
    attempts: Attempts,
    prober: Prober,
    /// The round-trip time of the last lane that came up, which bounds how long a dial may take.
    rtt: Option<Duration>,
    failures: DialFailures,
    lane_uses: LaneUses,
    hold_downs: HoldDownReporter,
    redundancy: RedundancyReporter,
    outdated: OutdatedLanes,
    /// The generation of the uplinks with which the peer was last told where we can be reached.
    advertised_with: Option<u64>,
}

impl Dialer {
    /// Returns the dialer of an initiator, or of an acceptor that dials where only it can.
    pub(crate) fn new(context: Arc<NodeContext>, peer: PeerId, side: Side) -> Self {
        Self {
            standby: (side == Side::Acceptor).then(Standby::default),
            prober: Prober::new(context.meter.clone()),
            context,
            peer,
            planner: Planner::new(rand::random()),
            candidates: Candidates::default(),
            attempts: Attempts::default(),
            rtt: None,
            failures: DialFailures::default(),
            lane_uses: LaneUses::default(),
            hold_downs: HoldDownReporter::default(),
            redundancy: RedundancyReporter::default(),
            outdated: OutdatedLanes::default(),
            advertised_with: None,
        }
    }

    /// Forgets the failures, so that every path is dialed at once: the system was suspended, or the peer is
    /// configured anew, so what failed before says nothing, and the addresses may be others.
    pub(crate) fn reset_backoff(&mut self) {
        self.planner.forget_failures(Instant::now());
        self.candidates.invalidate();
    }

    /// Does what the planner decides; returns when to come back.
    pub(crate) fn step(&mut self, session: &SessionHandle, uplinks: &Snapshot) -> Option<Instant> {
        let now = Instant::now();
        let (is_muted, has_left) = session.with(|core, _| (core.session.is_muted(), core.has_left));
        if has_left {
            // What the dials have set up so far is closed with them.
            self.attempts = Attempts::default();
        }
        if is_muted {
            // Another process is about to dial.
            return None;
        }
        self.advertise_ourselves(session, uplinks);
        let (dialed, has_flows, waits, reset) = session.with(|core, _| {
            let dialed =
                DialedLanes::of(core, &self.context, session.peer(), session.log().label());
            let reset = std::mem::take(&mut core.reset_paths);
            (dialed, has_flows(core), core.session.take_unserved_write(), reset)
        });
        let renew_at = self.outdated.renew_accepted(session, &self.context, now);
        let ours = dialed.all();
        // Where a process has answered that it does not know a lane, it is asked for the session at once.
        for path in reset {
            self.planner.path_answered(now, path);
        }
        if self.standby.is_some()
            && ours.is_empty()
            && self.context.peers.locators(self.peer).is_empty()
        {
            return renew_at;
        }
        self.outdated.release(&mut self.planner, &dialed);
        match self.duty(session, now, !ours.is_empty()) {
            Duty::Dial => {}
            Duty::StandBy(until) => return earliest([until, renew_at]),
            Duty::Retire => {
                return Some(standby::retire(session, now, &ours, standby::ANSWERED_AGAIN));
            }
        }
        let lanes = &dialed.current;
        self.update_candidates(session, now, uplinks, lanes);
        let retire_at = OutdatedLanes::retire(session, now, &dialed, self.candidates.paths());
        if self.candidates.paths().is_empty() && lanes.is_empty() {
            let no_path =
                NoPath::new(self.candidates.knows_an_address(), uplinks, &self.context.allowances);
            self.failures.no_path(session, &self.context, now, no_path);
        }
        let input = PlanInput {
            paths: self.candidates.paths(),
            lanes,
            dialing: &self.attempts.paths(),
            has_demand: has_flows || self.context.peers.has_demand(self.peer),
        };
        if waits {
            self.planner.application_waits(now);
        }
        let plan = self.planner.plan(now, &input);
        self.lane_uses.advertise(session, (&self.context, &self.planner), now, lanes, &plan);
        self.hold_downs.report(session, self.planner.held_down(now));
        let wake_at = plan.wake_at;
        self.perform(session, plan);
        let retry_lookup = self.candidates.retry_at(now);
        let missed_at = self.report_redundancy(session, now, uplinks);
        earliest([wake_at, retry_lookup, retire_at, missed_at, renew_at])
    }

    /// Reports what lanes are missed, at the initiator, whose business they are.
    fn report_redundancy(
        &mut self,
        session: &SessionHandle,
        now: Instant,
        uplinks: &Snapshot,
    ) -> Option<Instant> {
        if self.standby.is_some() {
            return None;
        }
        let possible = PossiblePaths {
            uplinks,
            paths: self.candidates.paths(),
            drained_remotes: self.planner.drained_remotes().collect(),
            named: self.candidates.named_prefixes(),
        };
        self.redundancy.report(session, &self.context, now, &possible)
    }

    /// Advertises where we can be reached, when the uplinks have changed: the addresses that we listen on are
    /// those of the uplinks, where all are listened on.
    fn advertise_ourselves(&mut self, session: &SessionHandle, uplinks: &Snapshot) {
        if self.advertised_with.replace(uplinks.generation) == Some(uplinks.generation) {
            return;
        }
        let locators = self.context.own_locators();
        session.with(|core, _| core.session.set_locators(locators));
    }

    /// Returns what to do about lanes, at an acceptor; `ours`: it has dialed some.
    fn duty(&mut self, session: &SessionHandle, now: Instant, ours: bool) -> Duty {
        let Some(standby) = &mut self.standby else { return Duty::Dial };
        let theirs_up = session.with(|core, _| {
            let theirs = core.lanes.iter().filter(|(_, lane)| lane.dialed().is_none());
            theirs.filter(|(id, _)| core.session.lane_is_up(**id)).count() > 0
        });
        let duty = standby.duty(now, theirs_up, ours);
        if duty != Duty::Dial {
            self.planner.stand_by();
        }
        duty
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
            self.planner.forget_failures(now);
        } else if update.uplinks_changed {
            self.planner.network_changed(now);
        }
        if update.done {
            self.attempts.abort_outdated(|path, device| self.candidates.offers(path, device));
        }
        self.candidates.mark_drained(&self.context.drains);
    }

    fn perform(&mut self, session: &SessionHandle, plan: PlanActions) {
        for (id, path) in plan.migrate {
            migrate::migrate(session, &self.context, id, &path);
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
        for path in plan.probe {
            self.probe(session, &path);
        }
    }

    /// Returns whether so many packets may be sent to an address. To one that only the peer named no more
    /// than a bound may be: it could make us send to others.
    fn may_send(&self, remote: SocketAddr, packets: u32) -> bool {
        !self.candidates.is_named(remote)
            || self.context.peers.may_send_to_named(self.peer, packets)
    }

    fn dial(&mut self, session: &SessionHandle, path: Path) {
        if !self.may_send(path.remote, PACKETS_OF_A_DIAL) {
            debug!(peer = %session.name(), remote = %path.remote,
                   "not dialed: too many dials to addresses that the peer named");
            self.planner.dial_ended(path.key(), false);
            return;
        }
        let taken = session.with(|core, _| {
            // Under the lock: from the freeze on the next numbers are another process's.
            if core.session.is_muted() {
                return None;
            }
            let lane = LaneId(core.next_lane);
            core.next_lane += 1;
            Some((lane, core.generation, core.session.params()))
        });
        // Where nobody takes the session over the path is dialed when it is next due.
        let Some((lane, generation, params)) = taken else { return };
        let intent = if session.is_established() { Intent::Resume } else { Intent::Create };
        let hello = Hello {
            version: VERSIONS.offer(),
            session: session.id(),
            intent,
            generation,
            instance: self.context.instance(),
            lane,
            params,
        };
        debug!(peer = %session.name(), session = %session.id(), %lane, uplink = path.uplink,
               local = %path.local, remote = %path.remote, "dialing");
        let failures = self.planner.dial_failures(path.key());
        self.attempts.start(Attempt {
            context: self.context.clone(),
            peer: self.peer,
            device: self.context.uplinks.device(path.local, path.remote),
            path,
            hello,
            timeout: attempt::timeout(self.rtt, failures),
        });
    }

    fn probe(&mut self, session: &SessionHandle, path: &Path) {
        if !self.may_send(path.remote, 1) {
            return;
        }
        let device = self.context.uplinks.device(path.local, path.remote);
        if let Err(error) = self.prober.probe(path, device) {
            debug!(peer = %session.name(), session = %session.id(), uplink = path.uplink,
                   local = %path.local, remote = %path.remote, "cannot probe a path: {error}");
        }
    }

    /// Waits for a dial to end, or a probe to be answered, and does what follows from it.
    /// Cancel-safe.
    pub(crate) async fn answered(&mut self, session: &SessionHandle) {
        tokio::select! {
            ended = self.attempts.ended() => {
                // One that was given up is no failure, but the planner is to be asked again.
                if let Some((path, result)) = ended {
                    self.dial_ended(session, path, result);
                }
            }
            path = self.prober.answered() => self.planner.path_answered(Instant::now(), path),
        }
    }

    fn dial_ended(
        &mut self,
        session: &SessionHandle,
        path: PathKey,
        result: Result<NewLane, DialError>,
    ) {
        self.planner.dial_ended(path, result.is_ok());
        match result {
            Ok(lane) => self.attach(session, lane),
            Err(error) => {
                let mtu = self.context.uplinks.path_mtu(path.local, path.remote);
                self.dial_failed(session, path, &error.over(path, mtu));
            }
        }
    }

    fn attach(&mut self, session: &SessionHandle, new: NewLane) {
        self.rtt = Some(new.connection.rtt());
        if session.is_over() {
            close::close(&new.connection, close::DONE, "session over");
            return;
        }
        self.context.peers.dialed(self.peer);
        if let Origin::Dialed(dialed) = &new.origin {
            self.redundancy.dial_succeeded(&dialed.uplink);
            self.failures.reset(PathKey { local: dialed.local.ip(), remote: dialed.remote });
        }
        tokio::spawn(lane::run(session.clone(), new));
    }

    fn dial_failed(&mut self, session: &SessionHandle, path: PathKey, error: &DialError) {
        let uplink = self.candidates.uplink_of(path);
        let others_under_way = !self.attempts.is_empty();
        self.failures.log(session, &self.context, path, error);
        self.redundancy.dial_failed(uplink.as_deref(), error);
        match error.rejection() {
            Some((RejectCode::UnknownSession, _)) => {
                warn!(peer = %session.name(), session = %session.id(),
                      "the peer's process ended: peer restarted; flows end");
                let reason = "peer restarted and no longer knows the session";
                session.lose(&format!("the peer's process ended: {reason}"));
            }
            Some((RejectCode::Stale | RejectCode::Superseded, detail)) => {
                session.lose(&format!("session given up: {detail}"));
            }
            _ => self.failures.report(session, path, uplink, error, others_under_way),
        }
    }
}

fn earliest<const N: usize>(times: [Option<Instant>; N]) -> Option<Instant> {
    times.into_iter().flatten().min()
}

fn has_flows(core: &Core) -> bool {
    core.session.flows().next().is_some()
}

#[cfg(test)]
mod tests;
