//! The socket itself: where it is, and how it is created and removed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use tokio::net::UnixListener;

use super::error::AdminError;
use super::protocol::MAX_CONNECTIONS;
use crate::unix_socket::{self, Access, BindError, SocketFile};

/// Connections that may wait in the kernel's queue: as many as are served at a time.
const BACKLOG: i32 = MAX_CONNECTIONS as i32;

/// The default path of a daemon that dist/throughline.service runs: by its `XDG_RUNTIME_DIR`.
const OF_SERVICE: &str = "/run/throughline/throughline.sock";

/// A bound admin socket. Dropping it removes its file, unless that is another process's still.
#[derive(Debug)]
pub struct AdminSocket {
    /// First, so that it goes first: while the socket lives no other file can have its number. None where it is gone.
    file: Option<SocketFile>,
    pub(super) listener: Arc<UnixListener>,
    path: PathBuf,
}

impl AdminSocket {
    /// Returns `$XDG_RUNTIME_DIR/throughline.sock`, or `/run/throughline.sock` if that is not set.
    pub fn default_path() -> PathBuf {
        let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        directory.map_or_else(|| PathBuf::from("/run"), PathBuf::from).join("throughline.sock")
    }

    /// Returns where a daemon is asked whose configuration names no socket: at the default path, or, where nothing is
    /// there, at that of the service.
    pub fn running_path() -> PathBuf {
        running_at(Self::default_path(), Path::new(OF_SERVICE))
    }

    /// Creates the socket at `path`; a stale one is replaced.
    ///
    /// # Errors
    /// Another daemon answers there, something else is there, or a socket cannot be created.
    pub fn bind(path: &Path) -> Result<Self, AdminError> {
        let bound = unix_socket::bind(path, Access::OWN_USER, BACKLOG);
        let listener = bound.map_err(|error| match error {
            BindError::InUse => AdminError::InUse(path.to_owned()),
            BindError::NotASocket => AdminError::NotASocket(path.to_owned()),
            BindError::Access(source) | BindError::Io(source) => {
                AdminError::Bind { path: path.to_owned(), source }
            }
        })?;
        let file = SocketFile::at(path).ok();
        Ok(Self { file, listener: Arc::new(listener), path: path.to_owned() })
    }

    /// Goes on with a socket that another process has bound to `path`. The file is that one's until
    /// [`own_file`](Self::own_file).
    ///
    /// # Errors
    /// The runtime does not take it.
    pub fn inherit(path: &Path, descriptor: OwnedFd) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::from(descriptor);
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let file = SocketFile::at(path).ok().map(SocketFile::left);
        Ok(Self { file, listener: Arc::new(listener), path: path.to_owned() })
    }

    /// Has the file removed with the socket: no other process is there any more that uses it.
    pub fn own_file(&mut self) {
        if let Some(file) = &mut self.file {
            file.own();
        }
    }

    /// Returns the socket, for as long as it is served: another process may go on with it.
    pub fn socket(&self) -> Weak<UnixListener> {
        Arc::downgrade(&self.listener)
    }

    /// Returns the path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns the `default` path, unless nothing is there and something is, or is hidden from this user, at `other`.
fn running_at(default: PathBuf, other: &Path) -> PathBuf {
    let may_be_there = |path: &Path| {
        let found = std::fs::symlink_metadata(path);
        !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    if !may_be_there(&default) && may_be_there(other) { other.to_owned() } else { default }
}

#[cfg(test)]
mod tests {
    use super::running_at;

    #[test]
    fn a_service_is_found_where_no_other_daemon_is() {
        let directory = tempfile::tempdir().unwrap();
        let [own, service] = ["own.sock", "service.sock"].map(|name| directory.path().join(name));
        let found = || running_at(own.clone(), &service);
        assert_eq!(found(), own, "neither is there: the message names the default");
        std::fs::write(&service, "").unwrap();
        assert_eq!(found(), service);
        std::fs::write(&own, "").unwrap();
        assert_eq!(found(), own);
    }
}
