//! What is shown: the rows of the last answers, with rates by comparison with those before.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use throughline_proto::types::printable;

use crate::report::{LaneReport, MoveReport, Report, SessionReport, UplinkReport};

/// The rows of a moment.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Who the daemon is.
    pub(crate) id: String,
    pub(crate) uptime: Duration,
    pub(crate) uplinks: Vec<UplinkRow>,
    pub(crate) lanes: Vec<LaneRow>,
    pub(crate) flows: Vec<FlowRow>,
    /// How many flows there are, which is known before the rows are.
    pub(crate) live_flows: usize,
    /// What is wrong now, a sentence each.
    pub(crate) problems: Vec<String>,
    /// Flows that went on when a lane failed, since the daemon's start.
    pub(crate) survived: u64,
    pub(super) of_uplinks: Counts<String>,
    pub(super) of_lanes: Counts<(String, u64)>,
    pub(super) of_flows: Counts<(String, u64)>,
}

/// A way out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct UplinkRow {
    pub(crate) name: String,
    /// `in use`, `no answer`, `no lane`, `standby`, `no address`, `budget spent` or `draining`.
    pub(crate) state: &'static str,
    pub(crate) lanes: usize,
    pub(crate) rate: Rate,
    pub(crate) failed_lanes: u64,
    /// What is used of its budget, if it has one.
    pub(crate) budget: String,
}

impl UplinkRow {
    /// Returns whether nothing goes over it although nobody wants that.
    pub(crate) fn is_broken(&self) -> bool {
        !["in use", "standby", "draining"].contains(&self.state)
    }
}

/// A lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LaneRow {
    pub(crate) peer: String,
    pub(crate) name: String,
    pub(crate) uplink: String,
    pub(crate) remote: String,
    /// `up`, `suspect` or `connecting`, and what else a person should know.
    pub(crate) state: String,
    pub(crate) is_up: bool,
    pub(crate) rtt_ms: f64,
    pub(crate) rate: Rate,
    pub(crate) suspicions: u64,
}

/// A flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FlowRow {
    pub(crate) peer: String,
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) mode: String,
    /// The lanes that carry its new bytes.
    pub(crate) lanes: String,
    pub(crate) rate: Rate,
    /// Bytes since its beginning.
    pub(crate) total: u64,
    /// When it last moved, and why.
    pub(crate) moved: String,
}

/// Bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    pub(crate) sent: f64,
    pub(crate) received: f64,
}

impl Rate {
    pub(crate) fn sum(self) -> f64 {
        self.sent + self.received
    }
}

/// Bytes sent and received, of each thing that is counted, and when.
#[derive(Debug)]
pub(super) struct Counts<K> {
    at: Option<Instant>,
    bytes: HashMap<K, (u64, u64)>,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self { at: None, bytes: HashMap::new() }
    }
}

impl<K: Eq + std::hash::Hash> Counts<K> {
    /// Returns those that come after, at `at`.
    fn after(&self, at: Instant) -> Self {
        Self { at: Some(at), bytes: HashMap::with_capacity(self.bytes.len()) }
    }

    /// Counts a thing; returns its rate since `before`, which is none where it was not there yet.
    fn rate(&mut self, before: &Self, key: K, sent: u64, received: u64) -> Rate {
        let elapsed = before.at.zip(self.at).map(|(then, now)| now.saturating_duration_since(then));
        let was = before.bytes.get(&key).copied();
        self.bytes.insert(key, (sent, received));
        match (was, elapsed) {
            (Some(was), Some(elapsed)) if !elapsed.is_zero() => {
                // A daemon that was started anew counts anew.
                let rate =
                    |was: u64, now: u64| now.saturating_sub(was) as f64 / elapsed.as_secs_f64();
                Rate { sent: rate(was.0, sent), received: rate(was.1, received) }
            }
            _ => Rate::default(),
        }
    }
}

impl Board {
    /// Takes an answer about everything but flows, which came at `at`.
    pub(crate) fn take_lanes(&mut self, report: &Report, at: Instant) {
        self.id = text(&report.id);
        self.uptime = Duration::try_from_secs_f64(report.uptime_s).unwrap_or_default();
        self.problems = report.problems().iter().map(|problem| text(problem)).collect();
        self.survived = report.totals.iter().map(|totals| totals.surviving_flows).sum();
        let before = std::mem::take(&mut self.of_uplinks);
        let mut counts = before.after(at);
        let row = |uplink| uplink_row(uplink, report, &before, &mut counts);
        self.uplinks =
            report.uplinks.iter().filter(|uplink| uplink.is_followed()).map(row).collect();
        self.of_uplinks = counts;
        let before = std::mem::take(&mut self.of_lanes);
        let mut counts = before.after(at);
        self.lanes.clear();
        for (peer, session) in sessions(report) {
            let row = |lane| lane_row((peer, session), lane, &before, &mut counts);
            self.lanes.extend(session.lanes.iter().map(row));
        }
        self.of_lanes = counts;
        self.live_flows = sessions(report).map(|(_, session)| session.live_flows).sum();
    }

    /// Takes an answer that has the flows, which came at `at`.
    pub(crate) fn take_flows(&mut self, report: &Report, at: Instant) {
        let before = std::mem::take(&mut self.of_flows);
        let mut counts = before.after(at);
        self.flows.clear();
        for (peer, session) in sessions(report) {
            for flow in &session.flows {
                let key = (session.id.clone(), flow.id);
                let lanes = [flow.primary_lane, flow.secondary_lane].into_iter().flatten();
                let moved = flow.last_move.as_ref();
                self.flows.push(FlowRow {
                    peer: text(peer),
                    name: format!("f{}", flow.id),
                    target: text(&flow.target),
                    mode: text(&flow.mode),
                    lanes: lanes.map(|lane| format!("l{lane}")).collect::<Vec<_>>().join("+"),
                    rate: counts.rate(&before, key, flow.sent_bytes, flow.received_bytes),
                    total: flow.sent_bytes + flow.received_bytes,
                    moved: moved.map_or_else(String::new, moved_text),
                });
            }
        }
        self.of_flows = counts;
    }
}

/// Says in a few words when and why a flow moved, as the status page does.
fn moved_text(moved: &MoveReport) -> String {
    let reason = match moved.reason.as_str() {
        "gone" => "its lane ended",
        "suspect" => "its lane was silent",
        "unready" => "its lane was not ready",
        "draining" => "its lane drains",
        "metered" => "its lane is metered",
        "lossy" => "its lane lost much",
        "more-elsewhere" => "more room there",
        "restored" => "its lane is back",
        "spurious" => "a false alarm",
        other => return format!("{} ago: {}", ago(moved), text(other)),
    };
    format!("{} ago: {reason}", ago(moved))
}

fn ago(moved: &MoveReport) -> String {
    let seconds = Duration::from_secs(moved.ago_s.max(0.0) as u64);
    // The two greatest units are enough.
    let text = humantime::format_duration(seconds).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn sessions(report: &Report) -> impl Iterator<Item = (&str, &SessionReport)> {
    report
        .peers
        .iter()
        .flat_map(|peer| peer.sessions.iter().map(|session| (&peer.name[..], session)))
}

fn uplink_row(
    uplink: &UplinkReport,
    report: &Report,
    before: &Counts<String>,
    counts: &mut Counts<String>,
) -> UplinkRow {
    let totals = report.totals.iter().find(|totals| totals.uplink.as_ref() == Some(&uplink.name));
    let (sent, received) =
        totals.map_or((0, 0), |totals| (totals.sent_bytes, totals.received_bytes));
    UplinkRow {
        name: text(&uplink.name),
        state: uplink.state(),
        lanes: uplink.lanes,
        rate: counts.rate(before, uplink.name.clone(), sent, received),
        failed_lanes: totals.map_or(0, |totals| totals.failed_lanes),
        budget: uplink.budget.as_ref().map_or_else(String::new, |budget| text(&budget.used())),
    }
}

fn lane_row(
    (peer, session): (&str, &SessionReport),
    lane: &LaneReport,
    before: &Counts<(String, u64)>,
    counts: &mut Counts<(String, u64)>,
) -> LaneRow {
    let key = (session.id.clone(), lane.id);
    LaneRow {
        peer: text(peer),
        name: format!("l{}", lane.id),
        uplink: text(lane.uplink.as_deref().unwrap_or_default()),
        remote: lane.remote.to_string(),
        state: state_of(lane),
        is_up: lane.state == "up",
        rtt_ms: lane.rtt_ms,
        rate: counts.rate(before, key, lane.sent_bytes, lane.received_bytes),
        suspicions: lane.suspicions,
    }
}

/// Returns a lane's state with what else a person should know of it.
fn state_of(lane: &LaneReport) -> String {
    let more = [
        (lane.draining, "draining".to_owned()),
        (lane.lossy, "lossy".to_owned()),
        (lane.cost == "held-down", "held down".to_owned()),
        (lane.usual_pause_ms > 0.0, format!("pauses up to {:.0} ms", lane.usual_pause_ms)),
    ];
    let more = more.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what);
    std::iter::once(text(&lane.state)).chain(more).collect::<Vec<_>>().join(", ")
}

/// Returns a text that others may have written as one that a terminal shows as it is.
fn text(text: &str) -> String {
    printable(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample::sample;

    #[test]
    fn rates_are_what_came_between_two_answers_and_a_daemon_that_begins_anew_has_none() {
        let (mut board, mut report, began) = (Board::default(), sample(), Instant::now());
        let rates = |board: &Board| {
            [board.uplinks[0].rate, board.lanes[0].rate, board.flows[0].rate]
                .map(|rate| (rate.sent, rate.received))
        };
        board.take_lanes(&report, began);
        board.take_flows(&report, began);
        assert_eq!(rates(&board), [(0.0, 0.0); 3]);
        report.totals[0].sent_bytes += 1000;
        let session = &mut report.peers[0].sessions[0];
        session.lanes[0].received_bytes += 500;
        session.flows[0].sent_bytes += 300;
        board.take_lanes(&report, began + Duration::from_millis(500));
        board.take_flows(&report, began + Duration::from_secs(3));
        assert_eq!(rates(&board), [(2000.0, 0.0), (0.0, 1000.0), (100.0, 0.0)]);
        report.totals[0].sent_bytes = 7;
        board.take_lanes(&report, began + Duration::from_secs(1));
        assert_eq!(rates(&board)[0], (0.0, 0.0));
    }

    #[test]
    fn a_lane_tells_that_its_path_pauses_and_what_others_wrote_controls_no_terminal() {
        let (mut board, mut report) = (Board::default(), sample());
        report.peers[0].sessions[0].flows[0].target = "\u{1b}[2Jhost:22".to_owned();
        board.take_lanes(&report, Instant::now());
        board.take_flows(&report, Instant::now());
        assert_eq!(board.lanes[0].state, "up, pauses up to 180 ms");
        assert_eq!(board.flows[0].target, "\u{fffd}[2Jhost:22");
        let moved = |reason: &str, ago_s| {
            moved_text(&MoveReport { from: 0, ago_s, reason: reason.to_owned() })
        };
        assert_eq!(moved("suspect", 3725.9), "1h 2m ago: its lane was silent");
        assert_eq!(moved("new\u{1b}word", 3.0), "3s ago: new\u{fffd}word");
        assert!(
            board.problems.iter().any(|problem| problem.contains("redundancy")),
            "{:?}",
            board.problems
        );
    }
}
