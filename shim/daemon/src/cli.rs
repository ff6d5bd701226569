//! The command line.
//!
//! Exit status: 0 is success, 1 a failure, 2 a wrong command line or configuration. Results go to
//! stdout; logs and errors go to stderr.

mod check;
mod daemon;
mod events;
mod key;
mod log;
mod output;
mod run;
mod status;
mod uplink;

pub use self::daemon::DaemonArgs;
pub use self::events::EventsArgs;
pub use self::key::KeyArgs;
pub use self::run::RunArgs;
pub use self::status::StatusArgs;
pub use self::uplink::{ListArgs, NameArgs, UplinkCommand};

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::output::fail;
use crate::demo::{self, DemoArgs};

/// Keeps TCP flows alive when an ISP fails: carries them over QUIC on every uplink at once
#[derive(Debug, Parser)]
#[command(name = "throughline", version, about, max_term_width = 100)]
pub struct Cli {
    /// The command to execute.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon until SIGTERM or SIGINT
    Run(RunArgs),
    /// Create an identity, write it to FILE (mode 0600) and print its public key
    Keygen(KeyArgs),
    /// Print the public key of the identity in FILE
    Id(KeyArgs),
    /// Check a configuration and describe what it does
    Check {
        /// The configuration file
        file: PathBuf,
    },
    /// Show the peers, sessions, lanes and flows of the running daemon
    Status(StatusArgs),
    /// Show recent events: lanes set up, suspected, recovered, migrated or lost, and why
    Events(EventsArgs),
    /// List the uplinks of the running daemon; drain one before maintenance, resume it afterwards
    #[command(subcommand)]
    Uplink(UplinkCommand),
    /// Watch flows survive the failure of either of two emulated ISPs, all on this machine
    Demo(DemoArgs),
}

/// Executes the command line of this process.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(execute(command)),
        Err(error) => fail(format!("the tokio runtime cannot be started: {error}")),
    }
}

async fn execute(command: Command) -> ExitCode {
    match command {
        Command::Run(args) => run::execute(&args).await,
        Command::Keygen(args) => key::generate(&args),
        Command::Id(args) => key::print_public_key(&args),
        Command::Check { file } => check::execute(&file),
        Command::Status(args) => status::execute(args).await,
        Command::Events(args) => events::execute(args).await,
        Command::Uplink(command) => uplink::execute(command).await,
        Command::Demo(args) => demo::run(args).await,
    }
}
