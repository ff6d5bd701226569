//! `throughline doctor`: finds what is wrong, and says what to do about it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::file::or_default;
use super::output::{print, print_json, usage_error};
use crate::catalogue::Code;
use crate::config::Config;
use crate::doctor::{self, Diagnosis, Examination, Severity};

/// The exit status where the worst finding is a warning.
const WARNING: u8 = 3;

/// The exit status where the configuration cannot be read, as of every command.
const USAGE: u8 = 2;

/// The longest silence that `--nat` takes: QUIC lets a connection go after 30 s.
const MAX_SILENCE: i64 = 27;

/// The silences of a path that pass side by side: a peer keeps sixteen such connections, of four paths.
const MAX_SILENCES: usize = 4;

/// The size of a burst: enough packets to tell one thing from another, and four seconds of sending.
const BURST: RangeInclusive<u64> = 200_000..=16_000_000;

const EXAMPLES: &str = "\
Exit status: 0 where nothing is worse than a note, 3 with warnings, 1 with errors, 2 where the
configuration cannot be read.

Examples:
  throughline doctor -c /etc/throughline/throughline.toml
  throughline doctor --peer office           only the paths to one peer
  throughline doctor --nat                   and how long a NAT keeps a silent path open
  throughline doctor --rate                  and whether an ISP limits the rate, by 1 MB for each uplink
  throughline doctor --json | jq '.findings[] | select(.severity == \"error\")'
  throughline explain TL0205                 what a code means";

/// What to examine, and how to show it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// The configuration to examine; the daemon that runs with it is asked, and goes on. Without it
    /// /etc/throughline/throughline.toml, for others than root ~/.config/throughline/throughline.toml where that is there
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Examine the paths to this peer only
    #[arg(long, value_name = "NAME")]
    pub peer: Option<String>,
    /// How long an answer may take, in seconds; all probes together take three times that at most
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub timeout: u16,
    /// See, too, whether the peers' packets still come in after these silences: how long a NAT or a firewall keeps
    /// a UDP flow open. It takes the longest of them and some 5 s, for each four paths to a peer
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, value_delimiter = ',',
          default_missing_value = "5,10,16,25", value_parser = clap::value_parser!(u16).range(1..=MAX_SILENCE))]
    pub nat: Option<Vec<u16>>,
    /// See, too, what limits the rate at which this host sends over each uplink, by a burst of so many bytes, which costs
    /// money on a metered one; paths are tried one after the other, each for some seconds
    #[arg(long, value_name = "SIZE", num_args = 0..=1, require_equals = true, default_missing_value = "1MB",
          value_parser = burst_size)]
    pub rate: Option<u64>,
}

/// Reads the size of a burst.
fn burst_size(text: &str) -> Result<u64, String> {
    let size = crate::config::size::bytes(text);
    size.filter(|size| BURST.contains(size))
        .ok_or_else(|| "a burst has between 200kB and 16MB".to_owned())
}

pub(super) async fn execute(args: DoctorArgs) -> ExitCode {
    let file = or_default(args.config.as_ref());
    let config = match Config::load(&file) {
        Ok(config) => config,
        Err(error) => {
            show(&doctor::of_config_error(&file, &error), args.json);
            return ExitCode::from(USAGE);
        }
    };
    if let Some(name) = &args.peer
        && !config.peers.iter().any(|peer| peer.config.name == *name)
    {
        let names: Vec<_> = config.peers.iter().map(|p| p.config.name.as_str()).collect();
        let reason = format!("there is no peer `{name}`; there are {}", names.join(", "));
        return usage_error(Code::UnknownName, reason);
    }
    let timeout = Duration::from_secs(args.timeout.into());
    let mut silences = args.nat.unwrap_or_default();
    silences.sort_unstable();
    silences.dedup();
    if silences.len() > MAX_SILENCES {
        return usage_error(
            Code::CommandLine,
            format!("--nat takes {MAX_SILENCES} silences at most"),
        );
    }
    let silences =
        silences.into_iter().map(|seconds| Duration::from_secs(seconds.into())).collect();
    let examination = Examination { peer: args.peer, timeout, silences, burst: args.rate };
    let diagnosis = doctor::examine(&file, &config, &examination).await;
    show(&diagnosis, args.json);
    match diagnosis.severity {
        Severity::Ok | Severity::Note => ExitCode::SUCCESS,
        Severity::Warning => ExitCode::from(WARNING),
        Severity::Error => ExitCode::FAILURE,
    }
}

fn show(diagnosis: &Diagnosis, json: bool) {
    let _ = if json { print_json(diagnosis) } else { print(diagnosis) };
}
