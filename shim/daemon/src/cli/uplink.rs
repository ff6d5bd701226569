//! `throughline uplink`: the ways out of this host, and planned work on one.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{AdminArgs, fail, print};
use crate::admin;
use crate::report::Report;

/// What to do with the uplinks of the running daemon.
#[derive(Debug, Subcommand)]
pub enum UplinkCommand {
    /// List the uplinks, and how many lanes each has
    List(ListArgs),
    /// Have flows leave an uplink at once, before somebody cuts it; until `resume` or a restart
    Drain(NameArgs),
    /// Use a drained uplink again
    Resume(NameArgs),
}

/// In which form, and of which daemon.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: AdminArgs,
}

/// Which uplink, and what else [`ListArgs`] has.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// The uplink's name, as `uplink list` shows it
    pub name: String,
    /// Form and daemon.
    #[command(flatten)]
    pub list: ListArgs,
}

pub(super) async fn execute(command: UplinkCommand) -> ExitCode {
    match command {
        UplinkCommand::List(args) => list(args).await,
        UplinkCommand::Drain(args) => set(args, true).await,
        UplinkCommand::Resume(args) => set(args, false).await,
    }
}

async fn list(args: ListArgs) -> ExitCode {
    let path = match args.daemon.path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    match admin::status(&path).await {
        Ok(Report { uplinks, .. }) if args.json => match serde_json::to_string_pretty(&uplinks) {
            Ok(json) => print(&json),
            Err(error) => fail(error),
        },
        Ok(report) => print(&report.uplink_table().trim_end()),
        Err(error) => fail(error),
    }
}

async fn set(args: NameArgs, drain: bool) -> ExitCode {
    let path = match args.list.daemon.path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    let answer = match admin::drain(&path, &args.name, drain).await {
        Ok(answer) => answer,
        Err(error) => return fail(error),
    };
    if args.list.json {
        return match serde_json::to_string_pretty(&answer) {
            Ok(json) => print(&json),
            Err(error) => fail(error),
        };
    }
    if let Some(warning) = &answer.warning {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    let name = &answer.uplink;
    print(&match (answer.draining, answer.changed) {
        (true, true) => format!("{name} is drained; `throughline uplink resume {name}` ends that."),
        (true, false) => format!("{name} was drained already."),
        (false, true) => format!("{name} is used again."),
        (false, false) => format!("{name} was not drained."),
    })
}
