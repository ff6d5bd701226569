//! Live progress: a line for each run, and how long it will go on. On a terminal the run that is
//! under way is shown, too; elsewhere there are plain lines only.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::matrix::Case;
use super::model::Run;
use super::stats;

/// Runs that are wanted, and how they get on.
pub(super) struct Progress {
    total: usize,
    ended: usize,
    /// Of all runs, and of those that have ended.
    expected: Duration,
    done: Duration,
    /// Of the one under way.
    current: Duration,
    watch: Duration,
    began: Instant,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(cases: &[Case], runs: usize, watch: Duration) -> Self {
        let round: Duration = cases.iter().map(|case| case.expected(watch)).sum();
        let progress = Self {
            total: cases.len() * runs,
            ended: 0,
            expected: round * runs as u32,
            done: Duration::ZERO,
            current: Duration::ZERO,
            watch,
            began: Instant::now(),
            terminal: std::io::stdout().is_terminal(),
        };
        let s = if progress.total == 1 { "" } else { "s" };
        println!("{} run{s}, about {}", progress.total, clock(progress.expected));
        progress
    }

    /// A run begins.
    pub(super) fn begins(&mut self, case: &Case) {
        self.current = case.expected(self.watch);
        if self.terminal {
            let (system, failure) = (case.contender.label(), case.failure);
            print!("\r\x1b[K[{}/{}] {failure}: {system} …", self.ended + 1, self.total);
            let _ = std::io::stdout().flush();
        }
    }

    /// It has ended; `last` unless it will be made again.
    pub(super) fn ended(&mut self, run: &Run, last: bool) {
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        let (number, total) = (self.ended + 1, self.total);
        if last {
            self.ended += 1;
            self.done += self.current;
        }
        let gone = self.began.elapsed();
        let left = clock(remaining(gone, self.done, self.expected));
        let (line, gone) = (line(run), clock(gone));
        println!("{start}[{number}/{total}] {line}; {gone} gone, about {left} left");
    }
}

/// Returns what a run saw, on a line.
fn line(run: &Run) -> String {
    let situation = &run.situation;
    let mut text = format!(
        "{} ({}, {}): {}: ",
        situation.failure, situation.side, situation.family, run.system
    );
    if let Some(error) = &run.error {
        return text + "NO RUN: " + error.lines().next().unwrap_or_default();
    }
    let flows = run.flows.iter().map(|flow| {
        let stall = format!("{} {}", flow.flow, stats::stall(flow.stall));
        match &flow.error {
            Some(error) if !flow.stall.at_least => format!("{stall} ({error})"),
            _ => stall,
        }
    });
    text += &flows.collect::<Vec<_>>().join(", ");
    let machine = stats::duration(run.machine_ms);
    text += &format!("; machine {machine}");
    text + if run.believed { "" } else { ", not believed" }
}

/// Returns what is left if it goes on as it went.
fn remaining(gone: Duration, done: Duration, expected: Duration) -> Duration {
    let left = expected.saturating_sub(done).as_secs_f64();
    let pace = if done.is_zero() { 1.0 } else { gone.as_secs_f64() / done.as_secs_f64() };
    Duration::from_secs_f64(left * pace)
}

/// `4:05`, minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::run;
    use super::*;

    #[test]
    fn what_is_left_goes_by_what_it_took_so_far() {
        let s = Duration::from_secs;
        assert_eq!(remaining(s(0), s(0), s(100)), s(100));
        assert_eq!(remaining(s(30), s(20), s(100)), s(120));
        assert_eq!(remaining(s(30), s(110), s(100)), s(0));
        assert_eq!(clock(s(245)), "4:05");
    }

    #[test]
    fn a_line_names_the_case_and_says_what_its_flows_saw() {
        let line = line(&run("plain TCP", 15_000.0, true));
        for part in ["blackhole (client, IPv4)", "plain TCP", "echo ≥ 15.0 s", "machine 1.0 ms"] {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn a_run_that_could_not_be_made_says_why() {
        let run = Run { error: Some("no routes".into()), ..run("plain TCP", 1.0, false) };
        assert!(line(&run).ends_with("NO RUN: no routes"));
    }
}
