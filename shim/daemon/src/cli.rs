//! The command line.
//!
//! Exit status: 0 is success, 1 a failure, 2 a wrong command line or configuration. Results go to
//! stdout; logs and errors go to stderr.

mod check;
mod codes;
mod companion;
mod daemon;
mod doctor;
mod events;
#[cfg(target_os = "linux")]
mod exec;
mod explain;
mod file;
mod init;
mod invite;
mod join;
mod key;
mod log;
mod manual;
mod nc;
mod output;
mod pair;
mod qlog;
mod reload;
mod rotate;
mod run;
mod service_files;
mod status;
mod successor;
mod top;
mod uplink;

pub use self::daemon::DaemonArgs;
pub use self::doctor::DoctorArgs;
pub use self::events::EventsArgs;
#[cfg(target_os = "linux")]
pub use self::exec::ExecArgs;
pub use self::explain::ExplainArgs;
pub use self::file::FileArgs;
pub use self::init::InitArgs;
pub use self::invite::{InviteArgs, SiteArgs};
pub use self::join::JoinArgs;
pub use self::key::KeyArgs;
pub use self::manual::{CompletionsArgs, ManualArgs};
pub use self::nc::NcArgs;
pub use self::pair::PairArgs;
pub use self::qlog::QlogArgs;
pub use self::reload::ReloadArgs;
pub use self::rotate::RotateArgs;
pub use self::run::RunArgs;
pub use self::status::StatusArgs;
pub use self::successor::BeginArgs;
pub use self::top::TopArgs;
pub use self::uplink::{ListArgs, NameArgs, UplinkCommand};

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use self::output::{fail_as, not_parsed};
use crate::catalogue::Code;
use crate::demo::{self, DemoArgs};

/// What follows the commands in the help.
const AFTER_HELP: &str = "\
Start with `throughline demo`, which needs no root and no configuration. Two hosts are joined by
`throughline invite` at the server and `throughline join TICKET` at the site. When something is wrong,
`throughline doctor` says what. docs/CONFIG.md describes the configuration and every command.

The variable THROUGHLINE_LOG sets what `run` logs, for example
THROUGHLINE_LOG=warn,throughline::engine::dial=debug; THROUGHLINE_LOG_FORMAT=json has it in JSON.
Under systemd the log is in the journal, with fields: journalctl -u throughline THROUGHLINE_PEER=NAME.";

/// Keeps TCP flows alive when an ISP fails: carries them over QUIC on every uplink at once
#[derive(Debug, Parser)]
#[command(name = "throughline", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// The command to execute.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon until SIGTERM or SIGINT; SIGHUP has it read its configuration again
    Run(RunArgs),
    /// Have the running daemon read its configuration again and take it over, as a whole or not at all
    Reload(ReloadArgs),
    /// Write an identity and a first configuration for this host, with the uplinks that it has
    Init(InitArgs),
    /// Let another host become a peer of this one: print a ticket that works once, and wait for it
    Invite(InviteArgs),
    /// Become a peer of the host that gave the ticket: write an identity and a configuration, and try a flow
    Join(JoinArgs),
    /// Join a server by ssh: run `invite` there, and `join` here
    Pair(PairArgs),
    /// Create an identity, write it to FILE (mode 0600) and print its public key
    Keygen(KeyArgs),
    /// Print the public key of the identity in FILE
    Id(KeyArgs),
    /// Change the key of this host: make the next one; with --finish, put it into use
    RotateKey(RotateArgs),
    /// Check a configuration and describe what it does
    Check(FileArgs),
    /// Show the peers, sessions, lanes and flows of the running daemon
    Status(StatusArgs),
    /// Watch the uplinks, lanes and flows of the running daemon in the terminal
    Top(TopArgs),
    /// Show recent events: lanes set up, suspected, recovered, migrated or lost, and why
    Events(EventsArgs),
    /// Write what QUIC does on the lanes to a peer, packet by packet, to files that qvis shows
    Qlog(QlogArgs),
    /// Find what is wrong with this host, its uplinks and the paths to its peers, and say what to do
    Doctor(DoctorArgs),
    /// Say where a connection to HOST:PORT goes, by which rule, and how its peers are reached now
    Explain(ExplainArgs),
    /// List the uplinks of the running daemon; drain one before maintenance, resume it afterwards
    #[command(subcommand)]
    Uplink(UplinkCommand),
    /// Print which formats of state `run --take-over` reads, for a daemon that is restarted
    #[command(hide = true)]
    StateFormats(FileArgs),
    /// Start this program with other arguments, and end
    #[command(hide = true)]
    BeginSuccessor(BeginArgs),
    /// Connect standard input and output to a destination, as for ssh: ProxyCommand throughline nc %h %p
    Nc(NcArgs),
    /// Run a program whose TCP, UDP and names go through the daemon, without root: exec -- CMD ARGS
    #[cfg(target_os = "linux")]
    Exec(ExecArgs),
    /// Print what a shell needs to complete commands, options and files
    Completions(CompletionsArgs),
    /// Write the manual, a page for each command, into DIRECTORY
    Manual(ManualArgs),
    /// Watch flows survive the failure of either of two emulated ISPs, all on this machine
    Demo(DemoArgs),
}

/// How long the process stays for a look-up of a name that nobody waits for any more: it cannot be ended, and goes on
/// for as long as the resolver tries its servers.
const LOOKUP_LEFT: Duration = Duration::from_secs(1);

/// Executes the command line of this process.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return not_parsed(&error),
    };
    // It begins threads when it has a namespace for them.
    #[cfg(target_os = "linux")]
    if let Command::Exec(args) = &command {
        return exec::execute(args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let status = runtime.block_on(execute(command));
            runtime.shutdown_timeout(LOOKUP_LEFT);
            crate::journal::flush();
            status
        }
        Err(error) => {
            fail_as(Code::SystemRefuses, format!("the tokio runtime cannot be started: {error}"))
        }
    }
}

async fn execute(command: Command) -> ExitCode {
    match command {
        Command::Run(args) => run::execute(&args).await,
        Command::Reload(args) => reload::execute(args).await,
        Command::Init(args) => init::execute(args).await,
        Command::Invite(args) => Box::pin(invite::execute(args)).await,
        Command::Join(args) => Box::pin(join::execute(args)).await,
        Command::Pair(args) => Box::pin(pair::execute(args)).await,
        Command::Keygen(args) => key::generate(&args),
        Command::Id(args) => key::print_public_key(&args),
        Command::RotateKey(args) => rotate::execute(args).await,
        Command::Check(args) => check::execute(&args.file()).await,
        Command::Status(args) => status::execute(args).await,
        Command::Top(args) => top::execute(args).await,
        Command::Events(args) => events::execute(args).await,
        Command::Qlog(args) => qlog::execute(args).await,
        Command::Doctor(args) => doctor::execute(args).await,
        Command::Explain(args) => explain::execute(args).await,
        Command::Uplink(command) => uplink::execute(command).await,
        Command::StateFormats(args) => successor::print_candidate(&args.file()),
        Command::BeginSuccessor(args) => successor::begin(args),
        Command::Nc(args) => nc::execute(&args),
        #[cfg(target_os = "linux")]
        Command::Exec(args) => exec::execute(&args),
        Command::Completions(args) => manual::complete(&args, Cli::command()),
        Command::Manual(args) => manual::write(&args, Cli::command()),
        Command::Demo(args) => demo::run(args).await,
    }
}
