//! A lane in virtual time: 20 ms of round trip, so a retransmission timeout of 30 ms.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::lane::MAX_ACK_DELAY;
use crate::lane::action::{Action, CloseReason, LaneAction};
use crate::lane::monitor::LaneMonitor;
use crate::lane::observation::{AddressListing, Observation, Overtaken, SensorSnapshot};
use crate::lane::pauses::Pauses;
use crate::lane::report::{FailedDirection, Report, SuspectedBy};
use crate::lane::rules::Rules;
use crate::wire::fact::Suspicion;

pub(super) const MS: Duration = Duration::from_millis(1);

/// A monitor, and all that it is shown.
pub(super) struct Bench {
    pub(super) monitor: LaneMonitor,
    start: Instant,
    pub(super) now: Instant,
    pub(super) seen: SensorSnapshot,
    pub(super) received: u64,
    pub(super) resent: u64,
    pub(super) remote: SocketAddr,
    pub(super) address: AddressListing,
    /// What the monitor wanted done since the last [`Self::take`].
    pub(super) actions: Vec<Action>,
}

impl Bench {
    /// A lane whose address is listed and that has carried something long ago.
    pub(super) fn new(rules: Rules) -> Self {
        let start = Instant::now();
        let now = start + 1000 * MS;
        let acked = Some(start + 500 * MS);
        let mut bench = Self {
            monitor: LaneMonitor::with_rules(MAX_ACK_DELAY, rules),
            start,
            now,
            seen: SensorSnapshot {
                in_flight: 0,
                cwnd: 1 << 20,
                acked_bytes: 0,
                lost_bytes: 0,
                sent_bytes: 0,
                last_ack: acked,
                oldest_unacked: None,
                newest_acked_sent: acked,
                newest_full_acked_sent: acked,
                last_full_ack: acked,
                last_sent: acked,
                overtaken: Overtaken::default(),
                ack_interval: MS,
                srtt: 20 * MS,
                rttvar: MS,
                min_rtt: 20 * MS,
                pauses: Pauses::default(),
                epoch: 0,
            },
            received: 0,
            resent: 0,
            remote: "192.0.2.1:443".parse().unwrap(),
            address: AddressListing::Listed,
            actions: Vec::new(),
        };
        bench.evaluate();
        bench.actions.clear();
        bench
    }

    pub(super) fn evaluate(&mut self) {
        self.wake(Duration::ZERO, false);
    }

    /// Evaluates when the driver woke so late, or the machine was suspended.
    pub(super) fn wake(&mut self, late_by: Duration, resumed: bool) {
        let received = self.received;
        let seen = Observation {
            sensor: self.seen,
            received: &|| received,
            remote: self.remote,
            address: self.address,
            late_by,
            resumed,
        };
        let actions = self.monitor.evaluate(self.now, &seen, self.resent);
        self.actions.extend(actions);
    }

    /// Lets time pass, evaluating every 10 ms as a driver that is woken does.
    pub(super) fn pass(&mut self, ms: u32) {
        self.pass_with(ms, |_| {});
    }

    /// The same, with `step` before each evaluation.
    pub(super) fn pass_with(&mut self, ms: u32, step: impl Fn(&mut Self)) {
        let end = self.now + ms * MS;
        while self.now < end {
            self.now = (self.now + 10 * MS).min(end);
            step(self);
            self.evaluate();
        }
    }

    pub(super) fn advertised(&mut self, suspicion: Suspicion) {
        let actions = self.monitor.handle_advertisement(self.now, suspicion, self.resent);
        self.actions.extend(actions);
        self.evaluate();
    }

    pub(super) fn noticed(&mut self, narrow: bool) {
        let actions = self.monitor.handle_notice(self.now, narrow);
        self.actions.extend(actions);
        self.evaluate();
    }

    /// Small packets that were sent later have overtaken full ones, by so many acknowledgements.
    pub(super) fn overtaken(&mut self, turns: u32) {
        self.seen.overtaken = Overtaken { packets: 30, turns };
    }

    /// Much is in flight, and acknowledgements have come like a clock until now.
    pub(super) fn busy(&mut self) {
        self.seen.in_flight = 500_000;
        self.acked_full(self.now - 20 * MS);
        self.seen.oldest_unacked = Some(self.now - 19 * MS);
        self.seen.last_sent = Some(self.now);
    }

    /// A small packet that was sent at `sent` is acknowledged now.
    pub(super) fn acked_small(&mut self, sent: Instant) {
        self.seen.last_ack = Some(self.now);
        self.seen.newest_acked_sent = self.seen.newest_acked_sent.max(Some(sent));
        self.seen.oldest_unacked = self.seen.oldest_unacked.map(|at| at.max(sent + MS));
    }

    /// The same of a packet as large as the path allows.
    pub(super) fn acked_full(&mut self, sent: Instant) {
        self.acked_small(sent);
        self.seen.newest_full_acked_sent = self.seen.newest_full_acked_sent.max(Some(sent));
        self.seen.last_full_ack = Some(self.now);
    }

    /// The lane has another path, of which nothing is known.
    pub(super) fn new_path(&mut self) {
        self.seen.epoch += 1;
        self.seen.in_flight = 0;
        self.seen.oldest_unacked = None;
        self.seen.newest_acked_sent = None;
        self.seen.newest_full_acked_sent = None;
    }

    /// What the monitor wanted done since last, as text.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.actions.drain(..).map(|action| describe(&action)).collect()
    }

    /// When the monitor wants to be asked again, as text.
    pub(super) fn next_check(&self) -> String {
        match self.monitor.next_check() {
            None => "never".into(),
            Some(at) => format!("{} ms", at.saturating_duration_since(self.now).as_millis()),
        }
    }

    pub(super) fn since_start(&self) -> Duration {
        self.now - self.start
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::CopyThin => "copy thin flows".into(),
        Action::MarkAtRisk => "mark at risk".into(),
        Action::Trust { spurious: true } => "trust: spurious".into(),
        Action::Trust { spurious: false } => "trust".into(),
        Action::Reselect => "reselect".into(),
        Action::Advertise => "advertise".into(),
        Action::Lane(LaneAction::Probe) => "probe".into(),
        Action::Lane(LaneAction::Notice { narrow: false }) => "notice".into(),
        Action::Lane(LaneAction::Notice { narrow: true }) => "notice: narrow".into(),
        Action::Lane(LaneAction::Close(CloseReason::Unresponsive)) => "close: unresponsive".into(),
        Action::Lane(LaneAction::Close(CloseReason::OneWay)) => "close: one-way".into(),
        Action::Lane(LaneAction::Report(report)) => format!("report {}", describe_report(report)),
    }
}

pub(super) fn describe_report(report: &Report) -> String {
    match report {
        Report::Raised { .. } => "raised".into(),
        Report::Suspected { detected_by: SuspectedBy::Us { rule, silence }, suppressed } => {
            format!("suspected ({rule}, silent {} ms, {suppressed} before)", silence.as_millis())
        }
        Report::Suspected { detected_by: SuspectedBy::Peer, suppressed } => {
            format!("suspected (by the peer, {suppressed} before)")
        }
        Report::Recovered { after } => format!("recovered after {} ms", after.as_millis()),
        Report::Withdrawn { after } => format!("withdrawn after {} ms", after.as_millis()),
        Report::OneWay(FailedDirection::Ours { received }) => format!("one-way, {received} came"),
        Report::OneWay(FailedDirection::Peers) => "one-way (by the peer)".into(),
        Report::Lossy { percent } => format!("lossy, {percent} %"),
        Report::PeerMigrated { .. } => "the peer migrated".into(),
        Report::Hedged { bytes, .. } => format!("hedged {bytes} bytes"),
    }
}
