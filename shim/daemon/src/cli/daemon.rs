//! Which running daemon a command asks.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::file::default_file;
use super::output::{config_error, fail_as};
use crate::admin::AdminSocket;
use crate::catalogue::Code;
use crate::config::{Admin, Config};
use crate::shell;

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
            (None, None) => Ok(self.default_socket()),
            (None, Some(file)) => match Config::load(file).map(|config| config.admin) {
                Ok(Admin::At(path)) => Ok(path),
                Ok(Admin::Default) => Ok(AdminSocket::running_path()),
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

    /// Returns where a daemon is asked that nobody has named: at the default path, else where this user's default
    /// configuration has it.
    fn default_socket(&self) -> PathBuf {
        let path = AdminSocket::running_path();
        let file = default_file().filter(|_| !path.exists());
        match file.and_then(|file| Config::load(&file).ok()).map(|config| config.admin) {
            Some(Admin::At(configured)) => configured,
            _ => path,
        }
    }

    /// Returns the configuration that is meant: the one that is named, else this user's default one where it is there
    /// and no socket is named.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let default = || default_file().filter(|file| self.socket.is_none() && file.exists());
        self.config.clone().or_else(default)
    }

    /// Returns a command of this program as a person can paste it to ask the same daemon.
    pub(super) fn command(&self, arguments: &str) -> String {
        let named = |option: &str, path: &Path| {
            format!("`throughline {arguments} {option} {}`", shell::path(path))
        };
        match (&self.config, &self.socket) {
            (Some(file), _) => named("-c", file),
            (None, Some(path)) => named("--socket", path),
            (None, None) => format!("`throughline {arguments}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_asks_the_daemon_that_was_asked() {
        let args = |config: Option<&str>, socket: Option<&str>| DaemonArgs {
            config: config.map(PathBuf::from),
            socket: socket.map(PathBuf::from),
        };
        let resumed = |args: DaemonArgs| args.command("uplink resume a");
        assert_eq!(resumed(args(None, None)), "`throughline uplink resume a`");
        assert_eq!(
            resumed(args(Some("d/f.toml"), None)),
            "`throughline uplink resume a -c d/f.toml`"
        );
        assert_eq!(resumed(args(None, Some("s"))), "`throughline uplink resume a --socket s`");
    }
}
