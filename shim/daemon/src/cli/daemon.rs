//! Which running daemon a command asks.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::{config_error, fail_as};
use crate::admin::AdminSocket;
use crate::catalogue::Code;
use crate::config::{Admin, Config};

/// Which running daemon to ask: by its configuration or its admin socket, else the default one.
#[derive(Debug, Args)]
pub struct DaemonArgs {
    /// Ask the daemon that runs with this configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ask the daemon with this admin socket
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub socket: Option<PathBuf>,
}

impl DaemonArgs {
    /// Returns the path of the daemon's admin socket.
    ///
    /// # Errors
    /// The configuration is wrong; the error has been printed, and the exit status is returned.
    pub(super) fn socket_path(&self) -> Result<PathBuf, ExitCode> {
        match (&self.socket, &self.config) {
            (Some(path), _) => Ok(path.clone()),
            (None, None) => Ok(AdminSocket::default_path()),
            (None, Some(file)) => match Config::load(file).map(|config| config.admin) {
                Ok(Admin::At(path)) => Ok(path),
                Ok(Admin::Default) => Ok(AdminSocket::default_path()),
                Ok(Admin::Off) => Err(fail_as(
                    Code::NoAdminSocket,
                    format!(
                        "{} says `admin = false`, so its daemon has no socket by which it could be asked; `--socket` names \
                     another one's",
                        file.display()
                    ),
                )),
                Err(error) => Err(config_error(&error)),
            },
        }
    }
}
