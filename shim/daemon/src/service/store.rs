//! What the service manager keeps of a daemon while that is restarted: systemd's descriptor store (sd_notify(3),
//! `FDSTORE=1`; `FileDescriptorStoreMax=` in the unit).
//!
//! `systemctl restart` ends the old process before it starts the new one. What is kept in between comes to the new
//! one as a descriptor with a name (sd_listen_fds(3)). After `systemctl stop` nobody comes for it: systemd closes it
//! then. So a daemon asks first whether it is restarted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// What the descriptor is called.
const NAME: &str = "throughline";

/// How long systemctl has to answer: a D-Bus call.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is asked where it is ended before it answers, and the pause before the next time.
const ASK_TRIES: usize = 5;
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// How long the service manager has to take a descriptor.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns what the service manager has kept for this process, and has it keep that no longer.
pub(crate) fn kept() -> Option<UnixStream> {
    let given = match sd_listen_fds::get() {
        Ok(given) => given,
        Err(error) => {
            warn!("what the service manager has kept cannot be read: {error}");
            return None;
        }
    };
    let (_, descriptor) = given.into_iter().find(|(name, _)| name.as_deref() == Some(NAME))?;
    let stream = UnixStream::from(descriptor);
    // No program that this one starts is to have it.
    if let Err(error) = rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::CLOEXEC) {
        warn!("what the service manager has kept cannot be used: {error}");
        return None;
    }
    remove();
    Some(stream)
}

/// Has the service manager keep a descriptor for the next process.
///
/// # Errors
/// It does not take it in time.
pub(crate) async fn keep(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let (taken, ours) = io::pipe()?;
    // Without `FDPOLL=0` it would drop a socket whose other end is closed, as ours is soon.
    let states = [NotifyState::FdStore, NotifyState::FdName(NAME), NotifyState::Custom("FDPOLL=0")];
    sd_notify::notify_with_fds(&states, &[descriptor])?;
    // It closes its end once it has read what came before (sd_notify_barrier(3)).
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[ours.as_fd()])?;
    drop(ours);
    let mut taken = Receiver::from_owned_fd(taken.into())?;
    match timeout(STORE_TIMEOUT, taken.read(&mut [0])).await {
        Ok(ended) => ended.map(drop),
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the service manager does not take it"))
        }
    }
}

/// Has the service manager drop what it keeps, if anything.
pub(crate) fn remove() {
    super::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(NAME)]);
}

/// Returns whether the service manager that has just asked this process to end is to start it again at once:
/// whether the job at hand is a restart (`systemctl restart`, an upgrade of a package).
pub(crate) async fn is_restarting() -> bool {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return false };
    let Some(unit) = std::fs::read_to_string("/proc/self/cgroup").ok().and_then(|c| unit_of(&c))
    else {
        return false;
    };
    for _ in 0..ASK_TRIES {
        match ask(&unit, Path::new(&socket).starts_with("/run/user")).await {
            Ok(answer) if answer.status.success() => {
                return is_restart(&String::from_utf8_lossy(&answer.stdout), &unit);
            }
            // By the signal that was for us: a unit's processes have it all, unless it says `KillMode=mixed`.
            Ok(answer) if answer.status.signal().is_some() => sleep(ASK_PAUSE).await,
            other => {
                let reason = match other {
                    Ok(answer) => String::from_utf8_lossy(&answer.stderr).trim().to_owned(),
                    Err(error) => error.to_string(),
                };
                warn!(
                    "systemd does not say whether {unit} is restarted, so nothing is kept for the next process: \
                     {reason}; a user other than root needs the D-Bus system bus for it"
                );
                return false;
            }
        }
    }
    warn!(
        "systemctl is ended before it says whether {unit} is restarted, so nothing is kept for the next process"
    );
    false
}

/// Asks which jobs a unit has.
async fn ask(unit: &str, is_users: bool) -> io::Result<Output> {
    let mut ask = Command::new("systemctl");
    if is_users {
        ask.arg("--user");
    }
    ask.args(["list-jobs", "--no-legend", "--no-pager", "--full", unit]);
    ask.stdin(Stdio::null()).kill_on_drop(true);
    timeout(ASK_TIMEOUT, ask.output()).await?
}

/// Returns the unit of a process by its control groups (proc_pid_cgroup(5)).
fn unit_of(cgroups: &str) -> Option<String> {
    let paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut names = paths.filter_map(|path| path.rsplit('/').next());
    names.find(|name| name.ends_with(".service")).map(str::to_owned)
}

/// Returns whether a list of jobs has a restart of the unit.
fn is_restart(jobs: &str, unit: &str) -> bool {
    jobs.lines().any(|line| {
        let mut columns = line.split_whitespace();
        let (_number, of, kind) = (columns.next(), columns.next(), columns.next());
        of == Some(unit) && kind == Some("restart")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_last_part_of_the_control_group() {
        for (cgroups, unit) in [
            ("0::/system.slice/throughline.service\n", Some("throughline.service")),
            ("9:cpu:/\n1:name=systemd:/system.slice/a@b.service\n0::/\n", Some("a@b.service")),
            ("0::/user.slice/user-0.slice/session-1.scope\n", None),
            ("", None),
        ] {
            assert_eq!(unit_of(cgroups).as_deref(), unit, "{cgroups}");
        }
    }

    #[test]
    fn only_a_restart_of_this_unit_is_one() {
        for (jobs, restarts) in [
            (" 181 throughline.service restart running\n", true),
            ("182 other.service start waiting\n181 throughline.service restart running", true),
            ("181 throughline.service stop running\n", false),
            ("181 other.service restart running\n", false),
            ("", false),
        ] {
            assert_eq!(is_restart(jobs, "throughline.service"), restarts, "{jobs}");
        }
    }
}
