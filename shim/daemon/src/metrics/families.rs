//! The metrics, with their names and labels, of a report.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::report::{PeerReport, Report, SessionReport, TotalsReport, UplinkReport};

/// The media type of the answer (OpenMetrics 1.0).
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels with their values.
type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge>;
type Counters = Family<Labels, Counter>;
type Seconds = Family<Labels, Gauge<f64, AtomicU64>>;

/// Writes the metrics of a report.
pub(super) fn text(report: &Report) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("throughline");
    add_daemon(&mut registry, report);
    add_uplinks(&mut registry, &report.uplinks);
    add_totals(&mut registry, &report.totals);
    add_peers(&mut registry, &report.peers);
    add_lanes(&mut registry, &report.peers);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn add_daemon(registry: &mut Registry, report: &Report) {
    let version = Info::new(vec![("version", report.version.clone())]);
    registry.register("build", "The program's version", version);
    let uptime = Gauge::<f64, AtomicU64>::default();
    uptime.set(report.uptime_s);
    registry.register_with_unit("uptime", "Time since the start", Unit::Seconds, uptime);
    let connections: Gauge = Gauge::default();
    connections.set(count(report.descriptors.connections));
    let help = "Descriptors taken by connections of applications and destinations";
    registry.register("connection_descriptors", help, connections);
    let limit: Gauge = Gauge::default();
    limit.set(count(report.descriptors.for_connections));
    let help = "Descriptors that such connections may take; the others are for lanes";
    registry.register("connection_descriptors_limit", help, limit);
}

fn add_uplinks(registry: &mut Registry, uplinks: &[UplinkReport]) {
    let [addresses, draining, budget, remaining] = [(); 4].map(|()| Gauges::default());
    for uplink in uplinks {
        let labels = vec![("uplink", uplink.name.clone())];
        addresses.get_or_create(&labels).set(count(uplink.addresses.len()));
        draining.get_or_create(&labels).set(i64::from(uplink.draining));
        if let Some(of) = &uplink.budget {
            budget.get_or_create(&labels).set(i64::try_from(of.budget_bytes).unwrap_or(i64::MAX));
            remaining
                .get_or_create(&labels)
                .set(i64::try_from(of.remaining_bytes).unwrap_or(i64::MAX));
        }
    }
    let help = "Addresses of the uplink; without one it is of no use";
    registry.register("uplink_addresses", help, addresses);
    registry.register("uplink_draining", "1 while an operator drains the uplink", draining);
    let help = "What the uplink may carry in a month, both ways, with the headers of UDP and IP";
    registry.register_with_unit("uplink_budget", help, Unit::Bytes, budget);
    let help = "What is left of that until the month ends";
    registry.register_with_unit("uplink_budget_remaining", help, Unit::Bytes, remaining);
}

/// A total of uplinks: its name, its help, its unit and its value.
type Total = (&'static str, &'static str, Option<Unit>, fn(&TotalsReport) -> u64);

const TOTALS: [Total; 7] = [
    ("uplink_sent", "Sent over the uplink, with QUIC's overhead", Some(Unit::Bytes), |t| {
        t.sent_bytes
    }),
    ("uplink_received", "Received over the uplink, with QUIC's overhead", Some(Unit::Bytes), |t| {
        t.received_bytes
    }),
    ("uplink_lost", "Sent over the uplink and declared lost", Some(Unit::Bytes), |t| t.lost_bytes),
    ("lanes_established", "Lanes that were set up", None, |t| t.lanes),
    ("lanes_failed", "Lanes that failed", None, |t| t.failed_lanes),
    (
        "flows_survived",
        "Live flows of sessions of which a lane failed, and which went on",
        None,
        |t| t.surviving_flows,
    ),
    ("lane_suspicions", "Suspicions of lanes, however brief", None, |t| t.suspicions),
];

fn add_totals(registry: &mut Registry, totals: &[TotalsReport]) {
    for (name, help, unit, value) in TOTALS {
        let family = Counters::default();
        for totals in totals {
            let labels = vec![("uplink", uplink_label(totals.uplink.as_deref()))];
            family.get_or_create(&labels).inc_by(value(totals));
        }
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, family),
            None => registry.register(name, help, family),
        }
    }
}

fn add_peers(registry: &mut Registry, peers: &[PeerReport]) {
    let [sessions, flows, reachable, failing, losses] = [(); 5].map(|()| Gauges::default());
    for peer in peers {
        let labels = vec![("peer", peer.name.clone())];
        let sum = |of: fn(&SessionReport) -> usize| count(peer.sessions.iter().map(of).sum());
        sessions.get_or_create(&labels).set(count(peer.sessions.len()));
        flows.get_or_create(&labels).set(sum(|session| session.live_flows));
        losses.get_or_create(&labels).set(sum(|session| session.redundancy_losses.len()));
        let answers = peer.sessions.iter().flat_map(|s| &s.lanes).any(|lane| lane.state == "up");
        reachable.get_or_create(&labels).set(i64::from(answers));
        failing.get_or_create(&labels).set(i64::from(peer.dial_failure.is_some()));
    }
    registry.register("peer_sessions", "Sessions with the peer", sessions);
    registry.register("peer_flows", "Live flows through the peer, either way", flows);
    registry.register("peer_reachable", "1 while a lane to the peer answers", reachable);
    let help = "1 while every dial to the peer fails";
    registry.register("peer_dials_failing", help, failing);
    let help = "Uplinks, and prefixes of the peer, over which no lane answers although others do";
    registry.register("peer_redundancy_losses", help, losses);
}

fn add_lanes(registry: &mut Registry, peers: &[PeerReport]) {
    let (lanes, rtt) = (Gauges::default(), Seconds::default());
    for peer in peers {
        // By uplink: how many lanes answer, and the shortest round trip.
        let mut by_uplink: BTreeMap<String, (i64, f64)> = BTreeMap::new();
        for lane in peer.sessions.iter().flat_map(|session| &session.lanes) {
            let uplink = uplink_label(lane.uplink.as_deref());
            let (up, shortest) = by_uplink.entry(uplink).or_insert((0, f64::INFINITY));
            *up += i64::from(lane.state == "up");
            *shortest = shortest.min(lane.rtt_ms / 1e3);
        }
        for (uplink, (up, shortest)) in by_uplink {
            let labels = vec![("peer", peer.name.clone()), ("uplink", uplink)];
            lanes.get_or_create(&labels).set(up);
            rtt.get_or_create(&labels).set(shortest);
        }
    }
    registry.register("lanes_up", "Lanes that answer, by peer and uplink", lanes);
    let help =
        "The smoothed round-trip time, the shortest of the lanes to the peer over the uplink";
    registry.register_with_unit("lane_rtt", help, Unit::Seconds, rtt);
}

/// Returns the label of lanes over an uplink; an empty one, which is as none, where it is not known.
fn uplink_label(uplink: Option<&str>) -> String {
    uplink.unwrap_or_default().to_owned()
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
