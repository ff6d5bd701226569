//! `throughline run`: the daemon, until a signal ends it.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::file::FileArgs;
use super::log::start_logging;
use super::output::{config_error, fail_as, start_error, usage_error};
use super::successor;
use crate::catalogue::Code;
use crate::config::Config;
use crate::hook;
use crate::journal;
use crate::run::{Daemon, ReloadFrom, Reloader, leave_kept, start_from, start_kept, take_over};
use crate::service;

/// Which configuration to run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which configuration.
    #[command(flatten)]
    pub file: FileArgs,
    /// Take over from the daemon that runs, with all its TCP flows; it goes on if that fails
    #[arg(long)]
    pub take_over: bool,
}

pub(super) async fn execute(args: &RunArgs) -> ExitCode {
    let log = match start_logging() {
        Ok(log) => log,
        Err(error) => return usage_error(Code::LogSetting, error),
    };
    let file = args.file.file();
    let config = match load(&file).await {
        Ok(config) => config,
        Err(status) => return status,
    };
    if let Err(error) = log.set(config.log.as_deref()) {
        return fail_as(Code::LogSetting, error);
    }
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            let reason = format!("signal handlers cannot be installed: {error}");
            return fail_as(Code::SystemRefuses, reason);
        }
    };
    let set_log = Box::new(move |filter: Option<&str>| log.set(filter));
    let absolute = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
    let from = ReloadFrom { file: absolute, set_log };
    let daemon = match started(config, from, args.take_over).await {
        Ok(daemon) => daemon,
        Err(status) => return status,
    };
    // To the end, also while flows have their time to end.
    let _serving = service::ready(daemon.node());
    let (name, outcome) = tokio::select! {
        // First: what another process has is not to be closed by a signal that comes at that moment.
        biased;
        process = daemon.handed_over() => {
            end_at_once_for(process)
        }
        name = signals.end(daemon.reloader(), &file) => (name, ExitCode::SUCCESS),
        // Whoever supervises the daemon starts it anew.
        () = daemon.broken() => ("a task that the daemon needs panicked", ExitCode::FAILURE),
    };
    if daemon.hand_over_no_more().await {
        end_at_once_for(daemon.handed_over().await);
    }
    if outcome == ExitCode::SUCCESS
        && service::is_restarting().await
        && keep_for_the_next(&daemon, &file).await
    {
        // As there, nothing may be closed in order.
        hook::kill_running();
        journal::flush();
        std::process::exit(0);
    }
    service::stopping(name);
    info!("{name}: shutting down; a second signal ends the daemon at once");
    tokio::select! {
        () = daemon.run_until(std::future::ready(())) => outcome,
        name = signals.end_at_once() => {
            fail_as(
                Code::EndedAtOnce,
                format!("{name}: the daemon ended at once; its live flows are reset"),
            )
        }
    }
}

/// Starts the daemon, in the place of another one where there is one; returns the exit status where it cannot start.
async fn started(config: Config, from: ReloadFrom, takes_over: bool) -> Result<Daemon, ExitCode> {
    let kept = service::kept();
    let is_next = kept.is_some();
    let started = match kept {
        // Whoever left it has ended: there is nobody else to take over from.
        Some(kept) => start_kept(config, Some(from), kept).await,
        None if takes_over => take_over(config, Some(from)).await,
        None => start_from(config, Some(from)).await,
    };
    started.map_err(|error| {
        service::failed(&error.to_string());
        let status = start_error(&error);
        // What was kept is for a process that the service manager is to start again, whatever is wrong with this one.
        if is_next { ExitCode::FAILURE } else { status }
    })
}

/// Reads the configuration; returns the exit status where it is wrong.
async fn load(file: &Path) -> Result<Config, ExitCode> {
    let error = match Config::load(file) {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    let status = config_error(&error);
    // Whoever mends the file is perhaps writing it in this moment: the next process looks again.
    let is_kept = match service::kept() {
        Some(kept) => leave_kept(kept).await,
        None => false,
    };
    Err(if is_kept { ExitCode::FAILURE } else { status })
}

/// Has the service manager keep everything for the process that it starts next; returns whether it does. Else the
/// daemon ends as ever, and its flows with it.
async fn keep_for_the_next(daemon: &Daemon, file: &Path) -> bool {
    let reason = match successor::candidate(file).await {
        Ok(next) if next.id != daemon.node().id().to_string() => format!(
            "the identity of the configuration is {}, and sessions cannot go on with another key; `throughline \
             reload` before a restart takes it over and loses nothing",
            next.id
        ),
        Ok(next) => match daemon.keep(&next.formats).await {
            Ok(()) => return true,
            Err(error) => error.to_string(),
        },
        Err(reason) => reason,
    };
    warn!(
        "this is a restart, but nothing is kept for the next process, and the flows end: {reason}"
    );
    false
}

/// Ends this process, whose successor has everything.
pub(super) fn end_at_once_for(successor: Option<u32>) -> ! {
    info!(successor, "another process has taken over; this one ends");
    if let Some(process) = successor {
        service::succeeded_by(process);
    }
    hook::kill_running();
    journal::flush();
    // Nothing may be closed in order: not the connections, the routes, the admin socket's file.
    std::process::exit(0);
}

/// The signals that end the daemon, and the one that reloads its configuration.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for a signal to end and returns its name; reloads at each SIGHUP before it, and starts a successor
    /// at each SIGUSR2.
    async fn end(&mut self, reloader: &Reloader, file: &Path) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    info!("SIGHUP: reading the configuration again");
                    // What came of it is an event, and a line in the log.
                    let _ = reloader.reload(false).await;
                }
                _ = self.upgrade.recv() => {
                    info!("SIGUSR2: starting a successor");
                    if let Err(error) = successor::candidate(file).await {
                        error!("no successor can start, this daemon goes on: {error}");
                    } else if let Err(error) = successor::start().await {
                        error!("no successor can be started, this daemon goes on: {error}");
                    }
                }
            }
        }
    }

    /// Waits for another signal to end and returns its name.
    async fn end_at_once(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => info!("SIGHUP: the daemon is ending, and reads nothing more"),
                _ = self.upgrade.recv() => info!("SIGUSR2: the daemon is ending, and hands nothing over"),
            }
        }
    }
}
