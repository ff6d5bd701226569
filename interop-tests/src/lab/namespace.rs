//! Network namespaces without a name: they live as long as something is open or runs in them.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::sched::{CloneFlags, setns, unshare};

use crate::support::Outcome;

/// Returns a new network namespace.
///
/// # Errors
/// When we may not make one.
pub fn create() -> Outcome<File> {
    let made = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::open("/proc/thread-self/ns/net")
    });
    let made: io::Result<File> = made.join().map_err(|_| "a thread panicked")?;
    made.map_err(|error| format!("cannot make a network namespace: {error}").into())
}

/// Runs `work` on a thread of its own in the namespace; what it opens and starts there stays
/// there.
///
/// # Errors
/// When the namespace cannot be entered, or `work` panics.
pub fn within<T: Send + 'static>(
    namespace: &File,
    work: impl FnOnce() -> T + Send + 'static,
) -> Outcome<T> {
    let namespace = namespace.try_clone()?;
    let thread = std::thread::spawn(move || {
        enter(&namespace)?;
        io::Result::Ok(work())
    });
    Ok(thread.join().map_err(|_| "work in a namespace panicked")??)
}

/// Takes the current thread into the namespace, for good.
pub(super) fn enter(namespace: &File) -> io::Result<()> {
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}

/// Returns a path by which another program (as `ip … netns PATH`) finds the namespace while it is open
/// here. Our number is asked of `/proc`, which may be of an outer PID namespace.
pub(super) fn path(namespace: &File) -> io::Result<String> {
    let process = std::fs::read_link("/proc/self")?;
    Ok(format!("/proc/{}/fd/{}", process.display(), namespace.as_raw_fd()))
}
