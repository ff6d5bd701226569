//! What a report says, as it stands in `report.json`. Times of a run count from the failure.

use serde::{Deserialize, Serialize};

use crate::field::Table;

/// Everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where and when it was made.
    pub machine: Machine,
    /// What was asked for.
    pub parameters: Parameters,
    /// What was asked for and could not be, in sentences.
    pub left_out: Vec<String>,
    /// All runs, in the order they were made.
    pub runs: Vec<Run>,
    /// Tables of the field.
    #[serde(default)]
    pub field: Vec<Table>,
}

/// Where and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// When the first run began (RFC 3339, UTC).
    pub begun: String,
    /// When the last one ended.
    pub ended: String,
    /// The commit of the source, with `+` where it was changed.
    pub commit: String,
    /// The kernel's version.
    pub kernel: String,
    /// The processor's name.
    pub processor: String,
    /// How many of them.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The load average over a minute before the first run: what else goes on.
    pub load_before: f64,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// Of each ISP.
    pub rate_mbits: u64,
    /// Between the sites.
    pub rtt_ms: u64,
    /// Of each ISP.
    pub queue_ms: u64,
    /// How often each case was wanted.
    pub runs: usize,
    /// Runs in which the machine was later do not count.
    pub believe_ms: Option<u64>,
    /// How long a flow that stood still was waited for.
    pub watch_s: u64,
    /// What somebody wanted to be said.
    pub note: Option<String>,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// In which situation.
    pub situation: Situation,
    /// What people call the system.
    pub system: String,
    /// Whether it is Throughline.
    pub ours: bool,
    /// The ISP that failed.
    pub victim: String,
    /// How late the machine itself was while effects showed.
    pub machine_ms: f64,
    /// Whether it counts.
    pub believed: bool,
    /// From when until when stalls begin that count: s from the failure.
    pub window_s: [f64; 2],
    /// What each flow saw.
    pub flows: Vec<FlowRun>,
    /// Why there was no run.
    pub error: Option<String>,
}

/// What systems are compared in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Situation {
    /// What went wrong, as the command line has it.
    pub failure: String,
    /// Whose ISP.
    pub side: String,
    /// Addresses there were.
    pub family: String,
    /// All flows that ran at once.
    pub flows: Vec<String>,
}

/// What a flow saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlowRun {
    /// `echo`, `download` or `upload`.
    pub flow: String,
    /// How long it stood still.
    pub stall: Stall,
    /// Bulk: Mbit/s over the last second before the failure, and while effects showed.
    pub mbits: Option<[f64; 2]>,
    /// Bytes or messages carried, all of them right.
    pub carried: Option<u64>,
    /// What went wrong with it.
    pub error: Option<String>,
    /// What a plot shows.
    pub trace: Trace,
}

/// How long a flow stood still.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// So long …
    pub ms: f64,
    /// … or longer: it still stood when it was given up.
    pub at_least: bool,
}

/// Values at equal distances. Bulk: Mbit/s. Echo: the worst round trip in milliseconds of the
/// messages sent then; none where no answer came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The first value's time.
    pub from_s: f64,
    /// Between two values.
    pub step_s: f64,
    /// The values.
    pub values: Vec<Option<f64>>,
}

impl Report {
    /// Returns the situations, in the order they were first met.
    pub fn situations(&self) -> Vec<&Situation> {
        let mut all: Vec<&Situation> = Vec::new();
        for run in &self.runs {
            if !all.contains(&&run.situation) {
                all.push(&run.situation);
            }
        }
        all
    }

    /// Returns the systems of a situation, in the order they were first met.
    pub fn systems(&self, situation: &Situation) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for run in self.runs.iter().filter(|run| run.situation == *situation) {
            if !all.contains(&run.system.as_str()) {
                all.push(&run.system);
            }
        }
        all
    }

    /// Returns what a flow of a system saw in a situation, in all runs that count.
    pub fn flows<'a>(
        &'a self,
        situation: &'a Situation,
        system: &'a str,
        flow: &'a str,
    ) -> impl Iterator<Item = (&'a Run, &'a FlowRun)> {
        let runs = self
            .runs
            .iter()
            .filter(move |run| run.believed && run.situation == *situation && run.system == system);
        runs.flat_map(|run| run.flows.iter().map(move |flow| (run, flow)))
            .filter(move |(_, seen)| seen.flow == flow)
    }

    /// Returns whether every run could be made, no flow through Throughline broke, and no byte was wrong.
    /// That another system's flow stands still is what the report is about.
    pub fn is_sound(&self) -> bool {
        let tables = self.field.iter().all(Table::is_sound);
        tables
            && self.runs.iter().all(|run| {
                run.error.is_none()
                    && run.flows.iter().filter_map(|flow| flow.error.as_ref()).all(|error| {
                        !run.ours && !error.contains("wrong") && !error.contains("received")
                    })
            })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a report of one run each of two systems under one failure.
    pub(in crate::report) fn report() -> Report {
        let machine = Machine {
            begun: "2026-01-01T00:00:00Z".into(),
            ended: "2026-01-01T00:01:00Z".into(),
            commit: "abc".into(),
            kernel: "6.1".into(),
            processor: "<a processor>".into(),
            cores: 2,
            memory_mib: 1024,
            load_before: 0.5,
        };
        let parameters = Parameters {
            rate_mbits: 100,
            rtt_ms: 20,
            queue_ms: 50,
            runs: 1,
            believe_ms: None,
            watch_s: 15,
            note: Some("a note".into()),
        };
        let left_out = vec!["MPTCP: this kernel has no MPTCP".into()];
        let runs = vec![run("Throughline auto", 38.0, false), run("plain TCP", 15_000.0, true)];
        let field = vec![Table {
            title: "Bonds & shares".into(),
            head: vec!["System".into(), "Mbit/s".into()],
            rows: vec![vec!["bond".into(), "187.0".into()]],
            bars: vec!["`bond`: 187.00, wanted ≥ 187: met".into()],
        }];
        Report { machine, parameters, left_out, runs, field }
    }

    pub(in crate::report) fn run(system: &str, ms: f64, at_least: bool) -> Run {
        let stall = Stall { ms, at_least };
        let trace = |value| Trace {
            from_s: -1.0,
            step_s: 0.5,
            values: vec![Some(value), None, Some(value), Some(value)],
        };
        let flow = |flow: &str, mbits, value| FlowRun {
            flow: flow.into(),
            stall,
            mbits,
            carried: (!at_least).then_some(100),
            error: at_least.then(|| "stuck".into()),
            trace: trace(value),
        };
        Run {
            situation: Situation {
                failure: "blackhole".into(),
                side: "client".into(),
                family: "IPv4".into(),
                flows: vec!["echo".into(), "download".into()],
            },
            system: system.into(),
            ours: system.starts_with("Throughline"),
            victim: "isp-a".into(),
            machine_ms: 1.0,
            believed: true,
            window_s: [0.0, 2.0],
            flows: vec![flow("echo", None, 21.0), flow("download", Some([95.0, 80.0]), 95.0)],
            error: None,
        }
    }

    #[test]
    fn a_report_is_read_as_it_is_written() {
        let text = serde_json::to_string(&report()).unwrap();
        let again: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }

    #[test]
    fn a_stuck_flow_is_news_of_tcp_and_an_error_of_ours() {
        let mut report = report();
        assert!(report.is_sound());
        report.runs[1].flows[0].error = Some("wrong bytes between 0 and 9".into());
        assert!(!report.is_sound());
        report.runs = vec![run("Throughline auto", 38.0, true)];
        assert!(!report.is_sound());
    }

    #[test]
    fn a_table_of_the_field_in_which_a_flow_broke_is_an_error() {
        let mut report = report();
        report.field[0].rows.push(vec!["auto".into(), "**Download: stuck**".into()]);
        assert!(!report.is_sound());
    }

    #[test]
    fn runs_that_are_not_believed_do_not_count() {
        let mut report = report();
        let situation = report.runs[0].situation.clone();
        assert_eq!(report.flows(&situation, "plain TCP", "echo").count(), 1);
        report.runs[1].believed = false;
        assert_eq!(report.flows(&situation, "plain TCP", "echo").count(), 0);
        assert_eq!(report.systems(&situation), ["Throughline auto", "plain TCP"]);
    }
}
