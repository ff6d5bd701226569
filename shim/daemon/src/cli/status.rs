//! `throughline status`: the state of the running daemon.

use std::process::ExitCode;

use clap::Args;

use super::daemon::DaemonArgs;
use super::output::{fail, print, print_json};
use crate::admin;

/// Whose status, and in which form.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
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
        Ok(report) => print(&report.to_string().trim_end()),
        Err(error) => fail(error),
    }
}
