//! Starts the process that takes over from this one: the program as it is now, with the arguments of this one.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use super::output::{config_error, fail_as, print_json, start_error};
use crate::catalogue::Code;
use crate::config::Config;
use crate::handover;
use crate::run::identity;

/// The option by which it takes over.
const TAKE_OVER: &str = "--take-over";

/// The command of the process in between.
const BEGIN: &str = "begin-successor";

/// How long that may take.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The command that prints which formats of state a program reads, and its key.
const FORMATS: &str = "state-formats";

/// How long it has for that.
const FORMATS_TIMEOUT: Duration = Duration::from_secs(5);

/// Says whose progress the service manager follows: this process's.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// What is to run, for the process in between.
#[derive(Debug, Args)]
pub struct BeginArgs {
    /// The program's arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// Starts a successor, which asks this process to hand over. What becomes of that both say in their logs.
///
/// A process in between starts it, and ends: so it is no child of this one, but of whoever takes orphans. systemd
/// kills a main process that is not its child at once when the service is stopped.
///
/// # Errors
/// The program is not there, or cannot be started.
pub(super) async fn start() -> io::Result<()> {
    let mut arguments = std::env::args_os();
    // By its name and not as the file that runs: that is the former one after an upgrade.
    let program = arguments.next().ok_or(io::ErrorKind::NotFound)?;
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", program.display()));
    let mut between = Command::new(&program);
    between.arg(BEGIN).args(of_successor(arguments)).env_remove(WATCHDOG_PID).kill_on_drop(true);
    let ended = match timeout(BEGIN_TIMEOUT, between.status()).await {
        Ok(ended) => ended.map_err(named)?,
        Err(_) => return Err(named(io::ErrorKind::TimedOut.into())),
    };
    match ended.success() {
        true => Ok(()),
        false => Err(named(io::Error::other(ended.to_string()))),
    }
}

/// Starts the successor, and ends.
pub(super) fn begin(args: BeginArgs) -> ExitCode {
    let Some(program) = std::env::args_os().next() else {
        return fail_as(Code::SystemRefuses, "this program has no name");
    };
    match std::process::Command::new(program).args(args.arguments).spawn() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            fail_as(Code::SystemRefuses, format!("the successor cannot be started: {error}"))
        }
    }
}

/// What a program says of a successor that it would be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Candidate {
    /// The formats of state that it reads.
    pub(super) formats: Vec<u64>,
    /// The public key that it would have.
    pub(super) id: String,
}

/// Asks the program as it is now what it would be with this configuration.
///
/// # Errors
/// It does not start, or does not take the configuration, or does not say.
pub(super) async fn candidate(file: &Path) -> Result<Candidate, String> {
    let program = std::env::args_os().next().ok_or("this program has no name")?;
    let mut ask = Command::new(&program);
    ask.arg(FORMATS).arg(file).stdin(Stdio::null()).kill_on_drop(true);
    let named = |reason: String| format!("{}: {reason}", program.display());
    let answer = match timeout(FORMATS_TIMEOUT, ask.output()).await {
        Ok(answer) => answer.map_err(|error| named(error.to_string()))?,
        Err(_) => return Err(named("no answer".to_owned())),
    };
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        return Err(named(said.lines().next().unwrap_or("it fails").to_owned()));
    }
    serde_json::from_slice(&answer.stdout).map_err(|error| named(error.to_string()))
}

/// Prints what this program would be, for [`candidate`] of another version.
pub(super) fn print_candidate(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok(config) => match identity(&config) {
            Ok(identity) => print_json(&Candidate {
                formats: Vec::from_iter(handover::FORMATS),
                id: identity.peer_id().to_string(),
            }),
            Err(error) => start_error(&error),
        },
        Err(error) => config_error(&error),
    }
}

fn of_successor(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let others = arguments.filter(|argument| argument != TAKE_OVER);
    others.chain([OsString::from(TAKE_OVER)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_has_the_same_arguments_and_takes_over_once() {
        let expected = ["run", "-c", "file", "--take-over"].map(OsString::from);
        for arguments in [&["run", "-c", "file"][..], &["run", "--take-over", "-c", "file"]] {
            assert_eq!(of_successor(arguments.iter().map(OsString::from)), expected);
        }
    }
}
