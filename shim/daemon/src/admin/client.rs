//! The client's end of the admin socket, which the command line uses.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::error::AdminError;
use super::event::EventReport;
use super::protocol::{
    Answer, CutAnswer, EXCHANGE_TIMEOUT, MAX_ANSWER, ReloadAnswer, Request, UplinkAnswer,
    UplinkChange, read_line,
};
use crate::report::{Detail, Report};

/// Returns the state of the daemon behind the socket at `path`.
///
/// # Errors
/// No daemon answers there, or its answer is invalid.
pub async fn status(path: &Path) -> Result<Report, AdminError> {
    report(path, Detail::Flows).await
}

/// Returns the state of the daemon behind the socket at `path`, as far as it is wanted.
///
/// # Errors
/// No daemon answers there, or its answer is invalid.
pub async fn report(path: &Path, detail: Detail) -> Result<Report, AdminError> {
    match ask(path, &Request::Status { flows: detail == Detail::Flows }).await? {
        Answer::Status(report) => Ok(*report),
        other => Err(unexpected(path, &other)),
    }
}

/// Drains an uplink of the daemon, or uses it again.
///
/// # Errors
/// No daemon answers there, or it has no such uplink.
pub async fn change_uplink(
    path: &Path,
    uplink: &str,
    change: UplinkChange,
) -> Result<UplinkAnswer, AdminError> {
    match ask(path, &change.request(uplink)).await? {
        Answer::Uplink(answer) => Ok(answer),
        other => Err(unexpected(path, &other)),
    }
}

/// Has the daemon cut an uplink off for a time, as a drill; with `force` also where flows stand still then.
///
/// # Errors
/// No daemon answers there, it has no such uplink, or refuses.
pub async fn cut_uplink(
    path: &Path,
    uplink: &str,
    length: Duration,
    force: bool,
) -> Result<CutAnswer, AdminError> {
    let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let uplink = uplink.to_owned();
    match ask(path, &Request::CutUplink { uplink, millis, force }).await? {
        Answer::Cut(answer) => Ok(answer),
        other => Err(unexpected(path, &other)),
    }
}

/// Has the daemon read its configuration again and take it over; with `dry_run` only say what would change.
///
/// # Errors
/// No daemon answers there, or it refuses the configuration and goes on as it was.
pub async fn reload(path: &Path, dry_run: bool) -> Result<ReloadAnswer, AdminError> {
    match ask(path, &Request::Reload { dry_run }).await? {
        Answer::Reload(answer) => Ok(answer),
        other => Err(unexpected(path, &other)),
    }
}

/// What a daemon sends to a client that reads its events.
#[derive(Debug, Clone, PartialEq)]
pub enum EventUpdate {
    /// An event.
    Event(Box<EventReport>),
    /// The number of events that the client missed because it read too slowly.
    Missed(u64),
}

/// Reads the events of a daemon, recent ones first.
#[derive(Debug)]
pub struct EventReader {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    line: Vec<u8>,
}

/// Asks the daemon for its recent events, and with `follow` for new ones.
///
/// # Errors
/// No daemon answers there.
pub async fn events(path: &Path, follow: bool) -> Result<EventReader, AdminError> {
    let stream = send(path, &Request::Events { follow }).await?;
    Ok(EventReader { stream: BufReader::new(stream), path: path.to_owned(), line: Vec::new() })
}

impl EventReader {
    /// Returns the next update; `None` after the last event, or (following) at the daemon's end.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The daemon refuses, or its answer is invalid.
    pub async fn next(&mut self) -> Result<Option<EventUpdate>, AdminError> {
        let invalid_answer =
            |reason: String| AdminError::InvalidAnswer { path: self.path.clone(), reason };
        // The part that a cancelled call has read stays in `line`.
        let limit = MAX_ANSWER.saturating_sub(self.line.len() as u64);
        let read = (&mut self.stream).take(limit).read_until(b'\n', &mut self.line).await;
        read.map_err(|error| invalid_answer(error.to_string()))?;
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(&line).map_err(|error| invalid_answer(error.to_string()))? {
            Answer::Event(event) => Ok(Some(EventUpdate::Event(event))),
            Answer::Missed(missed) => Ok(Some(EventUpdate::Missed(missed))),
            other => Err(unexpected(&self.path, &other)),
        }
    }
}

async fn ask(path: &Path, request: &Request) -> Result<Answer, AdminError> {
    let invalid_answer =
        |reason: String| AdminError::InvalidAnswer { path: path.to_owned(), reason };
    let mut stream = send(path, request).await?;
    let line = match timeout(EXCHANGE_TIMEOUT, read_line(&mut stream, MAX_ANSWER)).await {
        Ok(line) => line.map_err(|error| invalid_answer(error.to_string()))?,
        Err(_) => {
            return Err(invalid_answer(format!(
                "none came within {} s",
                EXCHANGE_TIMEOUT.as_secs()
            )));
        }
    };
    serde_json::from_slice(&line).map_err(|error| invalid_answer(error.to_string()))
}

async fn send(path: &Path, request: &Request) -> Result<UnixStream, AdminError> {
    let unreachable = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => {
            AdminError::PermissionDenied { path: path.to_owned(), source }
        }
        _ => AdminError::NotRunning { path: path.to_owned(), source },
    };
    let invalid_answer = |error: io::Error| AdminError::InvalidAnswer {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut stream = UnixStream::connect(path).await.map_err(unreachable)?;
    let mut line = serde_json::to_vec(request).map_err(|error| invalid_answer(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(invalid_answer)?;
    Ok(stream)
}

fn unexpected(path: &Path, answer: &Answer) -> AdminError {
    match answer {
        Answer::Refused(reason) => AdminError::Refused(reason.clone()),
        Answer::Error(reason) => {
            AdminError::InvalidAnswer { path: path.to_owned(), reason: reason.clone() }
        }
        _ => AdminError::InvalidAnswer {
            path: path.to_owned(),
            reason: "it is the answer to another request".to_owned(),
        },
    }
}
