//! The command line.
//!
//! Exit status: 0 is success, 1 a failure, 2 a wrong command line or configuration. What a command
//! was asked for goes to stdout; logs and errors go to stderr.

mod check;
mod events;
mod log;
mod uplink;

pub use self::events::EventsArgs;
pub(crate) use self::log::start_logging;
pub use self::uplink::{ListArgs, NameArgs, UplinkCommand};

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::admin::{AdminSocket, status};
use crate::config::{Admin, Config};
use crate::demo::{self, DemoArgs};
use crate::run::{StartError, start};
use throughline::Identity;

/// The exit status for a wrong command line or configuration, as clap has it.
const USAGE: u8 = 2;

/// Sessions that survive the loss of an ISP: application flows over QUIC, over every uplink.
#[derive(Debug, Parser)]
#[command(name = "throughline", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon until SIGTERM or SIGINT
    Run(ConfigArgs),
    /// Write a new identity to FILE (mode 0600) and print its public key
    Keygen {
        /// The file to write; it must not exist yet
        file: PathBuf,
    },
    /// Print the public key of the identity in FILE
    Id {
        /// The identity file
        file: PathBuf,
    },
    /// Check a configuration and say what it found
    Check {
        /// The configuration file
        file: PathBuf,
    },
    /// Show the peers, sessions, lanes and flows of the running daemon
    Status(StatusArgs),
    /// Show what happened of late: lanes that came, fell silent, moved, healed, and why
    Events(EventsArgs),
    /// List the uplinks of the running daemon; drain one for planned work, and use it again
    #[command(subcommand)]
    Uplink(UplinkCommand),
    /// Watch flows survive two failing ISPs, all on this machine
    Demo(DemoArgs),
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Whose status, and in which form.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: AdminArgs,
}

/// Which daemon: by its configuration, its admin socket, or the one at the default place.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// Ask the daemon that runs with this configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ask the daemon with this admin socket
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub socket: Option<PathBuf>,
}

/// Runs the program with the arguments of the process.
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
        Command::Run(args) => run(&args.config).await,
        Command::Keygen { file } => match Identity::create(&file) {
            Ok(identity) => print(&identity.peer_id()),
            Err(error) => fail(error),
        },
        Command::Id { file } => match Identity::load(&file) {
            Ok(identity) => print(&identity.peer_id()),
            Err(error) => fail(error),
        },
        Command::Check { file } => match Config::load(&file) {
            Ok(config) => match check::describe(&config) {
                Ok(text) => print(&text),
                Err(error) => not_started(&error),
            },
            Err(error) => wrong(error),
        },
        Command::Status(args) => show_status(args).await,
        Command::Events(args) => events::show(args).await,
        Command::Uplink(command) => uplink::execute(command).await,
        Command::Demo(args) => demo::run(args).await,
    }
}

async fn run(config: &Path) -> ExitCode {
    if let Err(error) = start_logging() {
        return wrong(error);
    }
    let config = match Config::load(config) {
        Ok(config) => config,
        Err(error) => return wrong(error),
    };
    let (terminate, interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                return fail(format!("signals cannot be listened for: {error}"));
            }
        };
    let mut signals = [(terminate, "SIGTERM"), (interrupt, "SIGINT")];
    let daemon = match start(config).await {
        Ok(daemon) => daemon,
        Err(error) => return not_started(&error),
    };
    let name = next_signal(&mut signals).await;
    info!("{name}: shutting down; a second signal ends the daemon at once");
    tokio::select! {
        () = daemon.run_until(std::future::ready(())) => ExitCode::SUCCESS,
        name = next_signal(&mut signals) => fail(format!("{name}: ended at once, live flows are reset")),
    }
}

async fn next_signal(
    [(first, one), (second, two)]: &mut [(tokio::signal::unix::Signal, &'static str); 2],
) -> &'static str {
    tokio::select! {
        _ = first.recv() => one,
        _ = second.recv() => two,
    }
}

impl AdminArgs {
    /// Where its admin socket is; or, where the configuration is wrong, the exit code after the
    /// error has been told.
    fn path(self) -> Result<PathBuf, ExitCode> {
        match (self.socket, self.config) {
            (Some(path), _) => Ok(path),
            (None, None) => Ok(AdminSocket::default_path()),
            (None, Some(file)) => match Config::load(&file).map(|config| config.admin) {
                Ok(Admin::At(path)) => Ok(path),
                Ok(Admin::Default | Admin::Off) => Ok(AdminSocket::default_path()),
                Err(error) => Err(wrong(error)),
            },
        }
    }
}

async fn show_status(args: StatusArgs) -> ExitCode {
    let path = match args.daemon.path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    match status(&path).await {
        Ok(report) if args.json => match serde_json::to_string_pretty(&report) {
            Ok(json) => print(&json),
            Err(error) => fail(error),
        },
        Ok(report) => print(&report.to_string().trim_end()),
        Err(error) => fail(error),
    }
}

/// Prints what was asked for; a reader that went away (`| head`) is no failure of ours.
fn print(text: &impl Display) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

/// A failure, as a sentence.
fn fail(error: impl Display) -> ExitCode {
    complain(&error);
    ExitCode::FAILURE
}

/// A daemon that does not start: the configuration is wrong, or something it asks for is not to be
/// had.
fn not_started(error: &StartError) -> ExitCode {
    match error {
        StartError::Config(error) => wrong(error),
        other => fail(other),
    }
}

/// A wrong configuration.
fn wrong(error: impl Display) -> ExitCode {
    complain(&error);
    ExitCode::from(USAGE)
}

fn complain(error: &dyn Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "error: {error}");
}
