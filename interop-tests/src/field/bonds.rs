//! Two links of fixed rates, used at once.

use super::bar::{Limit, bar, ratio};
use super::cell::{Cell, show};
use super::options::{Options, links};
use super::table::Table;
use crate::lab::Shape;
use crate::lab::flow::Kind;
use crate::lab::system::System;
use crate::lab::trial::Trial;
use crate::support::Outcome;

/// Mbit/s and round trip in milliseconds of either link, and what is wanted of `bond` at least.
const PAIRS: [([(u64, u64); 2], f64); 4] = [
    ([(100, 25), (100, 25)], 187.0),
    ([(300, 10), (80, 30)], 355.0),
    ([(200, 10), (20, 80)], 206.0),
    ([(50, 40), (12, 60)], 60.0),
];
const SYSTEMS: [&str; 4] = ["tcp-cubic", "mptcp", "auto", "bond"];
const SECONDS: u64 = 12;

pub(super) async fn make(options: &Options) -> Outcome<Table> {
    let head = ["Links (Mbit/s / ms)", "System", "Mbit/s", "Remark"];
    let mut table = Table::new("Fixed links bonded, a download".into(), &head);
    for (pair, wanted) in PAIRS {
        let name = pair.map(|(rate, rtt)| format!("{rate}/{rtt}")).join(" + ");
        let descriptions = pair.map(|(rate, rtt)| format!("{rate} rtt={rtt}ms"));
        let shape = Shape { access: links(&descriptions)?, ..Shape::default() };
        let (mut tcp, mut bond, mut mptcp) = (Vec::new(), None, None);
        for system in options.systems(&SYSTEMS)? {
            let uplinks = if matches!(system, System::Tcp(_)) { 0..2 } else { 0..1 };
            for uplink in uplinks {
                let length = options.length(SECONDS);
                let trial = Trial::new(shape.clone(), system, &[Kind::Download], length);
                let cell = Cell::run(&Trial { uplink, ..trial }, options.runs()).await;
                let shown = match (system, uplink) {
                    (System::Tcp(_), 0) => format!("{system}, first link"),
                    (System::Tcp(_), _) => format!("{system}, second link"),
                    _ => system.to_string(),
                };
                table.row(vec![name.clone(), shown, show(cell.mbits, 1), cell.remark()]);
                match system.to_string().as_str() {
                    "tcp-cubic" => tcp.extend(cell.mbits),
                    "bond" => bond = cell.mbits,
                    "mptcp" => mptcp = cell.mbits,
                    _ => {}
                }
            }
        }
        table.bar(bar(&format!("{name}: `bond` Mbit/s"), bond, Limit::AtLeast(wanted)));
        let of_mptcp = ratio(bond, mptcp);
        table.bar(bar(&format!("{name}: `bond` of MPTCP"), of_mptcp, Limit::AtLeast(1.0)));
        let sum = (tcp.len() == 2).then(|| tcp.iter().sum());
        let what = format!("{name}: `bond` of the sum of TCP on each");
        table.bar(bar(&what, ratio(bond, sum), Limit::AtLeast(0.9)));
    }
    Ok(table)
}
