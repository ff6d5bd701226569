//! What every command prints, and its exit status.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use crate::config::ConfigError;
use crate::run::StartError;
use crate::sentence::sentence;

/// The exit status for a wrong command line or configuration, which is also clap's.
const USAGE: u8 = 2;

/// Prints a result. A reader that went away (`| head`) is not a failure.
pub(super) fn print(text: &impl Display) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

/// Prints a result as JSON.
pub(super) fn print_json(value: &impl Serialize) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(json) => print(&json),
        Err(error) => fail(error),
    }
}

/// Reports a failure as a sentence.
pub(super) fn fail(error: impl Display) -> ExitCode {
    print_error(&sentence(&error.to_string()));
    ExitCode::FAILURE
}

/// Reports a failure as a sentence, with an exit status of its own.
#[cfg(target_os = "linux")]
pub(super) fn fail_with(status: u8, error: impl Display) -> ExitCode {
    print_error(&sentence(&error.to_string()));
    ExitCode::from(status)
}

/// Reports a wrong command line as a sentence.
pub(super) fn usage_error(error: impl Display) -> ExitCode {
    print_error(&sentence(&error.to_string()));
    ExitCode::from(USAGE)
}

/// Reports a wrong configuration. Its error is a sentence already, with the line it points at.
pub(super) fn config_error(error: &ConfigError) -> ExitCode {
    print_error(&error.to_string());
    ExitCode::from(USAGE)
}

/// Reports why a daemon does not start.
pub(super) fn start_error(error: &StartError) -> ExitCode {
    match error {
        StartError::Config(error) => config_error(error),
        other => fail(other),
    }
}

fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}
