//! What is printed of runs. Cells are written as the command line has them.

use std::time::Duration;

use interop_tests::lab::Side;
use interop_tests::lab::bgp::Bgp;
use interop_tests::lab::flow::Kind;
use interop_tests::lab::scenario::{Scenario, Seen};

/// The table's heads.
const HEADS: [&str; 10] = [
    "Failure",
    "Side",
    "System",
    "Flow",
    "Gap ms",
    "≥ 150 after ms",
    "Before Mbit/s",
    "After Mbit/s",
    "Machine ms",
    "End",
];

/// The head of the table.
pub(crate) fn head() {
    println!("| {} |", HEADS.join(" | "));
    println!("|{}", "---|".repeat(HEADS.len()));
}

/// A row for each flow of a run.
pub(crate) fn rows(scenario: &Scenario, seen: &Seen) {
    for flow in &seen.flows {
        let (before, after) = flow.rates.unzip();
        let end = match &flow.end {
            Ok(count) => format!("{count} right"),
            Err(error) => format!("**{error}**"),
        };
        println!(
            "| {} | {} {} | {} | {} | {} | {} | {} | {} | {} | {end} |",
            scenario.failure,
            side(scenario.side),
            seen.victim,
            system(scenario),
            name(flow.kind),
            ms(flow.gap),
            or_dash(flow.well.map(ms)),
            or_dash(before.map(f64::round)),
            or_dash(after.map(f64::round)),
            ms(seen.machine),
        );
    }
    for (rival, (before, after)) in &seen.rivals {
        println!(
            "| {} | {} {} | rival | {rival} | – | – | {} | {} | {} | |",
            scenario.failure,
            side(scenario.side),
            seen.victim,
            before.round(),
            after.round(),
            ms(seen.machine),
        );
    }
}

/// A row for each flow of all runs.
pub(crate) fn medians(scenario: &Scenario, all: &[Seen]) {
    for (index, kind) in scenario.flows.iter().enumerate() {
        let flows = || all.iter().map(|seen| &seen.flows[index]);
        let gaps = sorted(flows().map(|flow| ms(flow.gap)));
        // One that never recovers is the worst.
        let well = middle(flows().map(|flow| flow.well.map_or(f64::INFINITY, ms)));
        let well = (*kind != Kind::Echo).then_some(well).filter(|well| well.is_finite());
        let rates = || flows().filter_map(|flow| flow.rates);
        let rate = |rates: Vec<f64>| (!rates.is_empty()).then(|| middle(rates).round());
        println!(
            "| **{}** | {} | {} | {} | **{}** ({}–{}) | **{}** | **{}** | **{}** | | median of {} |",
            scenario.failure,
            side(scenario.side),
            system(scenario),
            name(*kind),
            gaps[gaps.len() / 2],
            gaps[0],
            gaps[gaps.len() - 1],
            or_dash(well),
            or_dash(rate(rates().map(|both| both.0).collect())),
            or_dash(rate(rates().map(|both| both.1).collect())),
            all.len(),
        );
    }
}

/// Returns a run as an object.
pub(crate) fn json(scenario: &Scenario, seen: &Seen) -> serde_json::Value {
    let flows: Vec<_> = seen
        .flows
        .iter()
        .map(|flow| {
            serde_json::json!({
                "flow": name(flow.kind),
                "gap_ms": ms(flow.gap),
                "well_ms": flow.well.map(ms),
                "mbits_before": flow.rates.map(|(before, _)| before.round()),
                "mbits_after": flow.rates.map(|(_, after)| after.round()),
                "carried": flow.end.as_ref().ok(),
                "error": flow.end.as_ref().err(),
            })
        })
        .collect();
    let rivals: Vec<_> = seen
        .rivals
        .iter()
        .map(|(rival, (before, after))| {
            serde_json::json!({
                "rival": rival.to_string(),
                "mbits_before": before.round(),
                "mbits_after": after.round(),
            })
        })
        .collect();
    serde_json::json!({
        "rivals": rivals,
        "failure": scenario.failure.to_string(),
        "side": side(scenario.side),
        "system": system(scenario),
        "victim": seen.victim,
        "machine_ms": ms(seen.machine),
        "flows": flows,
    })
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<_> = numbers.into_iter().collect();
    all.sort_by(f64::total_cmp);
    all
}

fn middle(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let all = sorted(numbers);
    all[all.len() / 2]
}

fn or_dash(number: Option<f64>) -> String {
    number.map_or("–".into(), |number| number.to_string())
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Echo => "echo",
        Kind::Download => "download",
        Kind::Upload => "upload",
    }
}

fn system(scenario: &Scenario) -> String {
    let system = scenario.system.to_string();
    match scenario.shape.bgp {
        None => system,
        Some(Bgp { bfd: true, .. }) => format!("{system} + BGP, BFD"),
        Some(Bgp { hold, .. }) => format!("{system} + BGP, hold {} s", hold.as_secs()),
    }
}
