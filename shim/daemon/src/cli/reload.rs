//! `throughline reload`: the running daemon reads its configuration again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::daemon::DaemonArgs;
use super::output::{config_error, fail, fail_as, print, print_json};
use crate::admin::{self, AdminSocket, ReloadAnswer};
use crate::catalogue::Code;
use crate::config::Config;

/// Which daemon, and whether only to try.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

pub(super) async fn execute(args: ReloadArgs) -> ExitCode {
    if let Some(file) = &args.daemon.config
        && let Err(error) = Config::load(file)
    {
        let path = Config::admin_of(file).unwrap_or_else(AdminSocket::running_path);
        // So that the daemon's log and its events tell of it, if this is its file.
        if !args.dry_run
            && file_of(&path).await.is_some_and(|read| is_same(file, &read) == Some(true))
        {
            let _ = admin::reload(&path, false).await;
        }
        return config_error(&error);
    }
    let path = match args.daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    if let Some(named) = &args.daemon.config
        && let Some(read) = file_of(&path).await
        && is_same(named, &read) == Some(false)
    {
        let (read, named) = (read.display(), named.display());
        return fail_as(
            Code::OtherFile,
            format!(
                "the daemon was started from {read}, and reads that file at a reload; nothing has changed. To try {named}, use \
             `throughline check {named}`; to have it in force, put it in the place of {read}"
            ),
        );
    }
    match admin::reload(&path, args.dry_run).await {
        Ok(answer) if args.json => print_json(&answer),
        Ok(answer) => print(&describe(&answer)),
        Err(error) => fail(error),
    }
}

/// Returns the file that the daemon reads; none where it does not say.
async fn file_of(socket: &Path) -> Option<PathBuf> {
    admin::status(socket).await.ok()?.file
}

/// Returns whether two paths are of one file; none where one cannot be seen from here.
fn is_same(named: &Path, read: &Path) -> Option<bool> {
    if std::path::absolute(named).is_ok_and(|named| named == read) {
        return Some(true);
    }
    Some(named.canonicalize().ok()? == read.canonicalize().ok()?)
}

fn describe(answer: &ReloadAnswer) -> String {
    let (none, some) = match answer.dry_run {
        true => ("Nothing would change.", "These would change:"),
        false => ("Nothing has changed.", "These have changed:"),
    };
    if answer.changes.is_empty() {
        return none.to_owned();
    }
    let lines = answer.changes.iter().map(|change| format!("\n- {change}"));
    std::iter::once(some.to_owned()).chain(lines).collect()
}
