//! The monitors of a lane at its two ends, on a real connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use quinn_proto::Connection;
use throughline_congestion::LaneSensor;
use throughline_proto::lane::{
    Action, AddressListing, LaneAction, LaneMonitor, LaneState, MAX_ACK_DELAY, Observation,
};
use throughline_proto::wire::datagram::Datagram;
use throughline_proto::wire::fact::Suspicion;

/// How long an advertisement takes to the other end, on a lane that is not simulated.
const ADVERTISED_AFTER: Duration = Duration::from_millis(20);

/// What a monitor found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Acknowledgements are late, as is usual for the path.
    Late,
    /// This end suspects the lane: bulk moves.
    Suspect,
    /// The suspicion is confirmed: all that was sent is sent again.
    Confirmed,
    /// The lane's place is dialed.
    Failed,
    /// The lane is given up.
    Closed,
}

/// The monitor of one end.
#[derive(Debug)]
pub(super) struct Watch {
    monitor: LaneMonitor,
    /// What the other end advertises, and when it comes.
    advertised: Vec<(Instant, Suspicion)>,
    /// What is advertised to the other end.
    pub(super) advertises: Option<(Instant, Suspicion)>,
    before: Option<Finding>,
    pub(super) findings: Vec<(Duration, Finding)>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            monitor: LaneMonitor::new(MAX_ACK_DELAY),
            advertised: vec![],
            advertises: None,
            before: None,
            findings: vec![],
        }
    }

    /// Returns what the monitor finds now.
    fn finding(&self) -> Option<Finding> {
        let condition = self.monitor.condition();
        match self.monitor.state() {
            LaneState::Alive | LaneState::Closed => None,
            LaneState::Late => Some(Finding::Late),
            _ if condition.failed => Some(Finding::Failed),
            _ if condition.confirmed => Some(Finding::Confirmed),
            _ => Some(Finding::Suspect),
        }
    }

    /// Shows the monitor what its end sees, and does what it wants done.
    pub(super) fn evaluate(
        &mut self,
        now: Instant,
        elapsed: Duration,
        connection: &mut Connection,
        sensor: &LaneSensor,
    ) {
        if connection.is_handshaking() {
            return;
        }
        // Asked for only while the lane is suspected: it asks the controller for its window, by which that
        // tells mere acknowledgements apart.
        let received = || connection.stats().udp_rx.datagrams;
        let seen = Observation {
            sensor: sensor.snapshot(),
            received: &received,
            remote: SocketAddr::from((Ipv4Addr::LOCALHOST, 443)),
            address: AddressListing::Listed,
            late_by: Duration::ZERO,
            resumed: false,
        };
        let mut actions = self.monitor.evaluate(now, &seen, 0);
        let due = self.advertised.iter().take_while(|(at, _)| *at <= now).count();
        for (_, suspicion) in self.advertised.drain(..due) {
            actions.extend(self.monitor.handle_advertisement(now, suspicion, 0));
        }
        for action in actions {
            match action {
                Action::Lane(LaneAction::Probe) => probe(connection, sensor),
                Action::Lane(LaneAction::Close(_)) => {
                    self.findings.push((elapsed, Finding::Closed));
                }
                Action::Advertise => {
                    self.advertises = Some((now + ADVERTISED_AFTER, self.monitor.advertisement()));
                }
                _ => {}
            }
        }
        let finding = self.finding();
        if let Some(finding) = finding.filter(|_| finding != self.before) {
            self.findings.push((elapsed, finding));
        }
        self.before = finding;
    }

    /// Takes what the other end advertises.
    pub(super) fn advertise(&mut self, at: Instant, suspicion: Suspicion) {
        self.advertised.push((at, suspicion));
    }

    /// Returns when to evaluate next.
    pub(super) fn next(&self) -> Option<Instant> {
        let advertised = self.advertised.first().map(|(at, _)| *at);
        [self.monitor.next_check(), advertised].into_iter().flatten().min()
    }
}

fn probe(connection: &mut Connection, sensor: &LaneSensor) {
    sensor.allow_probe();
    let ping = Datagram::Ping { seq: sensor.on_ping() };
    let len = Datagram::probe_len(connection.datagrams().max_size().unwrap_or(0));
    let _ = connection.datagrams().send(ping.to_bytes(len), true);
}
