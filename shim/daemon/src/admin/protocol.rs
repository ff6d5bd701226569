//! The requests and answers on the admin socket, and their limits.

use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::event::EventReport;
use super::qlog::QlogAnswer;
use crate::report::Report;
use throughline::Drain;

/// The longest request, in bytes: a thousand times the size of a valid one.
pub(super) const MAX_REQUEST: u64 = 64 * 1024;

/// The longest answer that a client reads, in bytes: a hundred thousand flows.
pub(super) const MAX_ANSWER: u64 = 64 << 20;

/// Concurrent connections; more wait in the kernel's queue.
pub(super) const MAX_CONNECTIONS: usize = 16;

/// How long a drill may last: long enough that a failure is seen as one, and short enough that nobody forgets it.
pub(super) const DRILL: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// Bounds a whole exchange. Both ends are on this host.
pub(super) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A request to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Asks for the state of the daemon.
    Status {
        /// Whether with each flow.
        #[serde(default = "yes")]
        flows: bool,
    },
    /// Asks for the recent events.
    Events {
        /// Whether to continue with new events.
        #[serde(default)]
        follow: bool,
    },
    /// Reads the configuration again and takes it over.
    Reload {
        /// Whether only to say what would change.
        #[serde(default)]
        dry_run: bool,
    },
    /// Drains an uplink.
    DrainUplink {
        /// The name of the uplink.
        uplink: String,
    },
    /// Uses a drained uplink again.
    ResumeUplink {
        /// The name of the uplink.
        uplink: String,
    },
    /// Cuts an uplink off for a time, as a drill.
    CutUplink {
        /// The name of the uplink.
        uplink: String,
        /// For how long, in milliseconds.
        millis: u64,
        /// Whether also where no other uplink reaches a peer, whose flows stand still then.
        #[serde(default)]
        force: bool,
    },
    /// Asks for the qlog of lanes, from now on.
    Qlog {
        /// The peer, by its name in the configuration.
        peer: String,
        /// Only of lanes over the uplink of this name.
        #[serde(default)]
        uplink: Option<String>,
        /// For how long, in milliseconds.
        millis: u64,
    },
    /// Hands everything over to the process that asks; what follows is that of [`crate::handover`].
    TakeOver {
        /// The formats of state that it reads.
        formats: Vec<u64>,
    },
}

fn yes() -> bool {
    true
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// The state of the daemon.
    Status(Box<Report>),
    /// An event; more may follow.
    Event(Box<EventReport>),
    /// The number of events that a slow client missed.
    Missed(u64),
    /// The state of an uplink after a change.
    Uplink(UplinkAnswer),
    /// An uplink is cut off for a drill.
    Cut(CutAnswer),
    /// What changed with a reload.
    Reload(ReloadAnswer),
    /// The qlog that was asked for begins.
    QlogBegun,
    /// A part of the qlog of a lane; more may follow.
    Qlog(Box<QlogAnswer>),
    /// Why a valid request cannot be fulfilled.
    Refused(String),
    /// Why a request is invalid.
    Error(String),
}

/// A change to the use of an uplink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UplinkChange {
    /// Drain it.
    Drain,
    /// Use it again.
    Resume,
}

/// The state of an uplink after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkAnswer {
    /// The name of the uplink.
    pub uplink: String,
    /// Whether it is drained now.
    pub draining: bool,
    /// Whether the request changed that.
    pub changed: bool,
    /// A consequence that the operator should know, as a sentence.
    pub warning: Option<String>,
}

/// A drill that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutAnswer {
    /// The name of the uplink.
    pub uplink: String,
    /// How long it lasts, in milliseconds.
    pub millis: u64,
}

/// What changed with a reload, or would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// Whether nothing was changed, and this is what would be.
    pub dry_run: bool,
    /// The changes, each as a phrase.
    pub changes: Vec<String>,
}

/// What the admin socket calls to reload, or with `true` to say what would change: the changes, each as a
/// phrase, or why it is refused.
pub type ReloadRequest = Arc<dyn Fn(bool) -> BoxFuture<Result<Vec<String>, String>> + Send + Sync>;

/// A future that is called through a pointer.
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl UplinkChange {
    /// Returns the request for this change to the uplink named `uplink`.
    pub(super) fn request(self, uplink: &str) -> Request {
        let uplink = uplink.to_owned();
        match self {
            Self::Drain => Request::DrainUplink { uplink },
            Self::Resume => Request::ResumeUplink { uplink },
        }
    }
}

impl From<&Drain> for UplinkAnswer {
    fn from(drain: &Drain) -> Self {
        let Drain { uplink, draining, changed, last, only_way_to, .. } = drain.clone();
        let warning = match &only_way_to[..] {
            _ if last => Some(format!(
                "No other uplink is left, so flows stay on {uplink} until another is available; if it is \
                 cut, they wait."
            )),
            [] => None,
            peers => Some(format!(
                "No lane over another uplink answers to {}, so flows stay on {uplink}; do not cut it.",
                peers.join(", ")
            )),
        };
        Self { uplink, draining, changed, warning }
    }
}

/// Reads a line; of a longer one than `max_len`, one byte more than that.
pub(super) async fn read_line(stream: impl AsyncRead + Unpin, max_len: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(max_len + 1)).read_until(b'\n', &mut line).await?;
    Ok(line)
}

/// Writes an answer as a line.
pub(super) async fn write_line(
    stream: &mut (impl AsyncWrite + Unpin),
    answer: &Answer,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await
}
