//! What is asked for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::troubles::Trouble;
use crate::lab::access::{self, Access, Usual};
use crate::lab::compete::Rival;
use crate::lab::system::System;
use crate::support::Outcome;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Two radio links: bulk each way, echo beside it.
    Radio,
    /// Shares with a competitor on the same ISP.
    Shares,
    /// Satellites and bad DSL.
    LongLossy,
    /// Small messages over two links that lose.
    Messages,
    /// Two links of fixed rates, used at once.
    Bonds,
    /// A link that turns bad without dying.
    TurnsBad,
    /// Both ISPs silent for long.
    Outage,
    /// What administrators, ISPs and kernels do beside failing.
    Troubles,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Radio,
        Self::Shares,
        Self::LongLossy,
        Self::Messages,
        Self::Bonds,
        Self::TurnsBad,
        Self::Outage,
        Self::Troubles,
    ];
}

/// Which tables, and how.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Tables: radio, shares, long-lossy, messages, bonds, turns-bad, outage,
    /// troubles; none means all.
    #[arg(value_name = "TABLE")]
    pub tables: Vec<Which>,
    /// How often each cell; there are medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub runs: u64,
    /// How long each run is measured, in seconds, instead of what is usual for its table.
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub seconds: Option<u64>,
    /// Systems, instead of those that are usual for the table: auto, single, bond, redundant, tcp,
    /// tcp-cubic, tcp-bbr, mptcp.
    #[arg(long, value_delimiter = ',')]
    pub systems: Vec<System>,
    /// radio: files of delivery opportunities in mahimahi's format, down and up, for both ISPs; the
    /// second begins 70 s later in them. Without them weather is generated.
    #[arg(long, value_name = "DOWN,UP", value_delimiter = ',', num_args = 1..=2)]
    pub traces: Vec<PathBuf>,
    /// radio: the first ISP in words, as for `run`, instead of a trace.
    #[arg(long, value_name = "LINK", conflicts_with = "traces")]
    pub isp_a: Option<String>,
    /// radio: the second.
    #[arg(long, value_name = "LINK", conflicts_with = "traces")]
    pub isp_b: Option<String>,
    /// shares: queues.
    #[arg(long, value_delimiter = ',', value_parser = access::queue, default_value = "10ms,50ms,200ms")]
    pub queues: Vec<crate::lab::wan::Queue>,
    /// shares: Mbit/s.
    #[arg(long, value_delimiter = ',', value_parser = access::rate, default_value = "20,100")]
    pub rates: Vec<u64>,
    /// shares: competitors.
    #[arg(long, value_delimiter = ',', default_value = "cubic,bbr,throughline")]
    pub rivals: Vec<Rival>,
    /// shares: ours is there before the competitor; without it, after.
    #[arg(long)]
    pub ours_first: bool,
    /// outage: how long both ISPs are silent.
    #[arg(long, value_parser = access::duration, default_value = "10m")]
    pub outage: Duration,
    /// outage: how many idle flows there are.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub idle_flows: u64,
    /// troubles: which, instead of all.
    #[arg(long, value_delimiter = ',')]
    pub troubles: Vec<Trouble>,
}

impl Options {
    /// Returns what holds where nothing is said.
    pub fn usual() -> Self {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        <Line as clap::Parser>::parse_from(["field"]).options
    }

    /// Checks what can be checked before anything runs.
    ///
    /// # Errors
    /// When a link makes no sense or a trace cannot be read.
    pub fn check(&self) -> Outcome {
        links(&self.radio_links()).map(drop)
    }

    /// Returns the tables to make.
    pub(super) fn which(&self) -> Vec<Which> {
        if self.tables.is_empty() { Which::ALL.to_vec() } else { self.tables.clone() }
    }

    /// Returns how long a run is measured.
    pub(super) fn length(&self, usual: u64) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(usual))
    }

    /// Returns the troubles to make.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        if self.troubles.is_empty() { Trouble::ALL.to_vec() } else { self.troubles.clone() }
    }

    pub(super) fn runs(&self) -> usize {
        self.runs.max(1) as usize
    }

    /// Returns the systems of a table.
    pub(super) fn systems(&self, usual: &[&str]) -> Outcome<Vec<System>> {
        if !self.systems.is_empty() {
            return Ok(self.systems.clone());
        }
        Ok(usual.iter().map(|name| name.parse()).collect::<Result<_, String>>()?)
    }

    /// Returns the two radio links in words.
    pub(super) fn radio_links(&self) -> [String; 2] {
        let settings = "rtt=40ms queue=300kB";
        match &self.traces[..] {
            [] => [
                self.isp_a.clone().unwrap_or_else(|| format!("lte:8/6 {settings}")),
                self.isp_b.clone().unwrap_or_else(|| format!("lte:6/4 {settings}")),
            ],
            [down, rest @ ..] => {
                let (down, up) = (down.display(), rest.first().unwrap_or(down).display());
                let link = format!("trace:{down},{up} {settings}");
                [link.clone(), format!("{link} phase=70s")]
            }
        }
    }
}

/// Returns links of a table, from their words.
pub(super) fn links(descriptions: &[String]) -> Outcome<Vec<Access>> {
    let parse = |(number, description): (u8, &String)| {
        Access::parse(description, number, &Usual::default())
            .map_err(|error| format!("ISP \"{description}\": {error}"))
    };
    Ok((0..).zip(descriptions).map(parse).collect::<Result<_, _>>()?)
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Radio => "radio",
            Self::Shares => "shares",
            Self::LongLossy => "long-lossy",
            Self::Messages => "messages",
            Self::Bonds => "bonds",
            Self::TurnsBad => "turns-bad",
            Self::Outage => "outage",
            Self::Troubles => "troubles",
        })
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|which| which.to_string() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(Self::to_string).collect();
            format!("there is no table `{name}`; there are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Options, String> {
        let arguments = std::iter::once("field").chain(line.split_whitespace());
        <Line as clap::Parser>::try_parse_from(arguments)
            .map(|line| line.options)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_table_all_are_made() {
        let options = parse("").unwrap();
        assert_eq!(options.which(), Which::ALL);
        assert_eq!((options.queues.len(), options.rates.len(), options.rivals.len()), (3, 2, 3));
        assert_eq!(options.length(30), Duration::from_secs(30));
        let options = parse("shares outage --seconds 5 --outage 2m").unwrap();
        assert_eq!(options.which(), [Which::Shares, Which::Outage]);
        assert_eq!(options.length(30), Duration::from_secs(5));
        assert_eq!(options.outage, Duration::from_secs(120));
    }

    #[test]
    fn two_links_of_one_trace_are_out_of_phase() {
        let [a, b] = parse("radio --traces d,u").unwrap().radio_links();
        assert_eq!(a, "trace:d,u rtt=40ms queue=300kB");
        assert_eq!(b, "trace:d,u rtt=40ms queue=300kB phase=70s");
        let [a, b] = parse("radio").unwrap().radio_links();
        assert!(links(&[a, b]).is_ok());
    }

    #[test]
    fn mistakes_are_answered_with_what_is_possible() {
        for (line, says) in [
            ("radios", "there are radio, shares"),
            ("radio --systems quic", "tcp-bbr"),
            ("shares --queues deep", "300kB, 50ms or codel"),
            ("shares --rivals vegas", "cubic, bbr"),
            ("radio --runs 0", "1..=100"),
            ("radio --traces d --isp-a 20", "cannot be used"),
        ] {
            let error = parse(line).err().unwrap();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
