//! Into the lab: namespaces of our own around the whole program, so that nothing it makes or
//! starts can touch the machine or outlive it.
//!
//! The program starts itself anew under `unshare`: in a network and a PID namespace, and where it
//! is not root, in a user namespace where it is. `--kill-child` ends everything in there with
//! `unshare`, however that ends; network namespaces without a name vanish with their last process.

use std::ffi::OsString;
use std::future::Future;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use tokio::signal::unix::{SignalKind, signal};

use crate::support::Outcome;
use crate::{process, skip};

/// Set inside.
const INSIDE: &str = "THROUGHLINE_LAB_INSIDE";

/// The exit status of a program that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// Where a lab keeps its files: nothing else is seen there from inside.
pub(super) const PLACE: &str = "/run";

/// Namespaces around the program: as root first, then as anybody.
const WAYS: [&[&str]; 2] = [
    &["--net", "--mount", "--pid", "--fork", "--kill-child"],
    &["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"],
];

/// Returns whether this program already runs in there.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// For a program: returns inside only. Outside it becomes `unshare`, which starts the program
/// again with the same arguments.
///
/// # Errors
/// When there can be no lab here; the message says why.
pub fn enter() -> Outcome {
    if is_inside() {
        return Ok(());
    }
    let mut command = command()?;
    command.args(std::env::args_os().skip(1));
    Err(command.exec().into())
}

/// Whether there can be a lab here.
///
/// # Errors
/// When there can be none; the message says why.
pub fn available() -> Outcome {
    command().map(drop)
}

/// Runs the program's work until it is done, or until SIGINT or SIGTERM: inside, the program is its
/// namespace's first process, which no signal ends by itself.
///
/// # Errors
/// Those of the work; when signals cannot be had.
pub async fn until_signal(work: impl Future<Output = Outcome<ExitCode>>) -> Outcome<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = work => result,
        result = tokio::signal::ctrl_c() => {
            result?;
            Ok(INTERRUPTED.into())
        },
        _ = terminate.recv() => Ok(INTERRUPTED.into()),
    }
}

/// For a test: whether there can be no lab here, which it says.
pub fn skipped(test: &str) -> bool {
    if let Some(why) = missing() {
        skip::not_installed(test, why);
        return true;
    }
    way().inspect_err(|why| skip::cannot(test, why)).is_err()
}

/// For a test of libtest: outside, starts this test alone inside, and says whether to go on here.
/// `Ok(false)` means that it has been run, or was skipped with a line that says why. Labs do not see
/// each other: as many run at a time as libtest has threads, one per core if it is not told.
///
/// # Errors
/// When it failed inside.
pub fn enter_test(name: &str) -> Outcome<bool> {
    if is_inside() {
        return Ok(true);
    }
    if skipped(name) {
        return Ok(false);
    }
    let mut command = command()?;
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    let output = command.stdin(Stdio::null()).output()?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        // Shown also where the test passes.
        if line.starts_with(skip::SKIPPED) { skip::say(line) } else { eprintln!("{line}") }
    }
    if !output.status.success() {
        return Err(format!("{name} failed in the lab: {}", output.status).into());
    }
    // A name that matches nothing would succeed.
    if !String::from_utf8_lossy(&output.stdout).contains("1 passed") {
        return Err(format!("there is no test `{name}`").into());
    }
    Ok(false)
}

/// This program, to be started inside.
fn command() -> Outcome<Command> {
    if let Some(missing) = missing() {
        return Err(missing.into());
    }
    let way = way()?;
    // It has to be built outside: inside there is no internet.
    let throughline = process::throughline()?;
    // A test that is killed takes what it started inside with it.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare"]).args(way);
    // Files of the lab are on a file system of its own, and gone with it.
    let start = format!("mount -t tmpfs lab {PLACE} && exec \"$0\" \"$@\"");
    command.args(["sh", "-c", &start]).arg(std::env::current_exe()?).env(INSIDE, "1");
    command.env(process::PROGRAM, throughline).env("PATH", path());
    Ok(command)
}

/// Returns what has to be installed first.
fn missing() -> Option<String> {
    let programs = ["ip", "nft", "ethtool", "conntrack", "unshare", "setpriv"];
    let missing = programs.into_iter().find(|name| process::installed(name).is_none())?;
    let packages = "iproute2 nftables ethtool conntrack util-linux";
    Some(format!("`{missing}` is not installed (apt-get install {packages})"))
}

/// Returns how namespaces can be made here.
fn way() -> Outcome<&'static [&'static str]> {
    let mut said = String::new();
    for way in WAYS {
        let try_it = "test -c /dev/net/tun && ip tuntap add dev lab0 mode tun";
        let mut command = Command::new("unshare");
        command.args(way).args(["sh", "-c", try_it]).env("PATH", path()).stdin(Stdio::null());
        let output = command.output()?;
        if output.status.success() {
            return Ok(way);
        }
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    Err(format!(
        "no network namespaces with TUN devices here (needs root, or user namespaces and a \
         /dev/net/tun for everybody): {said}"
    )
    .into())
}

/// Returns where administrators' programs are, too.
fn path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::join_paths(std::env::split_paths(&path).chain(more)).unwrap_or(path)
}
