//! `throughline run`: the daemon, until a signal ends it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use super::log::start_logging;
use super::output::{config_error, fail, start_error, usage_error};
use crate::config::Config;
use crate::run::start;

/// Which configuration to run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

pub(super) async fn execute(args: &RunArgs) -> ExitCode {
    if let Err(error) = start_logging() {
        return usage_error(error);
    }
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => return config_error(&error),
    };
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(format!("signal handlers cannot be installed: {error}")),
    };
    let daemon = match start(config).await {
        Ok(daemon) => daemon,
        Err(error) => return start_error(&error),
    };
    let name = signals.next().await;
    info!("{name}: shutting down; a second signal ends the daemon at once");
    tokio::select! {
        () = daemon.run_until(std::future::ready(())) => ExitCode::SUCCESS,
        name = signals.next() => {
            fail(format!("{name}: the daemon ended at once; its live flows are reset"))
        }
    }
}

/// The signals that end the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal and returns its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
