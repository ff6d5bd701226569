//! The requests and answers on the admin socket, and their limits.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use super::event::EventReport;
use crate::report::Report;
use throughline::Drain;

/// The longest request, in bytes: a thousand times the size of a valid one.
pub(super) const MAX_REQUEST: u64 = 64 * 1024;

/// The longest answer that a client reads, in bytes: a hundred thousand flows.
pub(super) const MAX_ANSWER: u64 = 64 << 20;

/// Concurrent connections; more wait in the kernel's queue.
pub(super) const MAX_CONNECTIONS: usize = 16;

/// Bounds a whole exchange. Both ends are on this host.
pub(super) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A request to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Asks for the state of the daemon.
    Status,
    /// Asks for the recent events.
    Events {
        /// Whether to continue with new events.
        #[serde(default)]
        follow: bool,
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
        let warning = drain.last.then(|| {
            format!(
                "No other uplink is left, so flows stay on {} until another is available; if it is \
                 cut, they wait.",
                drain.uplink
            )
        });
        let Drain { uplink, draining, changed, .. } = drain.clone();
        Self { uplink, draining, changed, warning }
    }
}

/// Reads a line; of a longer one than `max_len`, one byte more than that.
pub(super) async fn read_line(stream: impl AsyncRead + Unpin, max_len: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(max_len + 1)).read_until(b'\n', &mut line).await?;
    Ok(line)
}
