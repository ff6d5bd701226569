//! `throughline doctor`: finds what is wrong, and says what to do about it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::output::{print, print_json, usage_error};
use crate::catalogue::Code;
use crate::config::Config;
use crate::doctor::{self, Diagnosis, Examination, Severity};

/// The exit status where the worst finding is a warning.
const WARNING: u8 = 3;

/// The exit status where the configuration cannot be read, as of every command.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Exit status: 0 where nothing is worse than a note, 3 with warnings, 1 with errors, 2 where the
configuration cannot be read.

Examples:
  throughline doctor -c /etc/throughline/throughline.toml
  throughline doctor --peer office           only the paths to one peer
  throughline doctor --json | jq '.findings[] | select(.severity == \"error\")'
  throughline explain TL0205                 what a code means";

/// What to examine, and how to show it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// The configuration to examine; the daemon that runs with it is asked, and goes on
    #[arg(short, long, value_name = "FILE", default_value = "/etc/throughline/throughline.toml")]
    pub config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Examine the paths to this peer only
    #[arg(long, value_name = "NAME")]
    pub peer: Option<String>,
    /// How long an answer may take, in seconds; all probes together take three times that at most
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub timeout: u16,
}

pub(super) async fn execute(args: DoctorArgs) -> ExitCode {
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => {
            show(&doctor::of_config_error(&args.config, &error), args.json);
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
    let diagnosis = doctor::examine(&config, &Examination { peer: args.peer, timeout }).await;
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
