//! What is asked for on the command line, and the plan that it comes to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::contender::Contender;
use super::model::Parameters;
use crate::field;
use crate::lab::Side;
use crate::lab::failure::Failure;
use crate::lab::flow::{Flows, Kind};
use crate::lab::plan::Family;
use crate::lab::scenario::Watch;
use crate::support::Outcome;

/// What to run, and where to write it.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Two failures at the client's side, each once: a few minutes (this is the default).
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Every failure at both sides, in IPv4 and IPv6, with all flows, three times: hours.
    #[arg(long)]
    pub full: bool,
    /// Systems: a mode of Throughline (auto, single, bond, redundant), tcp, mptcp; with BGP and
    /// a prefix of the site's own: tcp+bgp (hold time 9 s), tcp+bfd, auto+bgp, …
    #[arg(long, value_delimiter = ',')]
    pub systems: Vec<Contender>,
    /// Failures, as `lab -- list` names them.
    #[arg(long, value_delimiter = ',')]
    pub failures: Vec<Failure>,
    /// Whose ISP fails: client, server.
    #[arg(long, value_delimiter = ',', value_parser = side)]
    pub side: Vec<Side>,
    /// Addresses: v4, v6, both.
    #[arg(long, value_delimiter = ',', value_parser = family)]
    pub family: Vec<Family>,
    /// Flows: echo, download, upload; several with `+` run at once, with `,` one after the other.
    #[arg(long, value_delimiter = ',')]
    pub flows: Vec<Flows>,
    /// How often each.
    #[arg(long)]
    pub runs: Option<usize>,
    /// Do not count runs in which the machine itself was later than this, in milliseconds, but
    /// repeat them, each at most four times.
    #[arg(long, value_name = "MS")]
    pub believe: Option<u64>,
    /// How long to wait for a flow that stands still, in seconds. BGP with a hold time of 9 s has
    /// TCP waiting for twice as long: it doubles the time between two attempts.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub watch: u64,
    /// Mbit/s of each ISP.
    #[arg(long, default_value_t = 100)]
    pub rate: u64,
    /// Round trip between the sites, in milliseconds.
    #[arg(long, default_value_t = 20)]
    pub rtt: u64,
    /// What each ISP queues, in milliseconds.
    #[arg(long, default_value_t = 50)]
    pub queue: u64,
    /// Tables of the field, too: radio, shares, long-lossy, messages, bonds, turns-bad, outage. Some
    /// minutes each.
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub field: Vec<field::Which>,
    /// For the table `radio`: files of delivery opportunities in mahimahi's format, down and up.
    #[arg(long, value_name = "DOWN,UP", value_delimiter = ',', num_args = 1..=2, requires = "field")]
    pub traces: Vec<PathBuf>,
    /// Where the files go.
    #[arg(long, value_name = "DIR", default_value = "target/report")]
    pub out: PathBuf,
    /// A sentence for the report, on the machine say.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Run nothing: draw this report.json anew.
    #[arg(long, value_name = "FILE")]
    pub render: Option<PathBuf>,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct ReportPlan {
    /// What is compared.
    pub systems: Vec<Contender>,
    /// What goes wrong.
    pub failures: Vec<Failure>,
    /// Whose ISP fails.
    pub sides: Vec<Side>,
    /// Addresses there are.
    pub families: Vec<Family>,
    /// What runs.
    pub flows: Vec<Flows>,
    /// How often each.
    pub runs: usize,
    /// How late the machine may be.
    pub believe: Option<Duration>,
    /// How long a flow may stand still before it is given up.
    pub watch: Duration,
    /// Bit/s of each ISP.
    pub rate: u64,
    /// The round trip between the sites.
    pub rtt: Duration,
    /// What each ISP queues.
    pub queue: Duration,
    /// A sentence for the report.
    pub note: Option<String>,
    /// Tables of the field.
    pub field: Option<field::Options>,
}

/// Plots show so much after a failure, also where nothing happens.
const AFTER: Duration = Duration::from_secs(5);

impl Options {
    /// Returns what this comes to.
    ///
    /// # Errors
    /// When a number makes no sense; the message names the option and what is possible.
    pub fn plan(&self) -> Outcome<ReportPlan> {
        let number = |option: &str, value: u64, possible: std::ops::RangeInclusive<u64>| {
            if possible.contains(&value) {
                return Ok(value);
            }
            let (least, most) = (possible.start(), possible.end());
            Err(format!("--{option} {value}: give a number from {least} to {most}"))
        };
        let or = |given: &[Contender], usual: &[&str]| -> Outcome<Vec<Contender>> {
            if !given.is_empty() {
                return Ok(given.to_vec());
            }
            Ok(usual.iter().map(|text| text.parse()).collect::<Result<Vec<Contender>, String>>()?)
        };
        let milliseconds = |value| Duration::from_millis(value);
        let runs = self.runs.unwrap_or(if self.full { 3 } else { 1 });
        Ok(ReportPlan {
            systems: or(&self.systems, &Contender::USUAL)?,
            failures: choose(
                &self.failures,
                self.full,
                &[Failure::Blackhole, Failure::Carrier],
                &Failure::ALL,
            ),
            sides: choose(&self.side, self.full, &[Side::Client], &[Side::Client, Side::Server]),
            families: choose(&self.family, self.full, &[Family::V4], &[Family::V4, Family::V6]),
            flows: choose(
                &self.flows,
                self.full,
                &[Flows(vec![Kind::Echo, Kind::Download])],
                &[Flows(vec![Kind::Echo]), Flows(vec![Kind::Download]), Flows(vec![Kind::Upload])],
            ),
            runs: number("runs", runs as u64, 1..=1000)? as usize,
            believe: match self.believe {
                Some(limit) => Some(milliseconds(number("believe", limit, 1..=1000)?)),
                None => None,
            },
            watch: Duration::from_secs(number("watch", self.watch, 2..=600)?),
            rate: number("rate", self.rate, 1..=1000)? * 1_000_000,
            rtt: milliseconds(number("rtt", self.rtt, 1..=2000)?),
            queue: milliseconds(number("queue", self.queue, 1..=2000)?),
            note: self.note.clone(),
            field: self.field(runs as u64)?,
        })
    }

    /// Returns what is asked for of the field.
    fn field(&self, runs: u64) -> Outcome<Option<field::Options>> {
        if self.field.is_empty() {
            return Ok(None);
        }
        let (tables, traces) = (self.field.clone(), self.traces.clone());
        let options = field::Options { tables, traces, runs, ..field::Options::usual() };
        options.check()?;
        Ok(Some(options))
    }
}

/// Returns what is given, or what is usual.
fn choose<T: Clone>(given: &[T], full: bool, quick: &[T], all: &[T]) -> Vec<T> {
    let usual = if full { all } else { quick };
    if given.is_empty() { usual.to_vec() } else { given.to_vec() }
}

impl ReportPlan {
    /// Returns how long flows are watched.
    pub fn watching(&self) -> Watch {
        Watch { least: AFTER.min(self.watch), most: self.watch }
    }

    /// Returns what a reader of the report has to know of it.
    pub fn parameters(&self) -> Parameters {
        Parameters {
            rate_mbits: self.rate / 1_000_000,
            rtt_ms: self.rtt.as_millis() as u64,
            queue_ms: self.queue.as_millis() as u64,
            runs: self.runs,
            believe_ms: self.believe.map(|limit| limit.as_millis() as u64),
            watch_s: self.watch.as_secs(),
            note: self.note.clone(),
        }
    }
}

fn side(text: &str) -> Result<Side, String> {
    match text {
        "client" => Ok(Side::Client),
        "server" => Ok(Side::Server),
        other => Err(format!("there is no side `{other}`; there are client, server")),
    }
}

fn family(text: &str) -> Result<Family, String> {
    match text {
        "v4" => Ok(Family::V4),
        "v6" => Ok(Family::V6),
        "both" => Ok(Family::Both),
        other => Err(format!("there is no family `{other}`; there are v4, v6, both")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Options, String> {
        let arguments = std::iter::once("report").chain(line.split_whitespace());
        Line::try_parse_from(arguments).map(|line| line.options).map_err(|error| error.to_string())
    }

    #[test]
    fn without_options_it_is_the_quick_selection() {
        for line in ["", "--quick"] {
            let plan = parse(line).unwrap().plan().unwrap();
            assert_eq!(plan.failures, [Failure::Blackhole, Failure::Carrier]);
            assert_eq!((plan.systems.len(), plan.sides.len(), plan.runs), (6, 1, 1));
        }
    }

    #[test]
    fn full_is_every_failure_and_filters_still_filter() {
        let plan = parse("--full --side server --flows echo+upload,echo").unwrap().plan().unwrap();
        assert_eq!(plan.failures, Failure::ALL);
        assert_eq!(plan.sides, [Side::Server]);
        let flows = [Flows(vec![Kind::Echo, Kind::Upload]), Flows(vec![Kind::Echo])];
        assert_eq!(plan.flows, flows);
    }

    #[test]
    fn tables_of_the_field_are_made_where_they_are_asked_for() {
        assert!(parse("").unwrap().plan().unwrap().field.is_none());
        let plan = parse("--field shares,radio --runs 3").unwrap().plan().unwrap();
        let field = plan.field.unwrap();
        assert_eq!((field.tables.len(), field.runs, field.rivals.len()), (2, 3, 3));
        let error = parse("--field radio --traces /nonexistent").unwrap().plan().unwrap_err();
        assert!(error.to_string().contains("cannot read the trace"), "{error}");
    }

    #[test]
    fn wrong_arguments_are_answered_with_what_is_possible() {
        for (line, wrong, hint) in [
            ("--systems quic", "`quic`", "redundant"),
            ("--failures black-hole", "`black-hole`", "blackhole"),
            ("--side left", "`left`", "client, server"),
            ("--family v5", "`v5`", "v4, v6, both"),
            ("--flows ping", "`ping`", "echo, download, upload"),
            ("--runs many", "many", "--runs"),
            ("--field radios", "`radios`", "radio, shares"),
            ("--traces d", "--field", "required"),
            ("--quick --full", "--full", "--quick"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(wrong) && error.contains(hint), "{line}: {error}");
        }
        for (line, hint) in [
            ("--runs 0", "from 1 to 1000"),
            ("--believe 0", "from 1 to 1000"),
            ("--rate 5000", "from 1 to 1000"),
            ("--watch 1", "from 2 to 600"),
        ] {
            let error = parse(line).unwrap().plan().unwrap_err().to_string();
            assert!(error.contains(line) && error.contains(hint), "{line}: {error}");
        }
    }
}
