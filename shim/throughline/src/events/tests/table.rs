//! Every event with its name, text and fields, as users of the log and of JSON see them.

use std::fmt::Write;

use super::*;
use throughline_proto::lane::SuspicionRule;

const TABLE: &str = include_str!("table.txt");

/// Writes the table anew instead of comparing it: set it to anything.
const UPDATE: &str = "THROUGHLINE_UPDATE_TABLES";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// At least one of each, and each form of its text.
fn samples() -> Vec<EventKind> {
    [most(), budgets()].concat()
}

fn budgets() -> Vec<EventKind> {
    let (used, budget, resets) = (16_000_000_000, 20_000_000_000, "2026-12-01".to_owned());
    let spent = |allows: &str, last| EventKind::BudgetSpent {
        used: 20_000_123_456,
        budget,
        allows: allows.to_owned(),
        last,
        resets: resets.clone(),
    };
    vec![
        EventKind::BudgetLow { used, budget, resets: resets.clone() },
        spent("nothing", false),
        spent("nothing", true),
        spent("thin-flows", false),
        EventKind::BudgetRenewed { budget },
    ]
}

fn most() -> Vec<EventKind> {
    let local: SocketAddr = "192.0.2.7:40001".parse().unwrap();
    let remote: SocketAddr = "203.0.113.5:5443".parse().unwrap();
    let ours = SuspectedBy::Us { rule: SuspicionRule::Bulk, silence: ms(12) };
    let (from, to) = ("isp-a".to_owned(), "isp-b".to_owned());
    let because = |reason: &str| reason.to_owned();
    let dial = Some((local.ip(), remote));
    vec![
        EventKind::LaneUp { local, remote, setup: ms(42), dialed: true },
        EventKind::LaneUp { local, remote, setup: ms(42), dialed: false },
        EventKind::LaneSuspected { detected_by: ours, suppressed: 0 },
        EventKind::LaneSuspected { detected_by: SuspectedBy::Peer, suppressed: 3 },
        EventKind::LaneOneWay { detected_by: OneWayDetectedBy::Us { received: 5 } },
        EventKind::LaneOneWay { detected_by: OneWayDetectedBy::Peer },
        EventKind::LaneLossy { percent: 12 },
        EventKind::Hedged { bytes: 48_200, instead_of: vec![LaneId(0), LaneId(3)] },
        EventKind::Hedged { bytes: 900, instead_of: vec![] },
        EventKind::LaneRecovered { duration: ms(2700) },
        EventKind::LaneMigrated { from, to, local },
        EventKind::PeerMigrated { from: local, to: remote },
        EventKind::LaneDown { reason: because("nothing heard for 10 s"), duration: ms(7_300_000) },
        EventKind::SessionUp,
        EventKind::SessionDetached { linger: ms(43_200_000) },
        EventKind::SessionResumed { duration: ms(65_000) },
        EventKind::SessionOver { reason: because("shutting down") },
        EventKind::RedundancyLost {
            reason: because("no lane over it answers; the last dial: no answer within 4s"),
            others: 1,
        },
        EventKind::RedundancyLost { reason: because("it has no address"), others: 2 },
        EventKind::RedundancyRestored { duration: ms(65_000) },
        EventKind::AddressAdded { address: local.ip() },
        EventKind::AddressRemoved { address: local.ip(), reason: because("its link is down") },
        EventKind::DrainStarted { last: false },
        EventKind::DrainStarted { last: true },
        EventKind::DrainEnded,
        EventKind::CutStarted { duration: ms(5000), asked_by: because("user 0") },
        EventKind::CutEnded,
        EventKind::HoldDownStarted {
            duration: ms(10_000),
            reason: because("it failed while others answered"),
        },
        EventKind::HoldDownEnded,
        EventKind::FlowRefused { target: "a:1".into(), reason: because("no"), suppressed: 2 },
        EventKind::EventsSuppressed { count: 1200 },
        EventKind::PeerUnreachable {
            dial,
            reason: because("no answer within 4s"),
            duration: ms(4000),
        },
        EventKind::PeerUnreachable {
            dial: None,
            reason: because("no uplink has an address"),
            duration: ms(0),
        },
        EventKind::UnknownPeerRejected { key: PeerId::from_bytes([7; 32]), remote, suppressed: 50 },
        EventKind::ConfigChanged { change: because("peer branch1 added") },
        EventKind::ConfigRefused { reason: because("no") },
        EventKind::FlowRevoked { target: "a:1".into() },
        EventKind::SystemResumed { duration: ms(3_600_000) },
    ]
}

fn table() -> String {
    let mut table = String::new();
    for event in samples() {
        writeln!(table, "{} {}: {event}", event.level(), event.name()).unwrap();
        for (key, value) in event.fields() {
            writeln!(table, "    {key} = {value}").unwrap();
        }
    }
    table
}

#[test]
fn the_table_of_events_is_what_the_definitions_make_of_it() {
    let table = table();
    if std::env::var_os(UPDATE).is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/events/tests/table.txt");
        std::fs::write(path, table).unwrap();
        return;
    }
    assert!(table == TABLE, "set {UPDATE}=1 and look at the difference; now it is:\n{table}");
}

#[test]
fn every_event_is_in_the_table_and_has_a_name_of_its_own() {
    let mut sampled: Vec<_> = samples().iter().map(EventKind::name).collect();
    sampled.dedup();
    assert_eq!(sampled, EventKind::NAMES, "in the order of their definition");
    let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
    assert!(EventKind::NAMES.iter().all(|name| name.chars().all(kebab)));
}

#[test]
fn the_manual_names_every_event_and_every_field() {
    let manual = include_str!("../../../../../docs/CONFIG.md");
    let rows: Vec<_> = manual.lines().filter(|line| line.starts_with("| `")).collect();
    for event in samples() {
        let name = format!("`{}`", event.name());
        let in_first_cell = |row: &&&str| row.split('|').nth(1).unwrap().contains(&name);
        let row = rows.iter().find(in_first_cell);
        let row = row.unwrap_or_else(|| panic!("docs/CONFIG.md has no row for {name}"));
        for (key, _) in event.fields() {
            assert!(row.contains(&format!("`{key}`")), "{name} has no `{key}` in docs/CONFIG.md");
        }
    }
}
