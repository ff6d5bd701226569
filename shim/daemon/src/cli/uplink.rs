//! `throughline uplink`: the uplinks of this host, and maintenance of one.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::daemon::DaemonArgs;
use super::output::{fail, print, print_json};
use crate::admin::{self, UplinkAnswer, UplinkChange};

/// What to do with the uplinks of the running daemon.
#[derive(Debug, Subcommand)]
pub enum UplinkCommand {
    /// List the uplinks and how many lanes each has
    List(ListArgs),
    /// Move every flow off an uplink before maintenance; lasts until `resume` or a restart. Fails where flows
    /// cannot leave it, because nothing else answers
    Drain(NameArgs),
    /// Use a drained uplink again
    Resume(NameArgs),
    /// A drill: nothing goes over an uplink for a time, as if its ISP had died silently. Ends by itself
    Cut(CutArgs),
}

/// In which form, and of which daemon.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

/// Which uplink, and what else [`ListArgs`] has.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// The name of the uplink, as `uplink list` shows it
    pub name: String,
    /// Form and daemon.
    #[command(flatten)]
    pub list: ListArgs,
}

/// Which uplink, for how long, and what else [`ListArgs`] has.
#[derive(Debug, Args)]
pub struct CutArgs {
    /// The name of the uplink, as `uplink list` shows it
    pub name: String,
    /// For how long, up to 60s
    #[arg(long = "for", value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub length: Duration,
    /// Also where no other uplink reaches a peer; its flows stand still for that time
    #[arg(long)]
    pub force: bool,
    /// Form and daemon.
    #[command(flatten)]
    pub list: ListArgs,
}

pub(super) async fn execute(command: UplinkCommand) -> ExitCode {
    match command {
        UplinkCommand::List(args) => list(args).await,
        UplinkCommand::Drain(args) => change(args, UplinkChange::Drain).await,
        UplinkCommand::Resume(args) => change(args, UplinkChange::Resume).await,
        UplinkCommand::Cut(args) => cut(args).await,
    }
}

async fn cut(args: CutArgs) -> ExitCode {
    let path = match args.list.daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    match admin::cut_uplink(&path, &args.name, args.length, args.force).await {
        Ok(answer) if args.list.json => print_json(&answer),
        Ok(answer) => print(&format!(
            "Nothing goes over {} for {}; it then comes back by itself. {} shows how lanes and flows take it.",
            answer.uplink,
            humantime::format_duration(args.length),
            args.list.daemon.command("events --follow")
        )),
        Err(error) => fail(error),
    }
}

async fn list(args: ListArgs) -> ExitCode {
    let path = match args.daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    match admin::status(&path).await {
        Ok(report) if args.json => print_json(&report.uplinks),
        Ok(report) => print(&report.uplink_table().trim_end()),
        Err(error) => fail(error),
    }
}

async fn change(args: NameArgs, change: UplinkChange) -> ExitCode {
    let path = match args.list.daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    let answer = match admin::change_uplink(&path, &args.name, change).await {
        Ok(answer) => answer,
        Err(error) => return fail(error),
    };
    if args.list.json {
        let _ = print_json(&answer);
    } else {
        if let Some(warning) = &answer.warning {
            let _ = writeln!(std::io::stderr(), "warning: {warning}");
        }
        let _ = print(&describe(&answer, &args.list.daemon));
    }
    // A script must not go on and cut it.
    if answer.warning.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn describe(answer: &UplinkAnswer, daemon: &DaemonArgs) -> String {
    let name = &answer.uplink;
    match (answer.draining, answer.changed) {
        (true, true) => format!(
            "Uplink {name} is {}; {} puts it back into use.",
            if answer.warning.is_some() {
                "marked as draining, but still in use"
            } else {
                "drained"
            },
            daemon.command(&format!("uplink resume {name}"))
        ),
        (true, false) => format!("Uplink {name} was drained already."),
        (false, true) => format!("Uplink {name} is in use again."),
        (false, false) => format!("Uplink {name} was not drained."),
    }
}
