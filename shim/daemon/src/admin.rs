//! The admin socket: a Unix socket that answers questions about the daemon.
//!
//! A connection carries one line of JSON as the request, `{"command": "status"}`, and one line as
//! the answer, `{"status": {…}}` or `{"error": "…"}`. Only [`Request::Events`] is answered with a
//! line for each event, for as long as the asker follows. The socket has mode 0600 before anybody
//! can connect. A file left by a daemon that died is replaced; one whose daemon answers is not.

mod client;
mod event;
mod serve;

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::UnixListener;

pub use self::client::{EventReader, Told, drain, events, status};
pub use self::event::EventReport;
use crate::report::Report;
use throughline::Drain;

/// The longest request: a thousand times what one needs.
const MAX_REQUEST: u64 = 64 * 1024;

/// The longest answer that is read: a hundred thousand flows.
const MAX_ANSWER: u64 = 64 << 20;

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 16;

/// For a whole exchange. Both ends are on this host.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// What is the state of the daemon?
    Status,
    /// What happened of late?
    Events {
        /// And what happens from now on?
        #[serde(default)]
        follow: bool,
    },
    /// Flows are to leave an uplink.
    DrainUplink {
        /// Its name.
        uplink: String,
    },
    /// A drained uplink is to be used again.
    ResumeUplink {
        /// Its name.
        uplink: String,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// The state of the daemon.
    Status(Box<Report>),
    /// Something that happened; more may follow.
    Event(Box<EventReport>),
    /// The asker was slow, and so many events passed it by.
    Missed(u64),
    /// What became of an uplink.
    Uplink(UplinkAnswer),
    /// The request was understood, but there is nothing that it could be done to.
    Refused(String),
    /// The request was not understood.
    Error(String),
}

/// What became of an uplink that was to be drained or used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkAnswer {
    /// Its name.
    pub uplink: String,
    /// Whether it is drained now.
    pub draining: bool,
    /// Whether that is new.
    pub changed: bool,
    /// What somebody should know who does this.
    pub warning: Option<String>,
}

impl From<&Drain> for UplinkAnswer {
    fn from(drain: &Drain) -> Self {
        let warning = drain.last.then(|| {
            format!(
                "No other uplink is left, so flows stay on {} until one comes; if it is cut they \
                 wait.",
                drain.uplink
            )
        });
        let Drain { uplink, draining, changed, .. } = drain.clone();
        Self { uplink, draining, changed, warning }
    }
}

/// Why there is no admin socket, or no answer from one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Another daemon answers there.
    #[error("another daemon answers at {0}; stop it, or give this one its own `admin` path")]
    InUse(PathBuf),
    /// Something else than a socket is there.
    #[error("{0} is in the way of the admin socket and is no socket; move it, or change `admin`")]
    NoSocket(PathBuf),
    /// The socket cannot be made.
    #[error("cannot make the admin socket {path}: {source}; write another place in `admin`")]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No daemon answers.
    #[error(
        "no daemon answers at {path}: {source}; is it running, and with the same configuration \
         (-c FILE or --socket PATH)?"
    )]
    NotRunning {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// We may not ask it.
    #[error("{path} is not ours to ask: {source}; run this as the daemon's user or as root")]
    Denied {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon does not do what it was asked for.
    #[error("{0}")]
    Refused(String),
    /// The daemon answered with an error, or not in time, or with something else.
    #[error("the daemon at {path} gave no answer: {reason}")]
    NoAnswer {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A bound admin socket.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// `$XDG_RUNTIME_DIR/throughline.sock`, or `/run/throughline.sock` where that is not set.
    pub fn default_path() -> PathBuf {
        let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        directory.map_or_else(|| PathBuf::from("/run"), PathBuf::from).join("throughline.sock")
    }

    /// Makes the socket at `path`; a stale one is replaced.
    ///
    /// # Errors
    /// Another daemon answers there, something else is there, or the place cannot be written to.
    pub fn bind(path: &Path) -> Result<Self, AdminError> {
        let bind_error = |source| AdminError::Bind { path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(bind_error(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(AdminError::NoSocket(path.to_owned()));
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(AdminError::InUse(path.to_owned()));
            }
            Ok(_) => std::fs::remove_file(path).map_err(bind_error)?,
        }
        let listener = (|| {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.bind(&SockAddr::unix(path)?)?;
            // Nobody can connect before listen(2), so the mode is right in time.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            socket.listen(MAX_CONNECTIONS as i32)?;
            socket.set_nonblocking(true)?;
            UnixListener::from_std(socket.into())
        })();
        Ok(Self { listener: listener.map_err(bind_error)?, path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // Gone already, if somebody tidied up; a stale one is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A line, and one byte more than `most` where it is longer.
async fn read_line(stream: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(most + 1)).read_until(b'\n', &mut line).await?;
    Ok(line)
}

#[cfg(test)]
mod tests;
