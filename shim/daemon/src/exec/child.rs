//! The program as a child: signals are passed on to it, and its exit status is ours.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::thread;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;
use parking_lot::Mutex;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::error::ExecError;

/// The signals that are passed on. Those of job control stop and continue this process as well as the program, as
/// whoever waits for it expects.
const PASSED_ON: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// What the kernel says of a signal that it sent itself, as for a key of the terminal (sigaction(2)).
const SI_KERNEL: i32 = 0x80;

/// What an exit status adds to the number of a signal, as in shells.
const BY_SIGNAL: u8 = 128;

/// The signals that are sent to this process.
#[derive(Clone, Copy)]
pub(super) struct Signals {
    blocked: SigSet,
    /// Which were blocked before, and are for the program.
    before: SigSet,
}

impl Signals {
    /// Keeps them from doing anything, in this thread and those that it begins.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn block() -> Result<Self, ExecError> {
        let blocked: SigSet = PASSED_ON.into_iter().collect();
        let before = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let before = before.map_err(|error| ExecError::Signals(error.into()))?;
        Ok(Self { blocked, before })
    }

    /// Starts a program, which has the signals as this process had them. No thread of ours has them so meanwhile: one
    /// that comes just then would end this process, and not reach the program.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(self, command: &[OsString]) -> io::Result<Pid> {
        let arguments = command.iter().map(|argument| text([argument]));
        let arguments = arguments.collect::<io::Result<Vec<_>>>()?;
        let variables = std::env::vars_os();
        let variables = variables.map(|(name, value)| text([&*name, OsStr::new("="), &*value]));
        let variables = variables.collect::<io::Result<Vec<_>>>()?;
        let program = arguments.first().ok_or(io::ErrorKind::NotFound)?;
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_sigmask(&self.before)?;
        // Rust ignores it.
        attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
        let flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        attributes.set_flags(flags | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
        let none = PosixSpawnFileActions::init()?;
        Ok(posix_spawnp(program, &none, &attributes, &arguments, &variables)?)
    }
}

/// Returns these in one, as the system takes it.
fn text<const N: usize>(parts: [&(impl AsRef<OsStr> + ?Sized); N]) -> io::Result<CString> {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.as_ref().as_bytes()).copied().collect();
    Ok(CString::new(bytes)?)
}

/// Waits for the program, and passes signals on; returns its exit status. A signal that comes later is noted in
/// `too_late`.
///
/// # Errors
/// The system's.
pub(super) async fn wait(
    program: Pid,
    signals: Signals,
    too_late: CancellationToken,
) -> Result<u8, ExecError> {
    let pid = Arc::new(Mutex::new(Some(program)));
    let descriptor = SignalFd::with_flags(&signals.blocked, SfdFlags::SFD_CLOEXEC);
    let descriptor = descriptor.map_err(|error| ExecError::Signals(error.into()))?;
    let passed_to = Arc::clone(&pid);
    // A thread, which ends with the process: whoever waits for a descriptor by tokio has to promise what only `unsafe`
    // can.
    let pass_all_on = move || {
        while let Ok(signal) = descriptor.read_signal() {
            match (signal, *passed_to.lock()) {
                (Some(signal), Some(pid)) => pass_on(&signal, pid),
                (Some(_), None) => too_late.cancel(),
                (None, _) => {}
            }
        }
    };
    begin("signals", pass_all_on)?;
    let (sender, ended) = oneshot::channel();
    begin("program", move || drop(sender.send(wait_blocking(program, &pid))))?;
    let status = ended.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
    status.map_err(ExecError::Wait)
}

fn begin(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), ExecError> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(body).map(drop).map_err(ExecError::Threads)
}

/// Waits for the program, and has nobody send it a signal once its number may be another's.
fn wait_blocking(program: Pid, pid: &Mutex<Option<Pid>>) -> io::Result<u8> {
    let child = rustix::process::Pid::from_raw(program.as_raw());
    let child = child.ok_or(io::ErrorKind::InvalidInput)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = loop {
        match waitid(WaitId::Pid(child), options) {
            Ok(Some(status)) => break status,
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    *pid.lock() = None;
    waitpid(Some(child), WaitOptions::empty())?;
    Ok(code(status.exit_status(), status.terminating_signal()))
}

/// Passes a signal on, unless it came from the terminal, which sends it to the program as well.
fn pass_on(signal: &siginfo, pid: Pid) {
    let number = i32::try_from(signal.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
    if let (Some(signal), true) = (number, signal.ssi_code != SI_KERNEL) {
        // It may be gone already.
        let _ = kill(pid, signal);
    }
}

fn code(status: Option<i32>, signal: Option<i32>) -> u8 {
    let number = |number: i32| u8::try_from(number).ok();
    let by_signal = || signal.and_then(number).map(|signal| BY_SIGNAL.saturating_add(signal));
    status.and_then(number).or_else(by_signal).unwrap_or(BY_SIGNAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_the_programs_and_a_signals_as_in_shells() {
        for (line, status) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137)]
        {
            let command = ["sh", "-c", line].map(OsString::from);
            // Nothing is blocked here, since other tests share the process.
            let before = SigSet::thread_get_mask().unwrap();
            let program = Signals { blocked: SigSet::empty(), before }.start(&command).unwrap();
            let pid = Mutex::new(Some(program));
            assert_eq!(wait_blocking(program, &pid).unwrap(), status, "{line}");
            assert_eq!(*pid.lock(), None);
        }
        assert_eq!((code(None, Some(34)), code(None, None)), (162, 128));
    }
}
