//! The daemon's end of the admin socket: reads a request, answers it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{
    AdminSocket, Answer, EXCHANGE_TIMEOUT, EventReport, MAX_CONNECTIONS, MAX_REQUEST, Request,
    UplinkAnswer, read_line,
};
use crate::proxy::tasks::Tasks;
use crate::report::Report;
use throughline::Node;
use throughline::{Events, Followed};

/// Followers of events at a time. They stay, so they are not counted among the connections: a
/// forgotten `events --follow` must not keep `status` out.
const MAX_FOLLOWERS: usize = 16;

/// The rest after a failed accept.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What answers need.
struct Service {
    node: Node,
    connections: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    tasks: Tasks,
}

/// Whether anything follows an answer.
enum Next {
    Done,
    Follow(Events, OwnedSemaphorePermit),
}

impl AdminSocket {
    /// Answers questions about `node` until the tasks are drained.
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
                    sleep(ACCEPT_RETRY).await;
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
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no whole request in time")),
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
            Ok(request) => self.answer(&request),
            Err(error) => {
                Answer::Error(format!("not a request, write {{\"command\":\"status\"}}: {error}"))
            }
        };
        write_line(stream, &answer).await?;
        stream.shutdown().await?;
        Ok(Next::Done)
    }

    fn answer(&self, request: &Request) -> Answer {
        let drained = match request {
            Request::Status | Request::Events { .. } => {
                return Answer::Status(Box::new(Report::from(&self.node.status())));
            }
            Request::DrainUplink { uplink } => self.node.drain_uplink(uplink),
            Request::ResumeUplink { uplink } => self.node.resume_uplink(uplink),
        };
        match drained {
            Ok(drain) => Answer::Uplink(UplinkAnswer::from(&drain)),
            Err(error) => Answer::Refused(error.to_string()),
        }
    }

    /// Writes what is kept; whoever wants to follow does so afterwards, without a deadline.
    async fn events(&self, stream: &mut UnixStream, follow: bool) -> io::Result<Next> {
        let permit = match (follow, self.followers.clone().try_acquire_owned()) {
            (false, _) => None,
            (true, Ok(permit)) => Some(permit),
            (true, Err(_)) => {
                let why = format!("{MAX_FOLLOWERS} others follow events already");
                write_line(stream, &Answer::Refused(why)).await?;
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

    /// Writes events as they come, until the follower goes or the daemon does. A follower that
    /// does not read keeps nothing waiting: it misses events, and is told how many.
    async fn follow(&self, stream: UnixStream, mut events: Events) -> io::Result<()> {
        let (mut read, mut write) = stream.into_split();
        // It has said all it had to say; what comes now is its end.
        let mut scratch = [0];
        let gone = tokio::io::AsyncReadExt::read(&mut read, &mut scratch);
        let tell = async {
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
            told = tell => told,
            _ = gone => Ok(()),
            () = self.tasks.draining() => Ok(()),
        }
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
