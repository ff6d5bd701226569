//! Small messages while both ISPs lose.

use super::bar::{Limit, bar, ratio};
use super::cell::{ACTIVITY_HEADS, Cell, show};
use super::options::{Options, links};
use super::table::Table;
use crate::lab::Shape;
use crate::lab::flow::Kind;
use crate::lab::trial::Trial;
use crate::support::Outcome;

/// Round trips in milliseconds.
const ROUND_TRIPS: [u64; 3] = [20, 100, 200];
const SYSTEMS: [&str; 4] = ["tcp-cubic", "mptcp", "auto", "redundant"];
/// 1,500 messages: 15 are above the 99th percentile.
const SECONDS: u64 = 30;

pub(super) async fn make(options: &Options) -> Outcome<Table> {
    let head = ["Round trip ms", "System", "p50 ms", "p99 ms"];
    let head: Vec<_> = head.into_iter().chain(ACTIVITY_HEADS).chain(["Remark"]).collect();
    let title = "Small messages, 3 % loss each way on both ISPs: 64 bytes every 20 ms";
    let mut table = Table::new(title.into(), &head);
    for rtt in ROUND_TRIPS {
        for system in options.systems(&SYSTEMS)? {
            let description = format!("50 rtt={rtt}ms loss=3%");
            let access = links(&[description.clone(), description])?;
            let shape = Shape { access, ..Shape::default() };
            let trial = Trial::new(shape, system, &[Kind::Echo], options.length(SECONDS));
            let cell = Cell::run(&trial, options.runs()).await;
            let mut row =
                vec![rtt.to_string(), system.to_string(), show(cell.p50, 0), show(cell.p99, 0)];
            row.extend(cell.activity_columns());
            row.push(cell.remark());
            table.row(row);
            if ["auto", "redundant"].contains(&system.to_string().as_str()) {
                let what = format!("{rtt} ms: `{system}` p99 of the round trip");
                let number = ratio(cell.p99, Some(rtt as f64));
                table.bar(bar(&what, number, Limit::AtMost(1.2)));
            }
        }
    }
    Ok(table)
}
