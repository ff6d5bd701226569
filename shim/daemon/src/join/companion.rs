//! The daemon that is needed: the one that runs, or one that is begun in this process and ends with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::admin::{self, AdminError};
use crate::config::Config;
use crate::report::Report;
use crate::run::{Daemon, ReloadFrom, SetLog, running_admin_path, start_from};

/// A daemon of a configuration.
pub(crate) enum Companion {
    /// One that runs, at this admin socket.
    Running(PathBuf),
    /// One that was begun here.
    Own(Box<Daemon>),
}

impl Companion {
    /// Returns the daemon that answers at the configuration's admin socket, or begins one.
    pub(crate) async fn of(file: &Path, config: Config, set_log: SetLog) -> Result<Self, String> {
        let running = match running_admin_path(&config.admin) {
            Some(admin) => admin::status(&admin).await.map(|report| (admin, report)),
            None => {
                return Err(format!(
                    "{} says `admin = false`, so its daemon cannot be told of a peer; remove that",
                    file.display()
                ));
            }
        };
        match running {
            Ok((admin, report)) if is_of(&report, file) => Ok(Self::Running(admin)),
            Ok((admin, report)) => {
                let other = report.file.map_or("nothing".into(), |file| file.display().to_string());
                Err(format!(
                    "the daemon that answers at {} was started from {other}; write -c {other}, or stop it",
                    admin.display()
                ))
            }
            Err(AdminError::NotRunning { .. }) => {
                let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
                let from = ReloadFrom { file, set_log };
                let daemon = Box::pin(start_from(config, Some(from))).await;
                Ok(Self::Own(Box::new(daemon.map_err(|error| error.to_string())?)))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns the daemon's state.
    pub(crate) async fn report(&self) -> Result<Report, String> {
        match self {
            Self::Running(admin) => admin::status(admin).await.map_err(|error| error.to_string()),
            Self::Own(daemon) => Ok(Report::from(&daemon.node().status())),
        }
    }

    /// Has it read its configuration again.
    pub(crate) async fn reload(&self) -> Result<(), String> {
        match self {
            Self::Running(admin) => {
                admin::reload(admin, false).await.map(|_| ()).map_err(|error| error.to_string())
            }
            Self::Own(daemon) => {
                daemon.reloader().reload(false).await.map(|_| ()).map_err(|error| error.to_string())
            }
        }
    }

    /// Cuts an uplink off for a time, where another one reaches the peers.
    pub(crate) async fn cut_uplink(&self, uplink: &str, length: Duration) -> Result<(), String> {
        match self {
            Self::Running(admin) => admin::cut_uplink(admin, uplink, length, false)
                .await
                .map(|_| ())
                .map_err(|error| error.to_string()),
            Self::Own(daemon) => daemon
                .node()
                .cut_uplink(uplink, length, "`join`")
                .map_err(|error| error.to_string()),
        }
    }
}

/// Returns whether a daemon was started from this file.
fn is_of(report: &Report, file: &Path) -> bool {
    let canonical = |path: &Path| std::fs::canonicalize(path).ok();
    report.file.as_deref().is_some_and(|read| canonical(read) == canonical(file))
}
