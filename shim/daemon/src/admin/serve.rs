//! The daemon's end of the admin socket: reads requests and answers them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::event::EventReport;
use super::protocol::{
    Answer, CutAnswer, DRILL, EXCHANGE_TIMEOUT, MAX_CONNECTIONS, MAX_REQUEST, ReloadAnswer,
    ReloadRequest, Request, UplinkAnswer, UplinkChange, read_line, write_line,
};
use super::qlog_sender::QlogSender;
use super::socket::AdminSocket;
use super::uplinks::{TAKEN_OVER, change};
use crate::handover::Giver;
use crate::places::{Place, Places};
use crate::proxy::tasks::Tasks;
use crate::report::{Detail, ReportSource};
use throughline::{Drain, Events, Followed, Node, UnknownUplink};

/// Concurrent followers of events, and readers of qlogs.
///
/// They stay, so they do not count as connections: a forgotten `events --follow` must not keep
/// `status` out.
const MAX_FOLLOWERS: usize = 16;

/// Pause after a failed accept, which would otherwise make the loop spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Answers the requests about a node.
struct Service {
    node: Node,
    report: ReportSource,
    reload: ReloadRequest,
    followers: Arc<Semaphore>,
    giver: Giver,
    tasks: Tasks,
    /// Held while it is looked whether an uplink may be cut off: another one may be, in the same moment.
    cutting: tokio::sync::Mutex<()>,
}

/// What remains to do after an answer.
enum Next {
    Done,
    Follow(Events, OwnedSemaphorePermit),
    SendQlog(Box<QlogSender>, OwnedSemaphorePermit),
    HandOver { formats: Vec<u64> },
}

impl AdminSocket {
    /// Answers requests about `node`, whose status `report` returns, and passes requests to reload on, until the
    /// tasks are draining; one to take the daemon over is left to `giver`.
    pub async fn serve(
        self,
        node: Node,
        report: ReportSource,
        reload: ReloadRequest,
        giver: Giver,
        tasks: Tasks,
    ) {
        let places = Places::new(MAX_CONNECTIONS);
        let followers = Arc::new(Semaphore::new(MAX_FOLLOWERS));
        let tasks_of_service = tasks.clone();
        let service = Arc::new(Service {
            node,
            report,
            reload,
            followers,
            giver,
            tasks: tasks_of_service,
            cutting: tokio::sync::Mutex::default(),
        });
        loop {
            let accepted = tokio::select! {
                biased;
                // Whoever asks now asks the successor, which reads the same socket; the file is that one's.
                () = service.giver.is_giving() => std::future::pending().await,
                accepted = self.listener.accept() => accepted,
                () = tasks.draining() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let place = tokio::select! {
                        place = places.take() => place,
                        () = tasks.draining() => return,
                    };
                    let service = Arc::clone(&service);
                    tasks.spawn(async move {
                        if let Err(error) = service.connection(stream, place).await {
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
    async fn connection(&self, mut stream: UnixStream, place: Place) -> io::Result<()> {
        let lost = place.lost();
        let exchange = tokio::select! {
            biased;
            () = lost.cancelled() => return Err(lost_place()),
            exchange = timeout(EXCHANGE_TIMEOUT, self.exchange(&mut stream, &place)) => exchange,
        };
        drop(place);
        match exchange {
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the request was not complete in time"))
            }
            Ok(Err(error)) => Err(error),
            Ok(Ok(Next::Done)) => Ok(()),
            Ok(Ok(Next::Follow(events, _permit))) => self.follow(stream, events).await,
            Ok(Ok(Next::SendQlog(sender, _permit))) => tokio::select! {
                sent = sender.send(stream) => sent,
                () = self.tasks.draining() => Ok(()),
            },
            Ok(Ok(Next::HandOver { formats })) => {
                self.giver.give(stream, formats, &self.tasks).await;
                Ok(())
            }
        }
    }

    async fn exchange(&self, stream: &mut UnixStream, place: &Place) -> io::Result<Next> {
        let line = read_line(&mut *stream, MAX_REQUEST).await?;
        let request = serde_json::from_slice(&line);
        if request.as_ref().is_ok_and(takes_time) && !place.keep() {
            return Err(lost_place());
        }
        let answer = match request {
            _ if line.len() as u64 > MAX_REQUEST => {
                Answer::Error(format!("the request is longer than {MAX_REQUEST} bytes"))
            }
            Ok(Request::Events { follow }) => return self.events(stream, follow).await,
            Ok(Request::Qlog { peer, uplink, millis }) => {
                let length = Duration::from_millis(millis);
                return self.qlog(stream, (&peer, uplink.as_deref()), length).await;
            }
            Ok(Request::TakeOver { formats }) => return Ok(Next::HandOver { formats }),
            Ok(Request::Status { flows }) => {
                let detail = if flows { Detail::Flows } else { Detail::Lanes };
                Answer::Status(Box::new((self.report)(detail)))
            }
            Ok(Request::Reload { dry_run }) => match (self.reload)(dry_run).await {
                Ok(changes) => Answer::Reload(ReloadAnswer { dry_run, changes }),
                Err(reason) => Answer::Refused(reason),
            },
            Ok(Request::DrainUplink { uplink }) => {
                let drained = change(&self.node, &uplink, UplinkChange::Drain).await;
                self.uplink_answer(&drained)
            }
            Ok(Request::ResumeUplink { uplink }) => {
                let resumed = change(&self.node, &uplink, UplinkChange::Resume).await;
                self.uplink_answer(&resumed)
            }
            Ok(Request::CutUplink { uplink, millis, force }) => self
                .cut(uplink, millis, force, &who(stream))
                .await
                .map_or_else(Answer::Refused, Answer::Cut),
            Err(error) => Answer::Error(format!(
                "not a valid request: {error}; write one like {{\"command\":\"status\"}}"
            )),
        };
        write_line(stream, &answer).await?;
        stream.shutdown().await?;
        Ok(Next::Done)
    }

    /// Cuts an uplink off for a drill; says why not as a phrase.
    async fn cut(
        &self,
        uplink: String,
        millis: u64,
        force: bool,
        asked_by: &str,
    ) -> Result<CutAnswer, String> {
        let length = Duration::from_millis(millis);
        if !DRILL.contains(&length) {
            return Err("a drill lasts between 100 ms and 60 s".to_owned());
        }
        let _cutting = self.cutting.lock().await;
        // Whether the others answer is to be known, not remembered.
        self.node.probe_lanes().await;
        let stand_still = self.node.peers_only_over(&uplink);
        if !force && !stand_still.is_empty() {
            return Err(format!(
                "no lane over another uplink answers to {}, so flows would stand still; nothing was cut, and --force \
                 does it all the same",
                stand_still.join(", ")
            ));
        }
        self.node.cut_uplink(&uplink, length, asked_by).map_err(|error| error.to_string())?;
        Ok(CutAnswer { uplink, millis })
    }

    /// Answers what came of a change to an uplink. While another process takes over it may not have learned it.
    fn uplink_answer(&self, changed: &Result<Drain, UnknownUplink>) -> Answer {
        match changed {
            _ if self.giver.is_under_way() => Answer::Refused(TAKEN_OVER.to_owned()),
            Ok(drain) => Answer::Uplink(UplinkAnswer::from(drain)),
            Err(error) => Answer::Refused(error.to_string()),
        }
    }

    /// Writes the recent events. A follower gets new ones afterwards, without a deadline.
    async fn events(&self, stream: &mut UnixStream, follow: bool) -> io::Result<Next> {
        let permit = match (follow, self.followers.clone().try_acquire_owned()) {
            (false, _) => None,
            (true, Ok(permit)) => Some(permit),
            (true, Err(_)) => return refuse(stream, too_many_followers()).await,
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

    /// Begins to log lanes: those to a peer, over one uplink or any.
    async fn qlog(
        &self,
        stream: &mut UnixStream,
        (peer, uplink): (&str, Option<&str>),
        length: Duration,
    ) -> io::Result<Next> {
        if self.giver.is_under_way() {
            return refuse(stream, TAKEN_OVER.to_owned()).await;
        }
        let Ok(permit) = self.followers.clone().try_acquire_owned() else {
            return refuse(stream, too_many_followers()).await;
        };
        match QlogSender::begin(&self.node, peer, uplink, length) {
            Ok(sender) => {
                info!(
                    peer,
                    uplink,
                    "lanes are replaced and their qlog is written for {length:?}, asked by {}",
                    who(stream)
                );
                write_line(stream, &Answer::QlogBegun).await?;
                Ok(Next::SendQlog(Box::new(sender), permit))
            }
            Err(reason) => refuse(stream, reason).await,
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

/// Returns whether a request has the daemon do something that may take a while. Its client is not silent, and has a
/// short answer.
fn takes_time(request: &Request) -> bool {
    match request {
        Request::Reload { .. }
        | Request::DrainUplink { .. }
        | Request::ResumeUplink { .. }
        | Request::CutUplink { .. } => true,
        Request::Status { .. }
        | Request::Events { .. }
        | Request::Qlog { .. }
        | Request::TakeOver { .. } => false,
    }
}

fn lost_place() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "another client came while this one was silent")
}

/// Says why another follower is refused.
fn too_many_followers() -> String {
    format!("{MAX_FOLLOWERS} other clients follow events already, or read qlogs; end one of them")
}

/// Answers why a request is refused.
async fn refuse(stream: &mut UnixStream, reason: String) -> io::Result<Next> {
    write_line(stream, &Answer::Refused(reason)).await?;
    stream.shutdown().await?;
    Ok(Next::Done)
}

/// Returns who is at the other end, for people.
fn who(stream: &UnixStream) -> String {
    match stream.peer_cred() {
        Ok(credentials) => format!("user {}", credentials.uid()),
        Err(_) => "an unknown user".to_owned(),
    }
}
