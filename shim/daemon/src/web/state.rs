//! What the page shows of one moment, of a bounded size: from a report, and from the one before, for rates. Pure.

use std::collections::HashMap;

use serde::Serialize;

use super::history::{LaneNow, MAX_UPLINKS, Millis, Reading, SlotRow, UplinkReading};
use crate::report::{FlowReport, LaneReport, PeerReport, Report, SessionReport, UplinkReport};
use throughline_proto::types::printable;

/// Flows that are shown, the busiest first: more nobody reads.
pub(super) const MAX_FLOWS: usize = 100;

/// Lanes, peers, uplinks and problems that are shown; how many there are beyond is said.
const MAX_LANES: usize = 64;
const MAX_PEERS: usize = 64;
const MAX_SHOWN_UPLINKS: usize = 2 * MAX_UPLINKS;
const MAX_PROBLEMS: usize = 16;
const MAX_ADDRESSES: usize = 4;

/// The longest text that others choose, in characters.
const MAX_TEXT: usize = 200;

/// Counters that are older say nothing of the rate now.
const RATE_WITHIN: Millis = 5_000;

/// One moment.
#[derive(Debug, Serialize)]
pub(super) struct State {
    now: Millis,
    host: String,
    version: String,
    uptime_s: f64,
    /// Whether there is a token, by which something can be changed.
    can_change: bool,
    problems: Vec<String>,
    uplinks: Vec<UplinkRow>,
    peers: Vec<PeerRow>,
    peers_total: usize,
    lanes: Vec<LaneRow>,
    lanes_total: usize,
    flows: Vec<FlowRow>,
    flows_total: usize,
    pub(super) slot: Option<SlotRow>,
    pub(super) minute: Option<SlotRow>,
}

/// What does not come from the report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) now: Millis,
    pub(super) host: &'a str,
    pub(super) can_change: bool,
}

#[derive(Debug, Serialize)]
struct UplinkRow {
    name: String,
    addresses: Vec<String>,
    state: &'static str,
    metered: bool,
    budget: Option<BudgetRow>,
    draining: bool,
    lanes: usize,
    lanes_up: usize,
    rtt: Option<f64>,
    rate: Option<Rate>,
    received: u64,
    sent: u64,
    failed: u64,
    survivors: u64,
}

/// What an uplink may carry in a month.
#[derive(Debug, Serialize)]
struct BudgetRow {
    /// Bytes.
    used: u64,
    all: u64,
    state: String,
    /// A date, once the clock tells it.
    resets_on: Option<String>,
}

#[derive(Debug, Serialize)]
struct PeerRow {
    name: String,
    reached: bool,
    flows: usize,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct LaneRow {
    session: String,
    id: u64,
    peer: String,
    uplink: String,
    local: String,
    remote: String,
    state: &'static str,
    rtt: f64,
    rate: Option<Rate>,
    /// Of what was sent, in percent.
    lost: f64,
    cost: String,
}

#[derive(Debug, Serialize)]
struct FlowRow {
    session: String,
    id: u64,
    peer: String,
    target: String,
    uplink: String,
    /// The one that carries it a second time.
    secondary: String,
    mode: String,
    thin: bool,
    rate: Option<Rate>,
    received: u64,
    sent: u64,
    moved: Option<Moved>,
}

#[derive(Debug, Serialize)]
struct Moved {
    ago_s: f64,
    reason: String,
}

/// Bit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Rate {
    received: u64,
    sent: u64,
}

/// Bytes so far, received and sent.
type Counters = (u64, u64);

/// What has counters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Uplink(String),
    Lane(u128, u64),
    Flow(u128, u64),
}

/// Makes rates of counters: knows those of the moment before.
#[derive(Debug, Default)]
pub(super) struct Meter {
    at: Millis,
    before: HashMap<Counted, Counters>,
}

/// The meter at one moment.
struct Metering<'a> {
    before: &'a HashMap<Counted, Counters>,
    now: HashMap<Counted, Counters>,
    /// Since the moment before; none where that is too long ago.
    seconds: Option<f64>,
}

impl Metering<'_> {
    fn rate(&mut self, what: Counted, (received, sent): Counters) -> Option<Rate> {
        let before = self.before.get(&what).copied();
        self.now.insert(what, (received, sent));
        let ((then_received, then_sent), seconds) = before.zip(self.seconds)?;
        let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 * 8.0 / seconds) as u64;
        Some(Rate { received: rate(received, then_received), sent: rate(sent, then_sent) })
    }
}

impl Meter {
    /// Returns what is shown of a report.
    pub(super) fn state(&mut self, report: &Report, frame: Frame<'_>) -> State {
        let Frame { now, host, can_change } = frame;
        let age = now.checked_sub(self.at).filter(|age| (1..=RATE_WITHIN).contains(age));
        let seconds = age.map(|age| age as f64 / 1e3);
        let before = std::mem::take(&mut self.before);
        let mut metering = Metering { before: &before, now: HashMap::new(), seconds };
        let uplinks = uplinks(report, &mut metering);
        let (lanes, lanes_total) = lanes(report, &mut metering);
        let (flows, flows_total) = flows(report, &mut metering);
        (self.at, self.before) = (now, metering.now);
        let problems = report.problems();
        State {
            now,
            host: host.to_owned(),
            version: report.version.clone(),
            uptime_s: report.uptime_s,
            can_change,
            problems: problems.iter().take(MAX_PROBLEMS).map(|problem| short(problem)).collect(),
            uplinks,
            peers: report.peers.iter().take(MAX_PEERS).map(peer).collect(),
            peers_total: report.peers.len(),
            lanes,
            lanes_total,
            flows,
            flows_total,
            slot: None,
            minute: None,
        }
    }
}

/// Returns the sessions with the names of their peers, and their ids as numbers.
fn sessions(report: &Report) -> impl Iterator<Item = (&str, u128, &SessionReport)> {
    let number = |session: &SessionReport| u128::from_str_radix(&session.id, 16).unwrap_or(0);
    report.peers.iter().flat_map(move |peer| {
        peer.sessions.iter().map(move |session| (&peer.name[..], number(session), session))
    })
}

fn all_lanes(report: &Report) -> impl Iterator<Item = &LaneReport> {
    report.peers.iter().flat_map(|peer| &peer.sessions).flat_map(|session| &session.lanes)
}

/// Returns the shortest round trip of the lanes that answer over an uplink, in milliseconds.
fn rtt(report: &Report, uplink: &str) -> Option<f64> {
    let over = |lane: &&LaneReport| lane.state == "up" && lane.uplink.as_deref() == Some(uplink);
    all_lanes(report).filter(over).map(|lane| lane.rtt_ms).reduce(f64::min)
}

/// Returns the lanes that there are, as the history follows them.
pub(super) fn lanes_now(report: &Report) -> Vec<LaneNow<'_>> {
    let of_session = sessions(report).flat_map(|(peer, session, of)| {
        of.lanes.iter().map(move |lane| LaneNow {
            peer,
            session,
            lane: lane.id,
            uplink: lane.uplink.as_deref().unwrap_or_default(),
            suspect: lane.state == "suspect",
        })
    });
    of_session.collect()
}

/// Returns what the history is made of.
pub(super) fn reading(report: &Report, at: Millis) -> Reading {
    let of = |uplink: &UplinkReport| {
        let totals = report.totals.iter().find(|t| t.uplink.as_ref() == Some(&uplink.name));
        UplinkReading {
            name: short(&uplink.name),
            received: totals.map_or(0, |totals| totals.received_bytes),
            sent: totals.map_or(0, |totals| totals.sent_bytes),
            survivors: totals.map_or(0, |totals| totals.surviving_flows),
            rtt: rtt(report, &uplink.name).map(|rtt| rtt as f32),
        }
    };
    Reading {
        at,
        uplinks: report.uplinks.iter().filter(|uplink| uplink.is_followed()).map(of).collect(),
    }
}

fn uplinks(report: &Report, metering: &mut Metering<'_>) -> Vec<UplinkRow> {
    let shown = report.uplinks.iter().filter(|uplink| uplink.is_followed()).take(MAX_SHOWN_UPLINKS);
    let row = |uplink: &UplinkReport| {
        let totals = report.totals.iter().find(|t| t.uplink.as_ref() == Some(&uplink.name));
        let (received, sent) = totals.map_or((0, 0), |t| (t.received_bytes, t.sent_bytes));
        let counted = Counted::Uplink(uplink.name.clone());
        UplinkRow {
            name: short(&uplink.name),
            addresses: uplink
                .addresses
                .iter()
                .take(MAX_ADDRESSES)
                .map(ToString::to_string)
                .collect(),
            state: uplink.state(),
            metered: uplink.metered,
            budget: uplink.budget.as_ref().map(|budget| BudgetRow {
                used: budget.used_bytes,
                all: budget.budget_bytes,
                state: short(&budget.state),
                resets_on: budget.resets_on.as_deref().map(short),
            }),
            draining: uplink.draining,
            lanes: uplink.lanes,
            lanes_up: uplink.lanes_up,
            rtt: rtt(report, &uplink.name),
            rate: metering.rate(counted, (received, sent)),
            received,
            sent,
            failed: totals.map_or(0, |totals| totals.failed_lanes),
            survivors: totals.map_or(0, |totals| totals.surviving_flows),
        }
    };
    shown.map(row).collect()
}

fn peer(peer: &PeerReport) -> PeerRow {
    let answers = |session: &SessionReport| session.lanes.iter().any(|lane| lane.state == "up");
    let failure = peer.dial_failure.as_ref().or(peer.key_refusal.as_ref());
    PeerRow {
        name: short(&peer.name),
        reached: peer.sessions.iter().any(answers),
        flows: peer.sessions.iter().map(|session| session.live_flows).sum(),
        problem: failure.map(|failure| short(&failure.reason)),
    }
}

/// Returns the lanes that are shown, and how many there are.
fn lanes(report: &Report, metering: &mut Metering<'_>) -> (Vec<LaneRow>, usize) {
    let all = sessions(report).flat_map(|(peer, session, of)| {
        of.lanes.iter().map(move |lane| (peer, session, &of.id[..], lane))
    });
    let mut rows = Vec::new();
    let mut total = 0;
    for (peer, session, id, lane) in all {
        total += 1;
        let counters = (lane.received_bytes, lane.sent_bytes);
        let rate = metering.rate(Counted::Lane(session, lane.id), counters);
        if rows.len() < MAX_LANES {
            rows.push(LaneRow {
                session: first_digits(id),
                id: lane.id,
                peer: short(peer),
                uplink: short(lane.uplink.as_deref().unwrap_or_default()),
                local: lane.local.to_string(),
                remote: lane.remote.to_string(),
                state: lane_state(lane),
                rtt: lane.rtt_ms,
                rate,
                lost: lane.lost_bytes as f64 * 100.0 / lane.sent_bytes.max(1) as f64,
                cost: lane.cost.clone(),
            });
        }
    }
    (rows, total)
}

fn lane_state(lane: &LaneReport) -> &'static str {
    match &lane.state[..] {
        "suspect" => "suspect",
        _ if lane.draining => "draining",
        "up" if lane.lossy => "lossy",
        "up" => "up",
        _ => "connecting",
    }
}

/// Returns the flows that are shown, the busiest first, and how many there are.
fn flows(report: &Report, metering: &mut Metering<'_>) -> (Vec<FlowRow>, usize) {
    let all = sessions(report)
        .flat_map(|(peer, session, of)| of.flows.iter().map(move |flow| (peer, session, of, flow)));
    let mut all: Vec<_> = all
        .map(|(peer, session, of, flow)| {
            let counters = (flow.received_bytes, flow.sent_bytes);
            let rate = metering.rate(Counted::Flow(session, flow.id), counters);
            let busy = rate.map_or(0, |rate| rate.received + rate.sent);
            (std::cmp::Reverse((busy, flow.received_bytes + flow.sent_bytes)), rate, peer, of, flow)
        })
        .collect();
    let total = all.len();
    if total > MAX_FLOWS {
        // Only those that are shown are put into their order.
        all.select_nth_unstable_by_key(MAX_FLOWS, |(busy, ..)| *busy);
        all.truncate(MAX_FLOWS);
    }
    all.sort_by_key(|(busy, _, _, of, flow)| (*busy, of.id.clone(), flow.id));
    let rows = all.into_iter().map(|(_, rate, peer, of, flow)| flow_row(rate, peer, of, flow));
    (rows.collect(), total)
}

fn flow_row(rate: Option<Rate>, peer: &str, of: &SessionReport, flow: &FlowReport) -> FlowRow {
    let uplink = |lane: Option<u64>| {
        let lane = lane.and_then(|id| of.lanes.iter().find(|lane| lane.id == id));
        short(lane.and_then(|lane| lane.uplink.as_deref()).unwrap_or_default())
    };
    let moved = flow.last_move.as_ref();
    FlowRow {
        session: first_digits(&of.id),
        id: flow.id,
        peer: short(peer),
        target: short(&flow.target),
        uplink: uplink(flow.primary_lane),
        secondary: uplink(flow.secondary_lane),
        mode: flow.mode.clone(),
        thin: flow.thin,
        rate,
        received: flow.received_bytes,
        sent: flow.sent_bytes,
        moved: moved.map(|moved| Moved { ago_s: moved.ago_s, reason: moved.reason.clone() }),
    }
}

/// Returns how `status` shows a session.
fn first_digits(id: &str) -> String {
    id.chars().take(8).collect()
}

/// Returns a text as it is shown: printable, and not too long. The page puts it in as text, never as HTML.
pub(super) fn short(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests;
