//! Two radio links: a download or an upload with an echo beside it.

use super::bar::{Limit, bar, ratio};
use super::cell::{ACTIVITY_HEADS, Cell, show};
use super::options::{Options, links};
use super::table::Table;
use crate::lab::Shape;
use crate::lab::flow::Kind;
use crate::lab::system::System;
use crate::lab::trial::Trial;
use crate::support::Outcome;

/// Plain TCP is measured on each link; the others use both.
const SYSTEMS: [&str; 6] = ["tcp-cubic", "tcp-bbr", "mptcp", "single", "auto", "bond"];
/// As long as the trace's slow and fast phases are, several times over.
const SECONDS: u64 = 40;

pub(super) async fn make(options: &Options) -> Outcome<Table> {
    let descriptions = options.radio_links();
    let shape = Shape { access: links(&descriptions)?, ..Shape::default() };
    let head = ["Flow", "System", "Mbit/s", "Echo p50 ms", "p99 ms"];
    let head: Vec<_> = head.into_iter().chain(ACTIVITY_HEADS).chain(["Remark"]).collect();
    let title = format!("Two radio links: `{}`; `{}`", descriptions[0], descriptions[1]);
    let mut table = Table::new(title, &head);
    for kind in [Kind::Download, Kind::Upload] {
        let mut cells = Vec::new();
        for system in options.systems(&SYSTEMS)? {
            let uplinks = if matches!(system, System::Tcp(_)) { 0..2 } else { 0..1 };
            for uplink in uplinks {
                let flows = [Kind::Echo, kind];
                let trial = Trial::new(shape.clone(), system, &flows, options.length(SECONDS));
                let cell = Cell::run(&Trial { uplink, ..trial }, options.runs()).await;
                let name = name(system, uplink);
                table.row(row(kind, &name, &cell));
                cells.push((name, cell));
            }
        }
        bars(&mut table, kind, &cells);
    }
    Ok(table)
}

fn name(system: System, uplink: usize) -> String {
    match (system, uplink) {
        (System::Tcp(_), 0) => format!("{system}, first link"),
        (System::Tcp(_), _) => format!("{system}, second link"),
        _ => system.to_string(),
    }
}

fn row(kind: Kind, name: &str, cell: &Cell) -> Vec<String> {
    let mut row = vec![
        kind.to_string(),
        name.to_owned(),
        show(cell.mbits, 2),
        show(cell.p50, 0),
        show(cell.p99, 0),
    ];
    row.extend(cell.activity_columns());
    row.push(cell.remark());
    row
}

/// What issue and README want of it.
fn bars(table: &mut Table, kind: Kind, cells: &[(String, Cell)]) {
    let of = |name: &str| cells.iter().find(|(known, _)| known == name).map(|(_, cell)| cell);
    let mbits = |name: &str| of(name).and_then(|cell| cell.mbits);
    let (first, second) = (of("tcp-cubic, first link"), of("tcp-cubic, second link"));
    let (Some(first), Some(second)) = (first, second) else { return };
    let better = if first.mbits >= second.mbits { first } else { second };
    let sum = first.mbits.zip(second.mbits).map(|(first, second)| first + second);
    let mut add = |what: &str, number, wanted| {
        table.bar(bar(&format!("{kind}: {what}"), number, wanted));
    };
    let auto = ratio(mbits("auto"), better.mbits);
    add("`auto` of TCP on the better link", auto, Limit::AtLeast(0.95));
    add("`bond` of the sum of TCP on each", ratio(mbits("bond"), sum), Limit::AtLeast(0.9));
    add("`bond` of MPTCP", ratio(mbits("bond"), mbits("mptcp")), Limit::Above(1.0));
    for mode in ["auto", "bond", "single"] {
        let Some(cell) = of(mode) else { continue };
        let p99 = ratio(cell.p99, better.p99);
        if mode != "single" {
            let what = format!("`{mode}` echo p99 of TCP's on the better link");
            add(&what, p99, Limit::AtMost(0.33));
        }
        let activity =
            |field: fn(&crate::lab::activity::Activity) -> f64| cell.activity.as_ref().map(field);
        let reported = activity(|a| a.reported);
        let what = format!("`{mode}` suspicions a minute and lane that lasted or re-sent");
        add(&what, reported, Limit::AtMost(2.0));
        let twice = activity(|a| a.twice * 100.0);
        add(&format!("`{mode}` percent of bytes twice"), twice, Limit::AtMost(1.0));
        let replaced = activity(|a| a.replaced);
        add(&format!("`{mode}` lanes replaced"), replaced, Limit::AtMost(0.0));
    }
}
