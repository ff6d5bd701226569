//! The server's side: who has the ticket becomes a peer.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::companion::Companion;
use super::exchange::{self, Answer, DRILL, ExchangeError, Request, join_of};
use super::file;
use super::ticket::Ticket;
use crate::config::Config;
use crate::report::Report;
use throughline::{Locator, PeerId};

/// Connections to the meeting at once: programs of this host can connect too, and keep nobody out for long.
const MAX_CONNECTIONS: usize = 16;

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
}

/// An invitation that is in the configuration.
pub(crate) struct Invitation {
    terms: Terms,
    ticket: Ticket,
    listener: TcpListener,
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
    pub(crate) async fn open(terms: Terms, daemon: &Companion) -> Result<Self, String> {
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
        let this = Self { terms, ticket, listener };
        let (key, meeting) = (this.ticket.identity().peer_id(), this.meeting());
        this.check()?;
        let name = this.terms.site_name.clone();
        this.change(daemon, |text| file::invite(text, &name, &key, &meeting)).await?;
        Ok(this)
    }

    /// Checks that the configuration will be right with the site in it.
    fn check(&self) -> Result<(), String> {
        let Terms { file, site_name, allow, .. } = &self.terms;
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let key = self.ticket.identity().peer_id();
        let text = file::invite(&text, site_name, &key, &self.meeting())
            .and_then(|text| file::admit(&text, site_name, &key, None, allow))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Config::parse(file, &text).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Returns what the site is to be given.
    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Waits until the site has joined and tried a flow, or time is over. What remains of it is to be
    /// [closed](Self::close).
    pub(crate) async fn wait(&self, daemon: &Companion) -> Outcome {
        let (visits, mut coming) = mpsc::channel(MAX_CONNECTIONS);
        let serve = self.serve(visits);
        tokio::pin!(serve);
        let site = tokio::select! {
            joined = self.first(&mut coming, daemon) => joined,
            () = &mut serve => None,
            () = sleep(self.terms.length) => None,
        };
        let Some(key) = site else { return Outcome::Expired };
        let tried = tokio::select! {
            () = self.drill(&mut coming) => true,
            () = &mut serve => false,
            () = sleep(DRILL_TIMEOUT) => false,
        };
        // The site has the end of it only then; what is not permitted any more would be reset.
        let _ = timeout(CLOSE_TIMEOUT, self.wait_for_the_flows_end(daemon)).await;
        Outcome::Joined { key, tried }
    }

    /// Has the configuration say what came of it, and no more.
    pub(crate) async fn close(&self, daemon: &Companion, outcome: &Outcome) -> Result<(), String> {
        let name = &self.terms.site_name;
        self.change(daemon, |text| match outcome {
            Outcome::Joined { key, .. } => file::admit(text, name, key, None, &self.terms.allow),
            Outcome::Expired => file::withdraw(text, name),
        })
        .await
    }

    /// Reads what each who connects wants.
    async fn serve(&self, visits: mpsc::Sender<Visit>) {
        let (places, mut tasks) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), JoinSet::new());
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else {
                // Out of descriptors, for a moment.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            while tasks.try_join_next().is_some() {}
            let Ok(place) = places.clone().try_acquire_owned() else { continue };
            let visits = visits.clone();
            tasks.spawn(async move {
                if let Ok(request) = exchange::read(&mut stream).await {
                    let _ = visits.send((request, stream)).await;
                }
                drop(place);
            });
        }
    }

    /// Returns the key of the first who has the ticket and becomes a peer.
    async fn first(
        &self,
        coming: &mut mpsc::Receiver<Visit>,
        daemon: &Companion,
    ) -> Option<PeerId> {
        loop {
            let (request, mut stream) = coming.recv().await?;
            let admitted = match &request {
                Request::Join { key, proof } => self.admit(key, proof, daemon).await,
                Request::Drill { .. } => Err("nobody has joined yet".to_owned()),
            };
            let Ok(key) = answer(&mut stream, admitted, &self.terms.allow).await else { continue };
            // It has heard that, and needs the one-time key no more; from now on nobody has a use for it.
            let _ =
                timeout(CLOSE_TIMEOUT, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
            let _ = self.rename(&key, None, daemon).await;
            return Some(key);
        }
    }

    /// Lets a key be the site's.
    async fn admit(&self, key: &str, proof: &str, daemon: &Companion) -> Result<PeerId, String> {
        let key: PeerId = key.parse().map_err(|error| format!("this is no key: {error}"))?;
        if !self.ticket.is_proof(&join_of(&key), proof) {
            return Err("that is not by the ticket that was given".to_owned());
        }
        self.rename(&key, Some(&self.ticket.identity().peer_id()), daemon).await?;
        Ok(key)
    }

    /// Has the site known by its own key, and perhaps still by the one-time key. It may reach the meeting for its drill.
    async fn rename(
        &self,
        key: &PeerId,
        once: Option<&PeerId>,
        daemon: &Companion,
    ) -> Result<(), String> {
        let mut allow = self.terms.allow.clone();
        allow.push(self.meeting());
        let name = &self.terms.site_name;
        self.change(daemon, |text| file::admit(text, name, key, once, &allow)).await
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
            let is_welcome = answer(&mut stream, admitted, &self.terms.allow).await.is_ok();
            if is_welcome && echo(stream).await.is_ok() {
                return;
            }
        }
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

    /// Changes the configuration, and has the daemon take it over; where it does not, all is as it was.
    async fn change(
        &self,
        daemon: &Companion,
        edit: impl FnOnce(&str) -> Result<String, file::EditError>,
    ) -> Result<(), String> {
        let file = &self.terms.file;
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let before = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
        let after = edit(&before).map_err(|error| failed(&error))?;
        file::replace(file, &after).map_err(|error| failed(&error))?;
        if let Err(error) = daemon.reload().await {
            let _ = file::replace(file, &before);
            return Err(error);
        }
        Ok(())
    }
}

/// Says who is welcome, and returns it.
async fn answer<T>(
    stream: &mut TcpStream,
    admitted: Result<T, String>,
    allow: &[String],
) -> Result<T, ExchangeError> {
    match admitted {
        Ok(admitted) => {
            exchange::write(stream, &Answer::Welcome { allow: allow.to_vec() }).await?;
            Ok(admitted)
        }
        Err(reason) => {
            exchange::write(stream, &Answer::Refused(reason.clone())).await?;
            Err(ExchangeError::Refused(reason))
        }
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
