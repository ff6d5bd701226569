//! Long and lossy links: satellites, bad DSL; alone, and beside somebody's CUBIC.

use super::bar::{Limit, bar, ratio};
use super::cell::{ACTIVITY_HEADS, Cell, show};
use super::options::{Options, links};
use super::table::Table;
use crate::lab::Shape;
use crate::lab::compete::Competition;
use crate::lab::flow::Kind;
use crate::lab::trial::Trial;
use crate::support::Outcome;
use std::time::Duration;

/// Names and words.
const LINKS: [(&str, &str); 2] = [
    ("600 ms, 1 %", "50 rtt=600ms loss=1% queue=300ms"),
    ("450 ms, 5 %", "50 rtt=450ms loss=5% queue=300ms"),
];
const SYSTEMS: [&str; 3] = ["tcp-cubic", "tcp-bbr", "single"];
/// Window growth over long round trips takes its time.
const SECONDS: u64 = 40;
const WARM_UP: Duration = Duration::from_secs(10);

pub(super) async fn make(options: &Options) -> Outcome<Table> {
    let head = ["Link", "System", "Beside", "Mbit/s", "The other Mbit/s"];
    let head: Vec<_> = head.into_iter().chain(ACTIVITY_HEADS).chain(["Remark"]).collect();
    let mut table = Table::new("Long and lossy: one ISP of 50 Mbit/s, a download".into(), &head);
    for (name, description) in LINKS {
        let mut cells = Vec::new();
        for system in options.systems(&SYSTEMS)? {
            for beside in [None, Some("cubic")] {
                let access = links(&[description.to_owned()])?;
                let shape = Shape { access, client_isps: 1, server_isps: 1, ..Shape::default() };
                let rivals =
                    beside.iter().map(|name| name.parse()).collect::<Result<_, String>>()?;
                let competition = Competition { rivals, first: true };
                let length = options.length(SECONDS);
                let trial = Trial::new(shape, system, &[Kind::Download], length);
                let trial = Trial { competition, warm_up: WARM_UP, ..trial };
                let cell = Cell::run(&trial, options.runs()).await;
                let mut row = vec![
                    name.to_owned(),
                    system.to_string(),
                    beside.unwrap_or("–").to_owned(),
                    show(cell.mbits, 2),
                    show(cell.rival, 2),
                ];
                row.extend(cell.activity_columns());
                row.push(cell.remark());
                table.row(row);
                cells.push((system.to_string(), beside.is_some(), cell));
            }
        }
        bars(&mut table, name, &cells);
    }
    Ok(table)
}

fn bars(table: &mut Table, name: &str, cells: &[(String, bool, Cell)]) {
    let of = |system: &str, beside: bool| {
        cells.iter().find(|cell| cell.0 == system && cell.1 == beside).map(|cell| &cell.2)
    };
    let mbits = |system: &str| of(system, false).and_then(|cell| cell.mbits);
    let harm = |system: &str| of(system, true).and_then(|cell| cell.rival);
    let goodput = ratio(mbits("single"), mbits("tcp-bbr"));
    let what = format!("{name}: `single` of BBR");
    table.bar(bar(&what, goodput, Limit::AtLeast(0.7)));
    let left = ratio(harm("single"), harm("tcp-bbr"));
    let what = format!("{name}: what a CUBIC has beside `single`, of what it has beside BBR");
    table.bar(bar(&what, left, Limit::AtLeast(1.0)));
}
