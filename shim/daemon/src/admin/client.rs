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
use super::qlog::QlogAnswer;
use crate::report::{Detail, Report};
use crate::unix_socket;

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
pub struct EventReader(AnswerLines);

/// Reads answers of which there is more than one.
#[derive(Debug)]
struct AnswerLines {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    line: Vec<u8>,
}

impl AnswerLines {
    fn new(stream: UnixStream, path: &Path) -> Self {
        Self { stream: BufReader::new(stream), path: path.to_owned(), line: Vec::new() }
    }

    /// Returns the next answer; `None` at the end, which may be in the midst of a line where the daemon ends or is
    /// taken over. Cancel-safe.
    async fn next(&mut self) -> Result<Option<Answer>, AdminError> {
        // The part that a cancelled call has read stays in `line`.
        let limit = MAX_ANSWER.saturating_sub(self.line.len() as u64);
        let read = (&mut self.stream).take(limit).read_until(b'\n', &mut self.line).await;
        read.map_err(|error| self.invalid(error))?;
        let line = std::mem::take(&mut self.line);
        if !line.ends_with(b"\n") && (line.len() as u64) < MAX_ANSWER {
            return Ok(None);
        }
        serde_json::from_slice(&line).map(Some).map_err(|error| self.invalid(error))
    }

    fn invalid(&self, reason: impl std::fmt::Display) -> AdminError {
        AdminError::InvalidAnswer { path: self.path.clone(), reason: reason.to_string() }
    }
}

/// Asks the daemon for its recent events, and with `follow` for new ones.
///
/// # Errors
/// No daemon answers there.
pub async fn events(path: &Path, follow: bool) -> Result<EventReader, AdminError> {
    let stream = send(path, &Request::Events { follow }).await?;
    Ok(EventReader(AnswerLines::new(stream, path)))
}

impl EventReader {
    /// Returns the next update; `None` after the last event, or (following) at the daemon's end.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The daemon refuses, or its answer is invalid.
    pub async fn next(&mut self) -> Result<Option<EventUpdate>, AdminError> {
        match self.0.next().await? {
            Some(Answer::Event(event)) => Ok(Some(EventUpdate::Event(event))),
            Some(Answer::Missed(missed)) => Ok(Some(EventUpdate::Missed(missed))),
            Some(other) => Err(unexpected(&self.0.path, &other)),
            None => Ok(None),
        }
    }
}

/// Reads the qlog of a daemon's lanes.
#[derive(Debug)]
pub struct QlogAnswers(AnswerLines);

/// Asks the daemon for the qlog of lanes to a peer, over the uplink of this name or any, for a time from now on. It
/// ends when what is returned is dropped.
///
/// # Errors
/// No daemon answers there, or it refuses.
pub async fn qlog(
    path: &Path,
    peer: &str,
    uplink: Option<&str>,
    length: Duration,
) -> Result<QlogAnswers, AdminError> {
    let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let (peer, uplink) = (peer.to_owned(), uplink.map(str::to_owned));
    let stream = send(path, &Request::Qlog { peer, uplink, millis }).await?;
    let mut answers = AnswerLines::new(stream, path);
    let first = timeout(EXCHANGE_TIMEOUT, answers.next()).await;
    match first.unwrap_or_else(|_| Err(answers.invalid("none came in time")))? {
        Some(Answer::QlogBegun) => Ok(QlogAnswers(answers)),
        Some(other) => Err(unexpected(path, &other)),
        None => Err(answers.invalid("it is empty")),
    }
}

impl QlogAnswers {
    /// Returns the next part; `None` when the time is over, or the daemon has ended.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The daemon's answer is invalid.
    pub async fn next(&mut self) -> Result<Option<QlogAnswer>, AdminError> {
        match self.0.next().await? {
            Some(Answer::Qlog(part)) => Ok(Some(*part)),
            Some(other) => Err(unexpected(&self.0.path, &other)),
            None => Ok(None),
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
    let unreachable = |source| AdminError::unreachable(path, source);
    let invalid_answer = |error: io::Error| AdminError::InvalidAnswer {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut stream = unix_socket::connect(path, EXCHANGE_TIMEOUT).await.map_err(unreachable)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_the_end_of_those_of_which_there_are_more() {
        let (mut daemon, client) = UnixStream::pair().unwrap();
        let mut answers = AnswerLines::new(client, Path::new("test.sock"));
        let line = serde_json::to_vec(&Answer::Missed(7)).unwrap();
        daemon.write_all(&[&line[..], b"\n", &line[..3]].concat()).await.unwrap();
        drop(daemon);
        assert!(matches!(answers.next().await, Ok(Some(Answer::Missed(7)))));
        assert!(matches!(answers.next().await, Ok(None)));
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_an_error() {
        let (mut daemon, client) = UnixStream::pair().unwrap();
        daemon.write_all(b"nonsense\n").await.unwrap();
        let mut answers = AnswerLines::new(client, Path::new("test.sock"));
        assert!(matches!(answers.next().await, Err(AdminError::InvalidAnswer { .. })));
    }
}
