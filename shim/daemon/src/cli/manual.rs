//! `throughline manual` and `throughline completions`: what a package installs beside the program.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use super::output::{fail_as, print};
use crate::catalogue::Code;

/// Where the manual goes.
#[derive(Debug, Args)]
pub struct ManualArgs {
    /// The directory, such as /usr/local/share/man/man1; it must exist
    pub directory: PathBuf,
}

/// Which shell is to complete.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Writes the pages of `command`.
pub(super) fn write(args: &ManualArgs, command: Command) -> ExitCode {
    let directory = &args.directory;
    match clap_mangen::generate_to(command, directory) {
        Ok(()) => print(&format!("{}", directory.join("throughline.1").display())),
        Err(error) => fail_as(
            Code::NotWritten,
            format!(
                "the manual cannot be written to {}: {error}; name a directory that is there and can be written to",
                directory.display()
            ),
        ),
    }
}

/// Prints the completions of `command`.
pub(super) fn complete(args: &CompletionsArgs, mut command: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "throughline", &mut script);
    // A reader that went away is not a failure.
    let _ = io::stdout().write_all(&script);
    ExitCode::SUCCESS
}
