//! What the two ends say to each other at the meeting: a line of JSON each, and then, for the drill, echoes.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::plain;
use super::ticket::Ticket;
use throughline::PeerId;

/// The longest line.
const MAX_LINE: u64 = 4096;

/// How long a line may take, over the slowest path and with a reload of the configuration before it.
const LINE_TIMEOUT: Duration = Duration::from_secs(20);

/// What the site says first on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// It wants to be known by this key.
    Join {
        /// Its public key.
        key: String,
        /// That it has the ticket.
        proof: String,
    },
    /// What follows is to be sent back, until it ends.
    Drill {
        /// That it has the ticket.
        proof: String,
    },
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// The site is a peer now, or its echoes follow.
    Welcome {
        /// What it may reach through the server.
        allow: Vec<String>,
    },
    /// It is not, and why.
    Refused(String),
}

/// Why the meeting came to nothing.
#[derive(Debug, Error)]
pub(crate) enum ExchangeError {
    #[error("the other end broke off: {0}")]
    Io(#[from] io::Error),
    #[error("the other end said nothing for {} s", LINE_TIMEOUT.as_secs())]
    Silent,
    #[error("the other end says what is not understood; are both of the same version?")]
    NotUnderstood,
    #[error("{0}")]
    Refused(String),
}

/// What a proof of wanting to be known by this key is of.
pub(crate) fn join_of(key: &PeerId) -> String {
    format!("join {key}")
}

/// What a proof of belonging to the drill is of.
pub(crate) const DRILL: &str = "drill";

/// Asks, and returns what the site may reach.
pub(crate) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &Request,
) -> Result<Vec<String>, ExchangeError> {
    write(stream, request).await?;
    match read(stream).await? {
        Answer::Welcome { allow } => Ok(allow),
        Answer::Refused(reason) => Err(ExchangeError::Refused(plain(&reason))),
    }
}

/// Asks to be known by this key.
pub(crate) async fn join(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ticket: &Ticket,
    key: &PeerId,
) -> Result<Vec<String>, ExchangeError> {
    let request = Request::Join { key: key.to_string(), proof: ticket.proof(&join_of(key)) };
    ask(stream, &request).await
}

/// Writes a message.
pub(crate) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<(), ExchangeError> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::from)?;
    line.push(b'\n');
    timeout(LINE_TIMEOUT, stream.write_all(&line)).await.map_err(|_| ExchangeError::Silent)??;
    Ok(())
}

/// Reads a message; what follows it stays unread.
pub(crate) async fn read<T: for<'de> Deserialize<'de>>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<T, ExchangeError> {
    let mut line = Vec::new();
    // A byte at a time: what comes after the line is somebody else's to read.
    let mut reader = BufReader::with_capacity(1, stream.take(MAX_LINE));
    let read = timeout(LINE_TIMEOUT, reader.read_until(b'\n', &mut line)).await;
    if read.map_err(|_| ExchangeError::Silent)?? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    serde_json::from_slice(&line).map_err(|_| ExchangeError::NotUnderstood)
}
