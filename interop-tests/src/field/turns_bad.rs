//! A link that turns bad without dying, while another is idle.

use std::time::Duration;

use super::bar::{Limit, bar, ratio};
use super::cell::{ACTIVITY_HEADS, Cell, show};
use super::options::{Options, links};
use super::table::Table;
use crate::lab::Shape;
use crate::lab::flow::Kind;
use crate::lab::trial::{Trial, mean};
use crate::lab::wan::{Jitter, Loss, Profile, Rate};
use crate::support::Outcome;

/// A change of a link, both ways.
type Turn = fn(&mut Profile);

/// What happens to the link that carries most.
const TURNS: [(&str, Turn); 3] = [
    ("50 % loss", |profile| profile.loss = Loss::Random(0.5)),
    ("50 → 1 Mbit/s", |profile| profile.rate = Rate::Fixed(1_000_000)),
    ("up to 100 ms more, another delay every 100 ms", |profile| {
        let step = Duration::from_millis(100);
        profile.jitter = Jitter::Stepped { spread: step, hold: step };
    }),
];
const LINK: &str = "50 rtt=20ms";
const SYSTEMS: [&str; 3] = ["mptcp", "single", "auto"];
const SECONDS: u64 = 12;
/// From this second on all is to be well again.
const WELL_AFTER: usize = 3;

pub(super) async fn make(options: &Options) -> Outcome<Table> {
    let head = ["The link in use", "Flow", "System", "Mbit/s in each second after"];
    let head: Vec<_> = head
        .into_iter()
        .chain(["from second 3 on"])
        .chain(ACTIVITY_HEADS)
        .chain(["Remark"])
        .collect();
    let title = "A link that turns bad: two ISPs of 50 Mbit/s, 20 ms";
    let mut table = Table::new(title.into(), &head);
    let access = links(&[LINK.to_owned(), LINK.to_owned()])?;
    let shape = Shape { access, ..Shape::default() };
    for kind in [Kind::Download, Kind::Upload] {
        // What the good link alone gives.
        let tcp = "tcp-cubic".parse()?;
        let trial = Trial::new(shape.clone(), tcp, &[kind], options.length(SECONDS));
        let good = Cell::run(&trial, options.runs()).await.mbits;
        for (name, turn) in TURNS {
            for system in options.systems(&SYSTEMS)? {
                let trial = Trial::new(shape.clone(), system, &[kind], options.length(SECONDS));
                let trial = Trial { turn: Some(turn), ..trial };
                let cell = Cell::run(&trial, options.runs()).await;
                let seconds = &cell.seconds[0];
                let shown: Vec<_> = seconds.iter().map(|rate| format!("{rate:.0}")).collect();
                let later = seconds.get(WELL_AFTER..).filter(|rest| !rest.is_empty()).map(mean);
                let mut row = vec![
                    name.to_owned(),
                    kind.to_string(),
                    system.to_string(),
                    shown.join(" "),
                    show(later, 1),
                ];
                row.extend(cell.activity_columns());
                row.push(cell.remark());
                table.row(row);
                if ["single", "auto"].contains(&system.to_string().as_str()) {
                    let what = format!(
                        "{name}, {kind}: `{system}` of TCP on a good link, from second 3 on"
                    );
                    table.bar(bar(&what, ratio(later, good), Limit::AtLeast(0.9)));
                }
            }
        }
    }
    Ok(table)
}
