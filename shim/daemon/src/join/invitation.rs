//! The server's side: who has the ticket becomes a peer.

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::companion::Companion;
use super::exchange::{self, Answer, DRILL, ExchangeError, Request, join_of};
use super::file::{self, EditError, Lock, Section};
use super::ticket::Ticket;
use crate::config::Config;
use crate::report::Report;
use crate::shell;
use throughline::{Locator, PeerId};

/// Connections to the meeting at once, and how long each may take to say what it wants: programs of this host can
/// connect too, and keep nobody out for long.
const MAX_CONNECTIONS: usize = 16;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a site that has joined may take to begin its drill, and the drill to end.
const DRILL_TIMEOUT: Duration = Duration::from_secs(180);

/// How long a site that is welcome may take to hear so.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What an invitation is about.
pub(crate) struct Terms {
    /// The server's configuration, and its key and name.
    pub(crate) file: PathBuf,
    pub(crate) server: PeerId,
    pub(crate) server_name: String,
    /// Where it is dialed.
    pub(crate) locators: Vec<Locator>,
    /// The name of the site, and what it may reach through the server.
    pub(crate) site_name: String,
    pub(crate) allow: Vec<String>,
    /// How long it counts.
    pub(crate) length: Duration,
    /// Tells whoever invites what happens.
    pub(crate) notice: fn(&str),
}

/// An invitation that is in the configuration.
pub(crate) struct Invitation {
    terms: Terms,
    ticket: Ticket,
    listener: Arc<TcpListener>,
    /// What is in the configuration of it. The lock is a leaf.
    section: Mutex<Section>,
    /// Who has joined. The lock is a leaf.
    joined: Mutex<Option<PeerId>>,
    _lock: Lock,
}

/// What came of an invitation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The site is a peer by this key; whether its drill came to its end.
    Joined {
        /// Its public key.
        key: PeerId,
        /// Whether it tried a flow, or said that there is nothing to try.
        tried: bool,
    },
    /// Nobody came in time.
    Expired,
}

/// What somebody wants who has connected.
type Visit = (Request, TcpStream);

impl Invitation {
    /// Puts the one-time key into the configuration.
    pub(crate) async fn open(terms: Terms, daemon: &Companion, lock: Lock) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|error| format!("no port of loopback is free: {error}"))?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let ticket = Ticket {
            server: terms.server,
            seed: rand::random(),
            port,
            expires: Ticket::expires_after(terms.length),
            server_name: terms.server_name.clone(),
            site_name: terms.site_name.clone(),
            locators: terms.locators.clone(),
        };
        let allow = vec![format!("127.0.0.1:{port}")];
        let (name, key) = (terms.site_name.clone(), ticket.identity().peer_id());
        let section = Mutex::new(Section { name, key, once: None, allow, joined: false });
        let (listener, joined) = (Arc::new(listener), Mutex::default());
        let this = Self { terms, ticket, listener, section, joined, _lock: lock };
        let added = this.section.lock().clone();
        this.write(daemon, |text| Ok(added.appended_to(text)), |text| added.replaced(text, None))
            .await?;
        Ok(this)
    }

    /// Returns what the site is to be given.
    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Waits until the site has joined and tried a flow, or time is over, or `stop` completes. What remains of it is to
    /// be [closed](Self::close).
    pub(crate) async fn wait(&self, daemon: &Companion, stop: impl Future<Output = ()>) -> Outcome {
        let (visits, mut coming) = mpsc::channel(MAX_CONNECTIONS);
        let mut serving = JoinSet::new();
        serving.spawn(serve(self.listener.clone(), visits));
        let mut stop = pin!(stop);
        // Only who waits for somebody stops: who has begun to let somebody in comes to its end.
        let over = async {
            tokio::select! { () = sleep(self.terms.length) => {}, () = stop.as_mut() => {} }
        };
        let Some(key) = self.first(&mut coming, daemon, over).await else {
            return Outcome::Expired;
        };
        let tried = tokio::select! {
            () = self.drill(&mut coming) => true,
            () = stop => false,
            () = sleep(DRILL_TIMEOUT) => false,
        };
        // The site has the end of it only then; what is not permitted any more would be reset.
        let _ = timeout(CLOSE_TIMEOUT, self.wait_for_the_flows_end(daemon)).await;
        Outcome::Joined { key, tried }
    }

    /// Has the configuration say what came of it, and no more. A daemon that does not take it over finds it there.
    pub(crate) async fn close(&self, daemon: &Companion) -> Result<(), String> {
        let (section, joined) = (self.section.lock().clone(), *self.joined.lock());
        let done = joined.map(|key| Section {
            key,
            once: None,
            allow: self.terms.allow.clone(),
            ..section.clone()
        });
        let edit = |text: &str| section.replaced(text, done.as_ref().map(|done| (done, true)));
        let text = self.read()?;
        let text = edit(&text).map_err(|error| self.failed(&error))?;
        file::replace(&self.terms.file, &text).map_err(|error| self.failed(&error))?;
        daemon.reload().await.map_err(|error| {
            format!(
                "{} is right, but the daemon has not read it ({error}); run `throughline reload -c {}`",
                self.terms.file.display(),
                shell::path(&self.terms.file)
            )
        })
    }

    /// Returns the key of the first who has the ticket and becomes a peer; none where it is over before.
    async fn first(
        &self,
        coming: &mut mpsc::Receiver<Visit>,
        daemon: &Companion,
        over: impl Future<Output = ()>,
    ) -> Option<PeerId> {
        let mut over = pin!(over);
        loop {
            let (request, mut stream) = tokio::select! {
                visit = coming.recv() => visit?,
                () = over.as_mut() => return None,
            };
            let admitted = match &request {
                Request::Join { key, proof } => self.admit(key, proof, daemon).await,
                Request::Drill { .. } => Err("nobody has joined yet".to_owned()),
            };
            let is_admitted = admitted.is_ok();
            let key = *self.joined.lock();
            let heard = self.answer(&mut stream, admitted).await;
            let Some(key) = key.filter(|_| is_admitted) else { continue };
            if heard.is_ok() {
                // It needs the one-time key no more when it has heard that.
                let _ =
                    timeout(CLOSE_TIMEOUT, tokio::io::copy(&mut stream, &mut tokio::io::sink()))
                        .await;
            }
            // From now on nobody has a use for the one-time key.
            let mut allow = self.terms.allow.clone();
            allow.push(self.meeting());
            if let Err(error) = self.rename(key, None, allow, daemon).await {
                (self.terms.notice)(&format!(
                    "The one-time key is in use until this ends: {error}"
                ));
            }
            (self.terms.notice)(&format!(
                "{} has joined, by the key {key}. It tries a flow now.",
                self.terms.site_name
            ));
            return Some(key);
        }
    }

    /// Lets a key be the site's. It may reach no more than before, until the one-time key is out of use.
    async fn admit(&self, key: &str, proof: &str, daemon: &Companion) -> Result<(), String> {
        let key: PeerId = key.parse().map_err(|_| "this is no key".to_owned())?;
        if !self.ticket.is_proof(&join_of(&key), proof) {
            return Err("that is not by the ticket that was given".to_owned());
        }
        let once = self.ticket.identity().peer_id();
        if let Err(error) = self.rename(key, Some(once), vec![self.meeting()], daemon).await {
            // What is wrong with the configuration is nothing for the other host.
            (self.terms.notice)(&format!("A site with the ticket could not be let in: {error}"));
            return Err("the server cannot let this host in; its terminal says why".to_owned());
        }
        *self.joined.lock() = Some(key);
        Ok(())
    }

    /// Has the site known by this key.
    async fn rename(
        &self,
        key: PeerId,
        once: Option<PeerId>,
        allow: Vec<String>,
        daemon: &Companion,
    ) -> Result<(), String> {
        let before = self.section.lock().clone();
        let after = Section { key, once, allow, joined: true, ..before.clone() };
        let there = |text: &str| before.replaced(text, Some((&after, false)));
        let back = |text: &str| after.replaced(text, Some((&before, false)));
        self.write(daemon, there, back).await?;
        *self.section.lock() = after;
        Ok(())
    }

    /// Sends back what the site sends, until it ends that.
    async fn drill(&self, coming: &mut mpsc::Receiver<Visit>) {
        while let Some((request, mut stream)) = coming.recv().await {
            let admitted =
                match &request {
                    Request::Drill { proof } if self.ticket.is_proof(DRILL, proof) => Ok(()),
                    _ => Err("somebody has joined by this ticket already; ask for another one"
                        .to_owned()),
                };
            let is_welcome = admitted.is_ok();
            if self.answer(&mut stream, admitted).await.is_ok()
                && is_welcome
                && echo(stream).await.is_ok()
            {
                return;
            }
        }
    }

    /// Says who is welcome, and who is not.
    async fn answer(
        &self,
        stream: &mut TcpStream,
        admitted: Result<(), String>,
    ) -> Result<(), ExchangeError> {
        let answer = match admitted {
            Ok(()) => Answer::Welcome { allow: self.terms.allow.clone() },
            Err(reason) => Answer::Refused(reason),
        };
        exchange::write(stream, &answer).await
    }

    /// Waits until no flow leads to the meeting any more.
    async fn wait_for_the_flows_end(&self, daemon: &Companion) {
        let meeting = self.meeting();
        let is_live = |report: Report| {
            let sessions = report.peers.iter().flat_map(|peer| &peer.sessions);
            sessions.flat_map(|session| &session.flows).any(|flow| flow.target == meeting)
        };
        while daemon.report().await.is_ok_and(is_live) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns where the site finds us on this host.
    fn meeting(&self) -> String {
        format!("127.0.0.1:{}", self.ticket.port)
    }

    /// Changes the configuration, and has the daemon take it over; where it does not, the change is undone.
    async fn write(
        &self,
        daemon: &Companion,
        there: impl Fn(&str) -> Result<String, EditError>,
        back: impl Fn(&str) -> Result<String, EditError>,
    ) -> Result<(), String> {
        let file = &self.terms.file;
        let text = there(&self.read()?).map_err(|error| self.failed(&error))?;
        Config::parse(file, &text).map_err(|error| error.to_string())?;
        file::replace(file, &text).map_err(|error| self.failed(&error))?;
        let Err(error) = daemon.reload().await else { return Ok(()) };
        // Somebody may have changed it in the meantime.
        let undone = self.read().and_then(|text| back(&text).map_err(|error| self.failed(&error)));
        let undone =
            undone.and_then(|text| file::replace(file, &text).map_err(|error| self.failed(&error)));
        Err(match undone {
            Ok(()) => error,
            Err(undoing) => format!("{error}; and {undoing}"),
        })
    }

    fn read(&self) -> Result<String, String> {
        std::fs::read_to_string(&self.terms.file).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> String {
        format!("{}: {error}", self.terms.file.display())
    }
}

/// Reads what each who connects wants.
async fn serve(listener: Arc<TcpListener>, visits: mpsc::Sender<Visit>) {
    let (places, mut tasks) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), JoinSet::new());
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // Out of descriptors, for a moment.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        while tasks.try_join_next().is_some() {}
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let visits = visits.clone();
        tasks.spawn(async move {
            if let Ok(Ok(request)) = timeout(REQUEST_TIMEOUT, exchange::read(&mut stream)).await {
                let _ = visits.send((request, stream)).await;
            }
            drop(place);
        });
    }
}

/// Sends everything back, until it ends in order.
async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut from, mut to) = stream.split();
    let copied = timeout(DRILL_TIMEOUT, tokio::io::copy(&mut from, &mut to)).await;
    copied.map_err(std::io::Error::from)??;
    to.shutdown().await
}
