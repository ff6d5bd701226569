//! The monitor of a lane: one state machine from the first late acknowledgement to the close.

mod assess;
#[cfg(test)]
mod assume;
mod give_up;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::action::{Action, LaneAction};
use super::condition::{Condition, LaneState};
use super::episode::Episode;
use super::loss::LossMeter;
use super::narrow::Narrow;
use super::observation::{Observation, SensorSnapshot};
use super::probe::ProbeSchedule;
use super::random_loss::RandomLoss;
use super::report::{HedgeReporter, Report, Reporter};
use super::rules::{Rule, Rules};
use super::spurious::SpuriousFilter;
use super::suspicion::{Health, SuspicionDetector};
use crate::types::LaneId;
use crate::wire::fact::Suspicion;

/// How long a peer's advertisement that it suspects a lane stands without being repeated. It is
/// repeated with every probe, of which there is one each 100 ms; this allows for one lost.
pub const ADVERTISEMENT_TTL: Duration = Duration::from_millis(250);

/// The longest that a suspicion without progress counts as a guess, however long the retransmission
/// timeout is: the timeout of a path that nothing is known of (RFC 6298 §2). Guesses are hedged from a
/// budget that only acknowledgements fill, so that a flow that has none may wait for so long.
const MAX_GUESS: Duration = Duration::from_secs(1);

/// Decides what becomes of one lane at one end.
///
/// Sans-I/O: feed it [`Observation`]s, the peer's advertisements and migrations, each with `now`;
/// do the [`Action`]s that it returns; come back at [`next_check`](Self::next_check).
///
/// ```text
///            ┌───────┐  late  ┌──────┐
///   ┌──────► │ Alive │ ◄────► │ Late │ (raised, as from Alive)
///   │        └───┬───┘  acked └──────┘ ◄─────────────────────┐
///   │ ended      │ raised                                    │ ended
///   │            ▼            confirmed                      │
///   │       ┌─────────┐ ──────────────────► ┌───────────┐ ───┤
///   └────── │ Suspect │                     │ Confirmed │    │
///           └─────────┘ ◄────────────────── └───────────┘    │
///                │           progress          │   │ one-way │
///                │                             │   ▼         │
///                │ silent               silent │ ┌────────┐  │
///                │                             │ │ OneWay │ ─┘ (or, by progress, Suspect)
///                ▼                             │ └────────┘
///            ┌────────┐ ◄──────────────────────┘   │ told
///            │ Closed │ ◄──────────────────────────┘
///            └────────┘
/// ```
///
/// | edge | when |
/// |---|---|
/// | late | acknowledgements are overdue, but no longer than is usual for the path |
/// | raised | our bulk or thin rule or vanished full packets ([`SuspicionDetector`]), our address is lost, or the peer suspects the lane |
/// | confirmed | nothing full was acknowledged for a retransmission timeout, or a second, our address is lost, or the peer suspects it for a timeout |
/// | progress | a full packet, sent whenever, was acknowledged |
/// | ended | we trust it: a full packet sent after the suspicion was raised is acknowledged, the address is back, or the lane has another path; and the peer trusts it, or did not repeat its suspicion for [`ADVERTISEMENT_TTL`] |
/// | one-way | the peer's packets come, and none of many valid probes was answered (`one_way`) |
/// | told | 5 ms later: the advertisement has left on the other lanes |
/// | silent | 10 s after the suspicion was raised |
///
/// **What an end may do depends on how sure it is**, because that costs ever more:
///
/// | at | what is done | how often it may be wrong |
/// |---|---|---|
/// | `Late` | thin flows' bytes go out on another lane as well | always |
/// | `Suspect` | bulk flows move, what they sent is sent again within a budget | once a minute |
/// | `Confirmed` | … without a budget | |
/// | `Confirmed`, and *failed* ([`Condition::failed`]) | the lane's place is dialed; a lane found one-way is closed | never, if pauses stay as they were |
///
/// A path that does not pause has no `Late`, and what is confirmed has failed; what only the peer is sure of has after
/// three retransmission timeouts.
///
/// A lane in `Suspect`, `Confirmed` or `OneWay` *is suspected*: what it carries is at risk and goes
/// out on another lane as well, and it is probed. Beside the state a lane may be *lossy* (flows leave it
/// where there is a better one), and the other end may have found a one-way failure.
///
/// **Life-cycle.** A monitor is made with its lane and dropped with it. A suspicion is an
/// *episode*: it begins when the first end suspects the lane and ends when neither does; a new path
/// begins a new one. All that is known of an episode is forgotten with it, but for when it ended,
/// whether it was spurious, and how many there were.
///
/// **Invariants.**
/// - The lane is suspected if and only if there is an episode: either end's opinion alone opens it,
///   and only both together end it. (The peer's comes as a fact, or as a notice on the lane itself.)
/// - Each change that the session must act on is one action: [`Action::MarkAtRisk`] when the lane is
///   suspected or confirmed, [`Action::Trust`] when it is suspected no more.
/// - What [`Report::Recovered`] ends, [`Report::Suspected`] began.
/// - Nothing is returned after [`LaneAction::Close`](super::LaneAction::Close).
///
/// **What it never does.** It never closes a lane because of loss, of the peer's opinion alone in
/// less than 10 s, or of a lost address: a lane may get another one. It never trusts a lane because
/// a small packet passed. It never reads a clock.
#[derive(Debug)]
pub struct LaneMonitor {
    rules: Rules,
    detector: SuspicionDetector,
    health: Health,
    /// Acknowledgements are late, as is usual for the path.
    late: bool,
    /// When a silence that we suspect is longer than any pause of the path.
    fails_at: Option<Instant>,
    address: Address,
    peer: Option<PeerSuspicion>,
    episode: Option<Episode>,
    /// When the last episode ended.
    recently_suspected: Option<Instant>,
    /// What we send is lost while the peer's packets come, as the peer is told.
    one_way: bool,
    path: Path,
    random_loss: RandomLoss,
    /// Whether full packets vanish where smaller ones pass.
    narrow: Narrow,
    loss: LossMeter,
    lossy: bool,
    spurious: SpuriousFilter,
    probes: ProbeSchedule,
    notice_after: Option<Instant>,
    reporter: Reporter,
    /// Reports of an episode that ended since the last evaluation: one or two.
    pending: Vec<Report>,
    /// The peer's finding that its direction is dead was reported.
    peers_one_way_reported: bool,
    hedges: HedgeReporter,
    closed: bool,
    next_check: Option<Instant>,
}

/// The peer's advertisement that it suspects the lane.
#[derive(Clone, Copy, Debug)]
struct PeerSuspicion {
    /// When it was last repeated.
    heard_at: Instant,
    /// Our packets arrive there, its own are lost.
    one_way: bool,
    /// Of its own only small ones arrive.
    narrow: bool,
}

/// What the system says of our address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    /// Never listed, so its absence means nothing.
    Unknown,
    Present,
    Lost,
}

/// The path that the lane is on.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    epoch: u64,
    remote: Option<SocketAddr>,
    migrated_at: Option<Instant>,
    newest_acked_sent: Option<Instant>,
}

impl LaneMonitor {
    /// Returns the monitor of a new lane, whose peer delays acknowledgements by up to
    /// `max_ack_delay`.
    pub fn new(max_ack_delay: Duration) -> Self {
        Self::with_rules(max_ack_delay, Rules::default())
    }

    pub(super) fn with_rules(max_ack_delay: Duration, rules: Rules) -> Self {
        Self {
            rules,
            detector: SuspicionDetector::with_rules(max_ack_delay, rules),
            health: Health::Alive,
            late: false,
            fails_at: None,
            address: Address::Unknown,
            peer: None,
            episode: None,
            recently_suspected: None,
            one_way: false,
            path: Path::default(),
            random_loss: RandomLoss::new(rules),
            narrow: Narrow::No,
            loss: LossMeter::new(rules),
            lossy: false,
            spurious: SpuriousFilter::default(),
            probes: ProbeSchedule::new(rules),
            notice_after: None,
            reporter: Reporter::new(rules),
            pending: Vec::new(),
            peers_one_way_reported: false,
            hedges: HedgeReporter::default(),
            closed: false,
            next_check: None,
        }
    }

    /// Evaluates what was observed at `now`. `resent` counts the bytes that have been sent again on
    /// other lanes of the session.
    pub fn evaluate(&mut self, now: Instant, seen: &Observation<'_>, resent: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        self.next_check = None;
        if self.closed {
            return actions;
        }
        self.detector.timer_fired(now, seen.late_by);
        if seen.resumed && self.rules.apply(Rule::ProbeOnResume) {
            self.probe(now, seen, &mut actions);
        }
        self.follow_path(now, seen, &mut actions);
        let SensorSnapshot { epoch, acked_bytes, lost_bytes, .. } = seen.sensor;
        self.random_loss.observe(now, epoch, acked_bytes, lost_bytes);
        let was_late = self.late;
        let health = self.judge(now, seen);
        if self.late && !was_late {
            actions.push(Action::CopyThin);
            if self.random_loss.is_possible() {
                // Another packet: if that is not answered either it is no random loss.
                actions.push(Action::Lane(LaneAction::Probe));
            }
        }
        self.assess(now, health, seen.sensor.newest_full_acked_sent, resent, &mut actions);
        self.measure_loss(now, &seen.sensor, &mut actions);
        self.report(now, &seen.sensor, resent, &mut actions);
        self.probe_or_close(now, seen, &mut actions);
        self.give_notice(now, &seen.sensor, &mut actions);
        actions
    }

    /// Handles the peer's advertisement of what it thinks of the lane.
    pub fn handle_advertisement(
        &mut self,
        now: Instant,
        advertised: Suspicion,
        resent: u64,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.closed || !self.rules.apply(Rule::PeerSuspects) {
            return actions;
        }
        let before = self.peer.is_some();
        let one_way = advertised == Suspicion::OneWay;
        let narrow = self.peer.is_some_and(|peer| peer.narrow);
        self.peer = (advertised != Suspicion::None).then_some(PeerSuspicion {
            heard_at: now,
            one_way,
            narrow,
        });
        match (before, self.peer.is_some()) {
            (false, true) => self.suspected(now, &mut actions),
            (true, false) if !self.is_suspected() => self.trusted(now, resent, &mut actions),
            _ => return actions,
        }
        // A probe is to be sent at once, and a report that is due.
        self.next_check = Some(now);
        actions
    }

    /// Handles the peer's notice that it suspects the lane; `narrow`: of what it sends small packets pass and
    /// full ones do not.
    pub fn handle_notice(&mut self, now: Instant, narrow: bool) -> Vec<Action> {
        let (one_way, narrow) =
            self.peer.map_or((false, narrow), |peer| (peer.one_way, narrow || peer.narrow));
        let advertised = if one_way { Suspicion::OneWay } else { Suspicion::Suspected };
        let before = self.peer.is_some_and(|peer| peer.narrow);
        let actions = self.handle_advertisement(now, advertised, 0);
        if let Some(peer) = &mut self.peer {
            peer.narrow = narrow;
        }
        if narrow && !before {
            self.check_at(Some(now));
        }
        actions
    }

    /// Handles that this end moved the lane to another local address (RFC 9000 §9).
    pub fn handle_migration(&mut self, now: Instant) {
        self.path.migrated_at = Some(now);
        if let Some(episode) = &mut self.episode {
            episode.close_at = None;
        }
    }

    /// Returns reports of bytes that were sent again on this lane, `total` since it began.
    /// `suspects` names the lanes that are suspect.
    pub fn report_hedged(
        &mut self,
        now: Instant,
        total: u64,
        suspects: impl FnOnce() -> Vec<LaneId>,
    ) -> Option<Report> {
        let (report, again) = self.hedges.observe(now, total, suspects);
        self.check_at(again);
        report
    }

    /// Returns what was not reported yet: the lane ends.
    pub fn final_reports(&mut self) -> Vec<Report> {
        let mut reports = std::mem::take(&mut self.pending);
        reports.extend(self.reporter.report());
        reports.extend(self.peers_one_way());
        reports
    }

    /// Returns when to evaluate the next observation, at the latest; `None` while nothing is
    /// outstanding.
    pub fn next_check(&self) -> Option<Instant> {
        self.next_check
    }

    /// Returns the state of the lane.
    pub fn state(&self) -> LaneState {
        match &self.episode {
            _ if self.closed => LaneState::Closed,
            None if self.late => LaneState::Late,
            None => LaneState::Alive,
            Some(episode) if episode.close_at.is_some() => LaneState::OneWay,
            Some(episode) if episode.confirmed => LaneState::Confirmed,
            Some(_) => LaneState::Suspect,
        }
    }

    /// Returns what a planner needs to know.
    pub fn condition(&self) -> Condition {
        let Path { migrated_at, newest_acked_sent, .. } = self.path;
        Condition {
            suspected_since: self.episode.as_ref().map(|episode| episode.since),
            confirmed: self.episode.as_ref().is_some_and(|episode| episode.confirmed),
            failed: self.episode.as_ref().is_some_and(|episode| episode.failed),
            ours: self.health != Health::Alive,
            narrow: self.is_narrow(),
            recently_suspected: self.recently_suspected,
            migrated_at,
            validated: migrated_at.is_none_or(|migrated| newest_acked_sent > Some(migrated)),
        }
    }

    /// Returns whether small packets pass on the suspect lane and large ones do not, of ours or of the peer's.
    fn is_narrow(&self) -> bool {
        let ours = self.health != Health::Alive && self.narrow >= Narrow::Likely;
        ours && self.rules.apply(Rule::NarrowFails) || self.peer.is_some_and(|peer| peer.narrow)
    }

    /// Returns what this end thinks of the lane, whatever the peer does.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Returns whether either end suspects the lane.
    pub fn is_suspected(&self) -> bool {
        self.health != Health::Alive || self.peer.is_some()
    }

    /// Returns whether acknowledgements are late, though no later than is usual for the path.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Returns whether the lane's path loses packets now and then.
    pub fn loses(&self) -> bool {
        self.random_loss.is_usual()
    }

    /// Returns whether the lane loses much of what we send.
    pub fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// Returns what the peer is told that this end thinks of the lane.
    pub fn advertisement(&self) -> Suspicion {
        match (self.health, self.one_way) {
            (Health::Alive, _) => Suspicion::None,
            (Health::Suspect { .. }, false) => Suspicion::Suspected,
            (Health::Suspect { .. }, true) => Suspicion::OneWay,
        }
    }

    /// Returns how often the lane was suspected, however briefly.
    pub fn suspicions(&self) -> u64 {
        self.reporter.count()
    }
}

#[cfg(test)]
mod tests;
