//! The daemon of `invite` and `join`, as far as it is one of this process: its log, and the signals that end it.

use std::future::ready;
use std::io;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log::start_logging;
use super::output::print;
use super::run::end_at_once_for;
use crate::config::Config;
use crate::join::companion::Companion;

/// What is logged where neither the environment nor the configuration says so: what a person has to know. The rest
/// would stand between the lines of the command.
const LOG: &str = "error,throughline=warn";

/// Returns the daemon that runs, or begins one in this process.
pub(super) async fn companion(file: &Path, config: Config) -> Result<Companion, String> {
    let log = start_logging()?;
    log.set(config.log.as_deref().or(Some(LOG)))?;
    let set_log = Box::new(move |filter: Option<&str>| log.set(filter.or(Some(LOG))));
    Companion::of(file, config, set_log).await
}

/// The signals that end a command, and its daemon.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Completes when one comes. Cancel-safe.
    pub(super) async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// Goes on as the daemon until a signal, where it is one of this process.
    pub(super) async fn stay(&mut self, companion: Companion, file: &Path) {
        let Companion::Own(daemon) = &companion else { return };
        let _ = print(&format!(
            "\nThe daemon runs in this terminal until Ctrl-C. As a service, after that: docs/CONFIG.md, \"Run it as a \
             service\"; by hand: throughline run {}",
            file.display()
        ));
        tokio::select! {
            biased;
            process = daemon.handed_over() => end_at_once_for(process),
            () = self.come() => {}
            () = daemon.broken() => {}
        }
        self.end(companion).await;
    }

    /// Ends the daemon, where it is one of this process; another signal ends it at once.
    pub(super) async fn end(&mut self, companion: Companion) {
        let Companion::Own(daemon) = companion else { return };
        if daemon.hand_over_no_more().await {
            end_at_once_for(daemon.handed_over().await);
        }
        tokio::select! {
            () = daemon.run_until(ready(())) => {}
            () = self.come() => {}
        }
    }
}
