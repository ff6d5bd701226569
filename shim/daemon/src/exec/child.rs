//! The program as a child: signals are passed on to it, and its exit status is ours.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::process::{Child, Command};

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

    /// Starts a program, which has the signals as this process had them.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(self, command: &mut Command) -> io::Result<Child> {
        // A program inherits the mask of the thread that starts it.
        self.before.thread_set_mask()?;
        let child = command.spawn();
        self.blocked.thread_block()?;
        child
    }
}

/// Waits for the program, and passes signals on; returns its exit status.
///
/// # Errors
/// The system's.
pub(super) async fn wait(mut child: Child, signals: Signals) -> Result<u8, ExecError> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let pid = Arc::new(Mutex::new(pid));
    let descriptor = SignalFd::with_flags(&signals.blocked, SfdFlags::SFD_CLOEXEC);
    let descriptor = descriptor.map_err(|error| ExecError::Signals(error.into()))?;
    let passed_to = Arc::clone(&pid);
    // A thread, which ends with the process: whoever waits for a descriptor by tokio has to promise what only `unsafe`
    // can.
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let pass_all_on = move || {
        while let Ok(signal) = descriptor.read_signal() {
            signal.into_iter().for_each(|signal| pass_on(&signal, *passed_to.lock()));
        }
    };
    thread.spawn(pass_all_on).map_err(ExecError::Signals)?;
    let status = child.wait().await;
    // Its number may be another's now.
    *pid.lock() = None;
    status.map(code).map_err(ExecError::Wait)
}

/// Passes a signal on, unless it came from the terminal, which sends it to the program as well.
fn pass_on(signal: &siginfo, pid: Option<Pid>) {
    let number = i32::try_from(signal.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
    if let (Some(pid), Some(signal), true) = (pid, number, signal.ssi_code != SI_KERNEL) {
        // It may be gone already.
        let _ = kill(pid, signal);
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let by_signal = || status.signal().and_then(|signal| u8::try_from(signal).ok());
    code.or_else(|| by_signal().map(|signal| BY_SIGNAL.saturating_add(signal))).unwrap_or(BY_SIGNAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_the_programs_and_a_signals_as_in_shells() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code(ExitStatus::from_raw(255 << 8)), 255);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }
}
