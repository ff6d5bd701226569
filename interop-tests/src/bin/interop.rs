//! The interop suite's program: what survives, compared and written down.
//!
//! ```console
//! cargo run --release -p interop-tests -- report
//! ```

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use interop_tests::report::{self, options::Options};

/// How sessions survive, with Throughline or without.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs systems side by side through failures and writes JSON, Markdown and HTML with plots.
    Report(Box<Options>),
}

fn main() -> ExitCode {
    let Command::Report(options) = Args::parse().command;
    report::make(&options).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
