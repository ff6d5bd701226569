//! `throughline rotate-key`: another key for this host, in two steps between which the peers learn it.

mod files;
mod refusals;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::files::Files;
use self::refusals::{Refusal, refusals};
use self::verdict::{Verdict, judge};
use super::codes::Coded;
use super::daemon::DaemonArgs;
use super::output::{config_error, fail, fail_as, print};
use crate::admin;
use crate::catalogue::Code;
use crate::config::{Config, IdentitySource};
use crate::shell;
use throughline::{Identity, PeerId};

/// Whose key, and which step.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The configuration of the host whose key changes
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Put the next key into use, once every peer has it in its file
    #[arg(long)]
    pub finish: bool,
    /// Ask the daemon with this admin socket, where the configuration does not name the one that runs
    #[arg(long, value_name = "PATH", requires = "finish")]
    pub socket: Option<PathBuf>,
}

pub(super) async fn execute(args: RotateArgs) -> ExitCode {
    let present = match Config::load(&args.config).map(|config| config.identity) {
        Ok(IdentitySource::File(path)) => path,
        Ok(IdentitySource::Given(_)) => {
            return fail_as(Code::Internal, "the configuration names no identity file");
        }
        Err(error) => return config_error(&error),
    };
    let files = Files::of(present);
    if files.is_credential() {
        return fail_as(
            Code::KeyNotChanged,
            format!(
                "the key {} is a systemd credential, a copy that cannot be replaced where it is; make another \
             key with `throughline keygen`, add it to this host's `keys` in the file of each peer, put it \
             in the place of the file that LoadCredential= names, and restart the service",
                files.present.display()
            ),
        );
    }
    match args.finish {
        false => begin(&files, &args.config),
        true => finish(&files, args).await,
    }
}

/// Makes the next key, or shows the one that was made.
fn begin(files: &Files, config: &Path) -> ExitCode {
    let next = match files.next.exists() {
        true => Identity::load(&files.next),
        false => Identity::create(&files.next),
    };
    match next {
        Ok(next) => print(&format!(
            "{key}\n\nThis is the next key of this host; it is not in use yet. Add it to this host's \
             table in the file of each peer, and reload there:\n\n  keys = [\"{key}\"]\n\nThen run \
             `throughline rotate-key -c {config} --finish` here.",
            key = next.peer_id(),
            config = shell::path(config),
        )),
        Err(error) => fail(error),
    }
}

/// Puts the next key into use.
async fn finish(files: &Files, args: RotateArgs) -> ExitCode {
    let (present, next) = (files.present.display(), files.next.display());
    if !files.next.exists() {
        return fail_as(
            Code::KeyNotChanged,
            format!(
                "there is no {next}; run `throughline rotate-key -c {}` without --finish first",
                shell::path(&args.config)
            ),
        );
    }
    let key = match Identity::load(&files.next) {
        Ok(next) => next.peer_id(),
        Err(error) => return fail(error),
    };
    let config = args.socket.is_none().then(|| args.config.clone());
    let daemon = DaemonArgs { config, socket: args.socket.clone() };
    let socket = match daemon.socket_path() {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    // Where nobody answers, a daemon that runs all the same would be left without the key of its file.
    if let Err(error) = admin::status(&socket).await {
        return fail_as(error.code(), format!("the former key is still in {present}: {error}"));
    }
    if let Err(error) = files.share_next() {
        return fail_as(
            Code::NotWritten,
            format!(
                "{next} cannot be given the owner, the group and the mode of {present}: {error}; run this as \
             its owner or as root"
            ),
        );
    }
    if let Err(error) = files.switch() {
        return fail_as(
            Code::NotWritten,
            format!("{next} cannot take the place of {present}: {error}"),
        );
    }
    let reloaded = admin::reload(&socket, false).await.map(drop);
    let key_now = async { admin::status(&socket).await.map(|report| report.id) };
    let verdict = judge(key, reloaded, key_now).await;
    let refused = match &verdict {
        Verdict::InUse => refusals(key, async || admin::status(&socket).await).await,
        _ => Vec::new(),
    };
    match refused.is_empty() {
        true => conclude(files, key, verdict, &daemon),
        false => fail_as(Code::KeyUnknownThere, of_refusals(files, &args, key, &refused)),
    }
}

/// Says which peers do not take the key that is in use.
fn of_refusals(files: &Files, args: &RotateArgs, key: PeerId, refused: &[Refusal]) -> String {
    let (next, former) = (files.next.display(), files.former.display());
    let present = files.present.display();
    let which = match &args.socket {
        Some(socket) => format!("--socket {}", shell::path(socket)),
        None => format!("-c {}", shell::path(&args.config)),
    };
    let mut text = format!(
        "the key of this host is {key} now, but some peers do not know it; their lanes with the former key go on, and no \
         new ones come about. In the file of each add `keys = [\"{key}\"]` to this host's table and reload there; or go \
         back: `mv {present} {next} && mv {former} {present} && throughline reload {which}`"
    );
    for Refusal { peer, reason } in refused {
        text += &format!("\n  {peer}: {reason}");
    }
    text
}

/// Says what came of it, and undoes it where the daemon refused.
fn conclude(files: &Files, key: PeerId, verdict: Verdict, daemon: &DaemonArgs) -> ExitCode {
    let (present, former) = (files.present.display(), files.former.display());
    match verdict {
        Verdict::InUse => print(&format!(
            "The key of this host is {key}: the lanes that it dialed are being replaced by lanes with it. In \
             the file of each peer write `key = \"{key}\"`, with the former key in `keys`, and reload there; \
             when `throughline status --json` there shows no lane with the former key any more, remove it, \
             and {former} here."
        )),
        Verdict::Refused(reason) => match files.switch_back() {
            Ok(()) => fail_as(
                Code::KeyNotChanged,
                format!("the daemon goes on with its former key: {reason}"),
            ),
            Err(undo) => fail_as(
                Code::NotWritten,
                format!("{reason}; and the former key in {former} cannot be put back: {undo}"),
            ),
        },
        Verdict::Other { error, key: present_key } => fail_as(
            Code::KeyNotChanged,
            format!(
                "the daemon has the key {present_key}, and it is not known whether it will take over {key}, \
             which is in {present} now: {error}; run {} and see the key in {}",
                daemon.command("reload"),
                daemon.command("status --json")
            ),
        ),
        Verdict::Unknown { error, status } => fail_as(
            Code::KeyNotChanged,
            format!(
                "it is not known which key the daemon has: {error}, and then: {status}; {key} is in {present} now, \
             and is in use from the daemon's next reload or start; the former one is in {former}"
            ),
        ),
    }
}
