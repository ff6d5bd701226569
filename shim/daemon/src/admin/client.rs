//! The other end of the admin socket: what the command line asks.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{
    AdminError, Answer, EXCHANGE_TIMEOUT, EventReport, MAX_ANSWER, Request, UplinkAnswer, read_line,
};
use crate::report::Report;

/// Asks the daemon behind the socket at `path` for its state.
///
/// # Errors
/// No daemon answers there, or not as expected.
pub async fn status(path: &Path) -> Result<Report, AdminError> {
    match ask(path, &Request::Status).await? {
        Answer::Status(report) => Ok(*report),
        other => Err(unexpected(path, &other)),
    }
}

/// Has the daemon drain an uplink, or use it again.
///
/// # Errors
/// No daemon answers there, or it knows no such uplink.
pub async fn drain(path: &Path, uplink: &str, drain: bool) -> Result<UplinkAnswer, AdminError> {
    let uplink = uplink.to_owned();
    let request = match drain {
        true => Request::DrainUplink { uplink },
        false => Request::ResumeUplink { uplink },
    };
    match ask(path, &request).await? {
        Answer::Uplink(answer) => Ok(answer),
        other => Err(unexpected(path, &other)),
    }
}

/// What a daemon tells of its events.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// An event.
    Event(Box<EventReport>),
    /// We were slow, and so many events passed us by.
    Missed(u64),
}

/// Events as a daemon tells them, those of the past first.
#[derive(Debug)]
pub struct EventReader {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    line: Vec<u8>,
}

/// Asks the daemon for the events it keeps, and with `follow` for those to come.
///
/// # Errors
/// No daemon answers there.
pub async fn events(path: &Path, follow: bool) -> Result<EventReader, AdminError> {
    let stream = send(path, &Request::Events { follow }).await?;
    Ok(EventReader { stream: BufReader::new(stream), path: path.to_owned(), line: Vec::new() })
}

impl EventReader {
    /// The next; `None` after the last one kept, or (following) when the daemon has ended.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The daemon refuses, or says something else.
    pub async fn next(&mut self) -> Result<Option<Told>, AdminError> {
        let no_answer = |reason: String| AdminError::NoAnswer { path: self.path.clone(), reason };
        // Whatever a cancelled call has read stays in `line`.
        let limit = MAX_ANSWER.saturating_sub(self.line.len() as u64);
        let read = (&mut self.stream).take(limit).read_until(b'\n', &mut self.line).await;
        read.map_err(|error| no_answer(error.to_string()))?;
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(&line).map_err(|error| no_answer(error.to_string()))? {
            Answer::Event(event) => Ok(Some(Told::Event(event))),
            Answer::Missed(missed) => Ok(Some(Told::Missed(missed))),
            other => Err(unexpected(&self.path, &other)),
        }
    }
}

async fn ask(path: &Path, request: &Request) -> Result<Answer, AdminError> {
    let no_answer = |reason: String| AdminError::NoAnswer { path: path.to_owned(), reason };
    let mut stream = send(path, request).await?;
    let line = match timeout(EXCHANGE_TIMEOUT, read_line(&mut stream, MAX_ANSWER)).await {
        Ok(line) => line.map_err(|error| no_answer(error.to_string()))?,
        Err(_) => return Err(no_answer(format!("none within {} s", EXCHANGE_TIMEOUT.as_secs()))),
    };
    serde_json::from_slice(&line).map_err(|error| no_answer(error.to_string()))
}

async fn send(path: &Path, request: &Request) -> Result<UnixStream, AdminError> {
    let unreachable = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => AdminError::Denied { path: path.to_owned(), source },
        _ => AdminError::NotRunning { path: path.to_owned(), source },
    };
    let no_answer = |error: io::Error| AdminError::NoAnswer {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut stream = UnixStream::connect(path).await.map_err(unreachable)?;
    let mut line = serde_json::to_vec(request).map_err(|error| no_answer(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(no_answer)?;
    Ok(stream)
}

fn unexpected(path: &Path, answer: &Answer) -> AdminError {
    match answer {
        Answer::Refused(reason) => AdminError::Refused(reason.clone()),
        Answer::Error(reason) => {
            AdminError::NoAnswer { path: path.to_owned(), reason: reason.clone() }
        }
        _ => AdminError::NoAnswer { path: path.to_owned(), reason: "another answer".to_owned() },
    }
}
