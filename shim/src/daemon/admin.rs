//! The admin socket: a Unix socket that answers questions about the daemon.
//!
//! A connection carries one line of JSON as the request, `{"command": "status"}`, and one line as
//! the answer, `{"status": {…}}` or `{"error": "…"}`. The socket has mode 0600 before anybody can
//! connect. A file left by a daemon that died is replaced; one whose daemon answers is not.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::daemon::report::Report;
use crate::edge::tasks::Tasks;
use crate::net::node::Node;

/// The longest request: a thousand times what one needs.
const MAX_REQUEST: u64 = 64 * 1024;

/// The longest answer that is read: a hundred thousand flows.
const MAX_ANSWER: u64 = 64 << 20;

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 16;

/// For a whole exchange. Both ends are on this host.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The rest after a failed accept.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// What is the state of the daemon?
    Status,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// The state of the daemon.
    Status(Box<Report>),
    /// The request was not understood.
    Error(String),
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

    /// Answers questions about `node` until the tasks are drained.
    pub async fn serve(self, node: Node, tasks: Tasks) {
        self.answer_with(Arc::new(move || Report::from(&node.status())), tasks).await;
    }

    async fn answer_with(self, report: Arc<dyn Fn() -> Report + Send + Sync>, tasks: Tasks) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = tasks.draining() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let report = Arc::clone(&report);
                    tasks.spawn(async move {
                        let exchange = timeout(EXCHANGE_TIMEOUT, serve_one(stream, &*report));
                        if let Ok(Err(error)) = exchange.await {
                            debug!(%error, "an admin connection failed");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept an admin connection");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // Gone already, if somebody tidied up; a stale one is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve_one(
    mut stream: UnixStream,
    report: &(dyn Fn() -> Report + Send + Sync),
) -> io::Result<()> {
    let line = read_line(&mut stream, MAX_REQUEST).await?;
    let answer = match serde_json::from_slice(&line) {
        _ if line.len() as u64 > MAX_REQUEST => {
            Answer::Error(format!("the request is longer than {MAX_REQUEST} bytes"))
        }
        Ok(Request::Status) => Answer::Status(Box::new(report())),
        Err(error) => {
            Answer::Error(format!("not a request, write {{\"command\":\"status\"}}: {error}"))
        }
    };
    let mut line = serde_json::to_vec(&answer).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await
}

/// A line, and one byte more than `most` where it is longer.
async fn read_line(stream: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(most + 1)).read_until(b'\n', &mut line).await?;
    Ok(line)
}

/// Asks the daemon behind the socket at `path` for its state.
///
/// # Errors
/// No daemon answers there, or not as expected.
pub async fn status(path: &Path) -> Result<Report, AdminError> {
    let not_running = |source| AdminError::NotRunning { path: path.to_owned(), source };
    let no_answer = |reason: String| AdminError::NoAnswer { path: path.to_owned(), reason };
    let mut stream = UnixStream::connect(path).await.map_err(not_running)?;
    let exchange = async {
        let mut line = serde_json::to_vec(&Request::Status).map_err(io::Error::other)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        read_line(&mut stream, MAX_ANSWER).await
    };
    let line = match timeout(EXCHANGE_TIMEOUT, exchange).await {
        Ok(line) => line.map_err(|error| no_answer(error.to_string()))?,
        Err(_) => return Err(no_answer(format!("none within {} s", EXCHANGE_TIMEOUT.as_secs()))),
    };
    match serde_json::from_slice(&line).map_err(|error| no_answer(error.to_string()))? {
        Answer::Status(report) => Ok(*report),
        Answer::Error(error) => Err(no_answer(error)),
    }
}

#[cfg(test)]
mod tests;
