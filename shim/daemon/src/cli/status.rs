//! `throughline status`: the state of the running daemon.

use std::process::ExitCode;

use clap::Args;

use super::daemon::DaemonArgs;
use super::output::{fail, print, print_json};
use crate::admin;
use crate::report::Report;
use crate::sentence::sentence;

/// Whose status, and in which form.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print only what is wrong, and fail if anything is: for a monitor
    #[arg(long, conflicts_with = "json")]
    pub check: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

pub(super) async fn execute(args: StatusArgs) -> ExitCode {
    let path = match args.daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    match admin::status(&path).await {
        Ok(report) if args.json => print_json(&report),
        Ok(report) if args.check => check(&report),
        Ok(report) => print(&report.to_string().trim_end()),
        Err(error) => fail(error),
    }
}

fn check(report: &Report) -> ExitCode {
    let problems = report.problems();
    if problems.is_empty() {
        return print(&"All is well.");
    }
    for problem in problems {
        let _ = print(&sentence(&problem));
    }
    ExitCode::FAILURE
}
