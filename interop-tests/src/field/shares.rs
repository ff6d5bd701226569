//! Shares: one download of ours and one of a competitor's through the same ISP.

use super::bar::{Limit, bar, ratio};
use super::cell::{Cell, show};
use super::options::Options;
use super::table::Table;
use crate::lab::Shape;
use crate::lab::access::Access;
use crate::lab::compete::{Competition, Rival};
use crate::lab::flow::Kind;
use crate::lab::trial::{Trial, mean};
use crate::lab::wan::Queue;
use crate::support::Outcome;
use std::time::Duration;

/// Long enough for some of a sawtooth's teeth.
const SECONDS: u64 = 20;
/// The round trip between the sites.
const RTT: Duration = Duration::from_millis(20);
/// A share is looked at over so many seconds for whether it is steady.
const SPAN: usize = 5;

pub(super) async fn make(options: &Options) -> Outcome<Table> {
    let order = if options.ours_first { "ours is there first" } else { "the other is there first" };
    let title = format!("Shares of one ISP, {} ms, a download each, {order}", RTT.as_millis());
    let head = ["Rate", "Queue", "Ours", "Other", "Ours Mbit/s", "Other Mbit/s"];
    let head: Vec<_> =
        head.into_iter().chain(["Ours : other", "least–most over 5 s", "Remark"]).collect();
    let mut table = Table::new(title, &head);
    let mut worst = Worst::default();
    for system in options.systems(&["auto"])? {
        for rate in &options.rates {
            for queue in &options.queues {
                for rival in &options.rivals {
                    let access = vec![Access::fixed(*rate, RTT, *queue)];
                    let shape =
                        Shape { access, client_isps: 1, server_isps: 1, ..Shape::default() };
                    let competition =
                        Competition { rivals: vec![*rival], first: !options.ours_first };
                    let length = options.length(SECONDS);
                    let trial = Trial::new(shape, system, &[Kind::Download], length);
                    let cell = Cell::run(&Trial { competition, ..trial }, options.runs()).await;
                    let share = ratio(cell.mbits, cell.rival);
                    worst.add(*rival, share);
                    table.row(vec![
                        format!("{} Mbit/s", *rate as f64 / 1e6),
                        show_queue(*queue),
                        system.to_string(),
                        rival.to_string(),
                        show(cell.mbits, 1),
                        show(cell.rival, 1),
                        show(share, 2),
                        spans(&cell.seconds),
                        cell.remark(),
                    ]);
                }
            }
        }
    }
    worst.bars(&mut table);
    Ok(table)
}

/// The shares that are furthest from an equal one.
#[derive(Default)]
struct Worst {
    /// With others: the least and the most.
    others: Vec<f64>,
    /// With another Throughline.
    ourselves: Vec<f64>,
}

impl Worst {
    fn add(&mut self, rival: Rival, share: Option<f64>) {
        let all = match rival {
            Rival::Throughline(_) => &mut self.ourselves,
            Rival::Tcp(_) => &mut self.others,
            // It takes what it takes.
            Rival::Udp(_) => return,
        };
        all.extend(share.filter(|share| share.is_finite()));
    }

    fn bars(&self, table: &mut Table) {
        for (all, least, most, whom) in
            [(&self.others, 0.5, 2.0, "TCP"), (&self.ourselves, 0.67, 1.5, "another Throughline")]
        {
            let lowest = all.iter().copied().reduce(f64::min);
            let highest = all.iter().copied().reduce(f64::max);
            let wanted = Limit::Between(least, most);
            table.bar(bar(&format!("least share beside {whom}"), lowest, wanted));
            table.bar(bar(&format!("greatest share beside {whom}"), highest, wanted));
        }
    }
}

/// Returns the least and the greatest share over some seconds.
fn spans([ours, others]: &[Vec<f64>; 2]) -> String {
    let shares = ours.chunks_exact(SPAN).zip(others.chunks_exact(SPAN));
    let mut shares: Vec<_> = shares.map(|(ours, others)| mean(ours) / mean(others)).collect();
    shares.sort_by(f64::total_cmp);
    match (shares.first(), shares.last()) {
        (Some(least), Some(most)) => format!("{least:.2}–{most:.2}"),
        _ => "–".into(),
    }
}

fn show_queue(queue: Queue) -> String {
    match queue {
        Queue::Time(time) => format!("{} ms", time.as_millis()),
        Queue::Bytes(bytes) => format!("{} kB", bytes / 1000),
        _ => "CoDel".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_looked_at_in_spans() {
        let ours = vec![1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 9.0];
        assert_eq!(spans(&[ours, vec![2.0; 11]]), "0.50–1.50");
        assert_eq!(spans(&[vec![1.0], vec![1.0]]), "–");
    }
}
