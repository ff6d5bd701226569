//! The report as Markdown: a table for each situation.

use std::fmt::Write as _;

use super::model::{Report, Situation};
use super::{prose, stats};

/// One cell for each column, for each system of a situation.
pub(super) struct Table {
    /// The columns' heads.
    pub(super) head: Vec<String>,
    /// Rows: the system, then the cells.
    pub(super) rows: Vec<Vec<String>>,
}

/// Returns the report.
pub fn render(report: &Report) -> String {
    let mut text = format!("# {}\n\n", title());
    for line in facts(report) {
        let _ = writeln!(text, "- {line}");
    }
    for situation in report.situations() {
        let _ = write!(text, "\n## {}\n\n", heading(situation));
        let sentence = prose::failure(&situation.failure);
        if !sentence.is_empty() {
            let _ = write!(text, "{sentence}\n\n");
        }
        let Table { head, rows } = table(report, situation);
        let _ = writeln!(text, "| {} |", head.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(head.len()));
        for row in rows {
            let _ = writeln!(text, "| {} |", row.join(" | ").replace('\n', " "));
        }
    }
    let _ = write!(text, "\n{}\n", READ);
    if !report.field.is_empty() {
        let _ = writeln!(text, "\n## {FIELD}");
    }
    for table in &report.field {
        let _ = write!(text, "\n{table}");
    }
    text
}

/// What the tables of the field stand under.
pub(super) const FIELD: &str = "In the field: radio links, other people's traffic, outages";

/// What a table's numbers mean.
pub(super) const READ: &str = "A stall is the worst round trip of the echoes sent (or under way) \
    when the ISP failed or in the 2 s after, or the longest time without a byte that began in \
    these 2 s. ≥: it still stood still when we gave up. n: how many runs count. Mbit/s: the last \
    second before the failure, and the 2 s after. Where an ISP loses packets (loss, brown-out) \
    5 s are meant instead of 2.";

pub(super) fn title() -> &'static str {
    "How sessions survive: a report of Throughline's lab"
}

/// `blackhole, client side, IPv4; echo and download at once`
pub(super) fn heading(situation: &Situation) -> String {
    let Situation { failure, side, family, flows } = situation;
    let at_once = if flows.len() > 1 { " at once" } else { "" };
    format!("{failure} ({side} side, {family}; {}{at_once})", flows.join(" and "))
}

/// Returns where it was made and how, in lines; also what a reader must not believe.
pub(super) fn facts(report: &Report) -> Vec<String> {
    let (machine, wanted) = (&report.machine, &report.parameters);
    let mut lines = vec![
        format!("Made {} to {}, commit {}", machine.begun, machine.ended, machine.commit),
        format!(
            "Each site has two ISPs of {} Mbit/s, {} ms between the sites, queues of {} ms; a flow \
             that stood still was given up after {} s",
            wanted.rate_mbits, wanted.rtt_ms, wanted.queue_ms, wanted.watch_s
        ),
        format!(
            "All of it, hosts and ISPs and network, on one machine: {} × {}, {} MiB, Linux {}; load \
             average before {:.2}",
            machine.cores,
            machine.processor,
            machine.memory_mib,
            machine.kernel,
            machine.load_before
        ),
    ];
    lines.extend(lateness(report));
    lines.extend(wanted.note.clone());
    lines.extend(report.left_out.iter().map(|line| format!("Left out: {line}")));
    let failed = report.runs.iter().filter_map(|run| {
        let error = run.error.as_ref()?.lines().next().unwrap_or_default();
        Some(format!("Could not be run: {}, {}: {error}", run.situation.failure, run.system))
    });
    lines.extend(failed);
    lines
}

/// Later than this, a machine's numbers say more about it than about what ran on it: a round trip
/// of the lab has 20 ms.
const NOISY: f64 = 10.0;

fn lateness(report: &Report) -> Vec<String> {
    let late = || report.runs.iter().filter(|run| run.error.is_none()).map(|run| run.machine_ms);
    let Some(median) = stats::median(late()) else { return Vec::new() };
    let worst = late().fold(0.0, f64::max);
    let mut lines = vec![format!(
        "How late the machine itself was while effects showed: median {}, worst {}",
        stats::duration(median),
        stats::duration(worst)
    )];
    let discounted = report.runs.iter().filter(|run| !run.believed && run.error.is_none()).count();
    if let Some(limit) = report.parameters.believe_ms {
        lines.push(format!(
            "{discounted} of {} runs, in which it was more than {limit} ms late, do not count",
            late().count()
        ));
    } else if worst > NOISY {
        let noisy = late().filter(|late| *late > NOISY).count();
        lines.push(format!(
            "A noisy machine: in {noisy} of {} runs it was more than {NOISY} ms late. Stalls of \
             that size may be its own",
            late().count()
        ));
    }
    lines
}

/// Returns a situation's table.
pub(super) fn table(report: &Report, situation: &Situation) -> Table {
    let mut head = vec!["system".to_owned(), "n".into()];
    for flow in &situation.flows {
        head.extend([format!("{flow}: median stall"), "min–max".into()]);
        if flow != "echo" {
            head.push("Mbit/s before → after".into());
        }
    }
    head.push("ended right".into());
    let rows = report.systems(situation).into_iter().map(|system| {
        let runs = report
            .runs
            .iter()
            .filter(|run| run.believed && run.situation == *situation && run.system == system);
        let mut row = vec![system.to_owned(), runs.count().to_string()];
        let (mut right, mut all) = (0, 0);
        for flow in &situation.flows {
            let seen = || report.flows(situation, system, flow).map(|(_, flow)| flow);
            match stats::summary(seen().map(|flow| flow.stall)) {
                Some(summary) => row.extend([stats::stall(summary.median), range(&summary)]),
                None => row.extend(["–", "–"].map(String::from)),
            }
            if flow != "echo" {
                let side = |index: usize| {
                    stats::median(seen().filter_map(|flow| flow.mbits).map(|both| both[index]))
                };
                row.push(match (side(0), side(1)) {
                    (Some(before), Some(after)) => format!("{before:.0} → {after:.0}"),
                    _ => "–".into(),
                });
            }
            right += seen().filter(|flow| flow.error.is_none()).count();
            all += seen().count();
        }
        row.push(format!("{right} of {all}"));
        row
    });
    Table { rows: rows.collect(), head }
}

/// Returns the shortest and the longest.
fn range(summary: &stats::Summary) -> String {
    let (least, most) = (stats::stall(summary.least), stats::stall(summary.most));
    if least == most { least } else { format!("{least} – {most}") }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{report, run};
    use super::*;

    #[test]
    fn every_system_has_a_row_with_median_range_and_count() {
        let mut report = report();
        report.runs.push(run("Throughline auto", 50.0, false));
        let text = render(&report);
        assert!(text.contains("## blackhole (client side, IPv4; echo and download at once)"));
        let row = "| Throughline auto | 2 | 44 ms | 38 ms – 50 ms | 44 ms | 38 ms – 50 ms | \
                   95 → 80 | 4 of 4 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| plain TCP | 1 | ≥ 15.0 s | ≥ 15.0 s |"), "{text}");
        assert!(text.contains("0 of 2 |"), "{text}");
    }

    #[test]
    fn tables_of_the_field_follow_with_their_bars() {
        let mut report = report();
        let text = render(&report);
        assert!(text.contains("## In the field") && text.contains("### Bonds & shares"), "{text}");
        assert!(text.contains("| bond | 187.0 |") && text.contains("187: met"), "{text}");
        report.field.clear();
        assert!(!render(&report).contains("In the field"));
    }

    #[test]
    fn rows_have_as_many_cells_as_the_head() {
        let report = report();
        let table = table(&report, report.situations()[0]);
        assert_eq!(table.rows.len(), 2);
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()));
    }

    #[test]
    fn what_is_missing_noisy_or_failed_is_said() {
        let mut report = report();
        let text = render(&report);
        assert!(
            text.contains("Left out: MPTCP: this kernel has no MPTCP") && text.contains("a note")
        );
        assert!(!text.contains("A noisy machine"));
        report.runs[0].machine_ms = 40.0;
        report.runs[1].error = Some("no routes by BGP".into());
        let text = render(&report);
        assert!(text.contains("in 1 of 1 runs it was more than 10 ms late"), "{text}");
        assert!(
            text.contains("Could not be run: blackhole, plain TCP: no routes by BGP"),
            "{text}"
        );
    }

    #[test]
    fn a_system_without_runs_that_count_keeps_its_row() {
        let mut report = report();
        report.runs[0].believed = false;
        report.parameters.believe_ms = Some(5);
        let text = render(&report);
        assert!(text.contains("| Throughline auto | 0 | – | – | – | – | – | 0 of 0 |"), "{text}");
        assert!(text.contains("1 of 2 runs, in which it was more than 5 ms late"), "{text}");
    }
}
