//! Every state with every input: `table.txt` names both, and says what follows.
//!
//! `THROUGHLINE_UPDATE_TABLES=1` writes the table; read each row that changes.

use std::fmt::Write;

use super::given::Given;
use super::input::Input;
use crate::lane::rules::Rules;

const TABLE: &str = include_str!("table.txt");

/// The rows of the table as the monitor behaves under these rules, in the order of the file.
pub(super) fn rows(rules: Rules) -> Vec<String> {
    let mut rows = Vec::new();
    for given in Given::ALL {
        for input in Input::ALL {
            rows.push(row(given, input, rules));
        }
    }
    rows
}

fn row(given: Given, input: Input, rules: Rules) -> String {
    let mut bench = given.bench(rules);
    input.happen(&mut bench);
    let state = format!("{:?}", bench.monitor.state());
    let lossy = if bench.monitor.is_lossy() { ", lossy" } else { "" };
    let condition = bench.monitor.condition();
    let kept = if condition.confirmed && !condition.failed { ", kept" } else { "" };
    let actions = summarize(&bench.take());
    let (given, input, check) = (given.name(), input.name(), bench.next_check());
    let row =
        format!("{given:25} | {input:37} | {:16} | {check:>8} | {actions}", state + lossy + kept);
    row.trim_end().to_owned()
}

/// The actions in order, each with how often it follows itself. What is advertised with a probe is
/// one of them. Notices, which come again and again beside all else, are counted at the end.
fn summarize(actions: &[String]) -> String {
    let mut text = String::new();
    let (notices, actions): (Vec<_>, Vec<_>) =
        actions.iter().cloned().partition(|action| action.starts_with("notice"));
    let joined = actions.join("\n").replace("advertise\nprobe", "advertise and probe");
    let actions: Vec<&str> = joined.lines().collect();
    for (index, run) in actions.chunk_by(|a, b| a == b).enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}{}", run[0]);
        if run.len() > 1 {
            let _ = write!(text, " ×{}", run.len());
        }
    }
    for name in ["notice", "notice: narrow"] {
        let count = notices.iter().filter(|notice| *notice == name).count();
        if count > 0 {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{name} ×{count}");
        }
    }
    text
}

/// The table as it is checked in, without its head.
pub(super) fn written() -> Vec<&'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

#[test]
fn every_state_with_every_input_does_what_the_table_says() {
    let rows = rows(Rules::default());
    if std::env::var_os("THROUGHLINE_UPDATE_TABLES").is_some() {
        let head = TABLE.lines().take_while(|line| line.starts_with('#'));
        let mut text: String = head.map(|line| format!("{line}\n")).collect();
        for given in rows.chunks(Input::ALL.len()) {
            let _ = write!(text, "\n{}\n", given.join("\n"));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lane/monitor/tests/table.txt");
        std::fs::write(path, text).unwrap();
        return;
    }
    let written = written();
    for (row, written) in rows.iter().zip(&written) {
        assert_eq!(row, written);
    }
    assert_eq!(rows.len(), written.len(), "a cell is missing, or one too many");
}
