//! The daemon's end of the admin socket: reads requests and answers them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::event::EventReport;
use super::protocol::{
    Answer, EXCHANGE_TIMEOUT, MAX_CONNECTIONS, MAX_REQUEST, Request, UplinkAnswer, read_line,
};
use super::socket::AdminSocket;
use crate::proxy::tasks::Tasks;
use crate::report::Report;
use throughline::{Drain, Events, Followed, Node, UnknownUplink};

/// Concurrent followers of events.
///
/// They stay, so they do not count as connections: a forgotten `events --follow` must not keep
/// `status` out.
const MAX_FOLLOWERS: usize = 16;

/// Pause after a failed accept, which would otherwise make the loop spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Answers the requests about a node.
struct Service {
    node: Node,
    connections: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    tasks: Tasks,
}

/// What remains to do after an answer.
enum Next {
    Done,
    Follow(Events, OwnedSemaphorePermit),
}

impl AdminSocket {
    /// Answers requests about `node` until the tasks are draining.
    pub async fn serve(self, node: Node, tasks: Tasks) {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let followers = Arc::new(Semaphore::new(MAX_FOLLOWERS));
        let service = Arc::new(Service { node, connections, followers, tasks: tasks.clone() });
        loop {
            // The semaphore is never closed.
            let Ok(permit) = service.connections.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = tasks.draining() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let service = Arc::clone(&service);
                    tasks.spawn(async move {
                        if let Err(error) = service.connection(stream, permit).await {
                            debug!(%error, "an admin connection failed");
                        }
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept an admin connection");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }
}

impl Service {
    async fn connection(
        &self,
        mut stream: UnixStream,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<()> {
        let exchange = timeout(EXCHANGE_TIMEOUT, self.exchange(&mut stream)).await;
        drop(permit);
        match exchange {
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the request was not complete in time"))
            }
            Ok(Err(error)) => Err(error),
            Ok(Ok(Next::Done)) => Ok(()),
            Ok(Ok(Next::Follow(events, _permit))) => self.follow(stream, events).await,
        }
    }

    async fn exchange(&self, stream: &mut UnixStream) -> io::Result<Next> {
        let line = read_line(&mut *stream, MAX_REQUEST).await?;
        let answer = match serde_json::from_slice(&line) {
            _ if line.len() as u64 > MAX_REQUEST => {
                Answer::Error(format!("the request is longer than {MAX_REQUEST} bytes"))
            }
            Ok(Request::Events { follow }) => return self.events(stream, follow).await,
            Ok(Request::Status) => Answer::Status(Box::new(Report::from(&self.node.status()))),
            Ok(Request::DrainUplink { uplink }) => uplink_answer(&self.node.drain_uplink(&uplink)),
            Ok(Request::ResumeUplink { uplink }) => {
                uplink_answer(&self.node.resume_uplink(&uplink))
            }
            Err(error) => Answer::Error(format!(
                "not a valid request: {error}; write one like {{\"command\":\"status\"}}"
            )),
        };
        write_line(stream, &answer).await?;
        stream.shutdown().await?;
        Ok(Next::Done)
    }

    /// Writes the recent events. A follower gets new ones afterwards, without a deadline.
    async fn events(&self, stream: &mut UnixStream, follow: bool) -> io::Result<Next> {
        let permit = match (follow, self.followers.clone().try_acquire_owned()) {
            (false, _) => None,
            (true, Ok(permit)) => Some(permit),
            (true, Err(_)) => {
                let reason =
                    format!("{MAX_FOLLOWERS} other clients follow events already; end one of them");
                write_line(stream, &Answer::Refused(reason)).await?;
                stream.shutdown().await?;
                return Ok(Next::Done);
            }
        };
        let mut events = self.node.events();
        for event in std::mem::take(&mut events.recent) {
            write_line(stream, &Answer::Event(Box::new(EventReport::from(&*event)))).await?;
        }
        match permit {
            Some(permit) => Ok(Next::Follow(events, permit)),
            None => {
                stream.shutdown().await?;
                Ok(Next::Done)
            }
        }
    }

    /// Writes events as they are emitted, until the follower disconnects or the daemon ends.
    ///
    /// A slow follower delays nothing: it misses events and learns how many.
    async fn follow(&self, stream: UnixStream, mut events: Events) -> io::Result<()> {
        let (mut read, mut write) = stream.into_split();
        // A follower sends nothing more, so anything read here is its end.
        let mut scratch = [0];
        let disconnected = tokio::io::AsyncReadExt::read(&mut read, &mut scratch);
        let write_events = async {
            while let Some(followed) = events.live.next().await {
                let answer = match followed {
                    Followed::Event(event) => Answer::Event(Box::new(EventReport::from(&*event))),
                    Followed::Missed(missed) => Answer::Missed(missed),
                };
                write_line(&mut write, &answer).await?;
            }
            Ok(())
        };
        tokio::select! {
            written = write_events => written,
            _ = disconnected => Ok(()),
            () = self.tasks.draining() => Ok(()),
        }
    }
}

fn uplink_answer(changed: &Result<Drain, UnknownUplink>) -> Answer {
    match changed {
        Ok(drain) => Answer::Uplink(UplinkAnswer::from(drain)),
        Err(error) => Answer::Refused(error.to_string()),
    }
}

async fn write_line(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    answer: &Answer,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await
}
