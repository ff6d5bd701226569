//! What every command prints, and its exit status.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use serde::Serialize;

use super::codes::Coded;
use crate::catalogue::Code;
use crate::config::ConfigError;
use crate::run::StartError;
use crate::sentence::sentence;

/// The exit status for a wrong command line or configuration, which is also clap's.
const USAGE: u8 = 2;

/// What the line begins with that names an error's code.
pub(super) const MORE: &str = "More: `throughline explain ";

/// Prints a result. A reader that went away (`| head`) is not a failure.
pub(super) fn print(text: &impl Display) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

/// Prints a result as JSON.
pub(super) fn print_json(value: &impl Serialize) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(json) => print(&json),
        Err(error) => fail_as(Code::Internal, error),
    }
}

/// Reports a failure as a sentence.
pub(super) fn fail(error: impl Display + Coded) -> ExitCode {
    fail_as(error.code(), error)
}

/// Reports a failure of this kind as a sentence.
pub(super) fn fail_as(code: Code, error: impl Display) -> ExitCode {
    print_error(code, &sentence(&error.to_string()));
    ExitCode::FAILURE
}

/// Reports a failure as a sentence, with an exit status of its own.
#[cfg(target_os = "linux")]
pub(super) fn fail_with(status: u8, code: Code, error: impl Display) -> ExitCode {
    print_error(code, &sentence(&error.to_string()));
    ExitCode::from(status)
}

/// Reports a wrong command line as a sentence.
pub(super) fn usage_error(code: Code, error: impl Display) -> ExitCode {
    print_error(code, &sentence(&error.to_string()));
    ExitCode::from(USAGE)
}

/// Reports a wrong configuration. Its error is a sentence already, with the line it points at.
pub(super) fn config_error(error: &ConfigError) -> ExitCode {
    print_error(error.code(), &error.to_string());
    ExitCode::from(USAGE)
}

/// Reports why a daemon does not start.
pub(super) fn start_error(error: &StartError) -> ExitCode {
    match error {
        StartError::Config(error) => config_error(error),
        other => fail(other),
    }
}

/// Reports that clap does not take the command line, or prints the help or the version that was asked for.
pub(super) fn not_parsed(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.exit_code() == 0 {
        return ExitCode::SUCCESS;
    }
    // The help is all that there is to know.
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return ExitCode::from(USAGE);
    }
    print_code(Code::CommandLine);
    ExitCode::from(USAGE)
}

fn print_error(code: Code, text: &str) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
    print_code(code);
}

fn print_code(code: Code) {
    let _ = writeln!(std::io::stderr(), "{MORE}{code}`.");
}
