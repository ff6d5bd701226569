//! The daemon of `invite` and `join`, as far as it is one of this process: its log, and the signals that end it.

use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log::{LogControl, start_logging};
use super::output::print;
use super::run::end_at_once_for;
use super::service_files;
use crate::config::Config;
use crate::join::companion::Companion;
use crate::shell;

/// What is logged meanwhile where the environment does not say so: the rest would stand between the lines of the
/// command, which cuts uplinks off and says so itself.
const QUIET: &str = "error";

/// What is logged by a daemon that goes on in the terminal, unless its configuration says so.
const LOG: &str = "error,throughline=warn";

/// What a command that may be a daemon has of one.
pub(super) struct Front {
    log: Arc<LogControl>,
    configured_log: Option<String>,
    /// Whether the daemon's log is a daemon's, and no more kept from between the lines of the command.
    stays: Arc<AtomicBool>,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Front {
    pub(super) async fn start() -> Result<Self, String> {
        let log = Arc::new(start_logging()?);
        log.set(Some(QUIET))?;
        let listen = |kind| signal(kind).map_err(|error| error.to_string());
        Ok(Self {
            log,
            configured_log: None,
            stays: Arc::default(),
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Returns the daemon that runs, or begins one in this process.
    pub(super) async fn companion(
        &mut self,
        file: &Path,
        config: Config,
    ) -> Result<Companion, String> {
        self.configured_log.clone_from(&config.log);
        let (log, stays) = (self.log.clone(), self.stays.clone());
        let set_log =
            Box::new(move |configured: Option<&str>| match stays.load(Ordering::Relaxed) {
                true => log.set(configured.or(Some(LOG))),
                // A reload of the command's own.
                false => log.set(Some(QUIET)),
            });
        Companion::of(file, config, set_log).await
    }

    /// Completes when a signal comes. Cancel-safe.
    pub(super) async fn interrupted(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// Goes on as the daemon until a signal, where it is one of this process.
    pub(super) async fn stay(&mut self, companion: Companion, file: &Path) {
        let Companion::Own(daemon) = &companion else { return };
        self.stays.store(true, Ordering::Relaxed);
        let _ = self.log.set(self.configured_log.as_deref().or(Some(LOG)));
        let after = match service_files::are_read_by_an_installed_unit(file) {
            true => {
                "After that, run it as the service: systemctl enable --now throughline".to_owned()
            }
            false => format!(
                "After that, by hand: throughline run {}; as a service: docs/CONFIG.md, \"Run it as a service\"",
                shell::path(file)
            ),
        };
        let _ = print(&format!("\nThe daemon runs in this terminal until Ctrl-C. {after}"));
        tokio::select! {
            biased;
            process = daemon.handed_over() => end_at_once_for(process),
            () = self.interrupted() => {}
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
            () = self.interrupted() => {}
        }
    }
}
