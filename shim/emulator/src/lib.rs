//! A userspace internet on loopback: ISPs with a rate, a delay, a queue, loss and blackholes.
//!
//! # Model
//!
//! An [ISP](IspHandle) has two directions, each a link of [`throughline_link`]: **up**, from its
//! customer's site into the internet, and **down**, towards the site. A link sends one packet after
//! the other at its rate, holds a bounded queue before that (tail drop), and delivers a delay later.
//! What is sent into a blackhole, or under way when it opens, is lost silently.
//!
//! A **locator** ([`Emulator::udp_locator`]) is an address that clients dial. A datagram from a
//! client goes up through the ISP that owns its source address, then down through the ISP of the
//! server's site if it has one, and reaches the server from an address of the client's ISP: a
//! client that moves to another ISP is seen at another address, as on the internet. Replies take
//! the same way back. A datagram whose source belongs to no ISP is dropped (BCP 38) and counted.
//!
//! A **TCP relay** ([`Emulator::tcp`]) carries plain TCP through the same links; see `tcp` for
//! how it stands in for TCP's own behaviour in a blackhole.
//!
//! # Life-cycle
//!
//! One OS thread does everything on a tick of half a millisecond: it drains all sockets, moves
//! what is due, sends it in batches (GRO in, GSO out), and sleeps. There is no timer per packet and
//! no wake-up per packet, so its cost hardly grows with the rate. It ends when the [`Emulator`]
//! is dropped; handles may outlive it and then do nothing.
//!
//! # What it never does
//!
//! Corrupt packets, reorder or duplicate them unless a [`Profile`] asks for it, or touch anything but
//! loopback.

mod engine;
mod ids;
mod isp;
mod links;
mod parcel;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use thiserror::Error;

pub use isp::IspHandle;
pub use throughline_link::{
    DuplexStats, LinkStats, Loss, Oversize, Profile, Queue, Rate, Tally, Way,
};

use engine::{Command, Engine};
use ids::{IspId, Site};

/// A running userspace internet. Dropping it stops it.
pub struct Emulator {
    isps: Vec<IspHandle>,
    commands: Sender<Command>,
    stop: Arc<AtomicBool>,
    unrouted: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// Collects what an [`Emulator`] needs.
#[derive(Default)]
pub struct EmulatorBuilder {
    seed: u64,
    isps: Vec<(String, Profile)>,
    sites: HashMap<IpAddr, Site>,
    unknown_isp: Option<String>,
}

/// Why an emulator or one of its relays could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// A name that no ISP has.
    #[error("there is no ISP named `{0}`; declare it with `isp` first")]
    UnknownIsp(String),
    /// An address to listen on is taken or not ours.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The thread could not be started, or has ended.
    #[error("the emulator's thread does not run: {0}")]
    Thread(io::Error),
}

impl EmulatorBuilder {
    /// Seeds the random loss; two runs with one seed lose alike.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds an ISP whose two directions both begin with `profile`.
    pub fn isp(mut self, name: impl Into<String>, profile: &Profile) -> Self {
        self.isps.push((name.into(), profile.clone()));
        self
    }

    /// Gives the client address `addr` to the ISP `isp`; servers see the client at `seen_as`.
    pub fn client(
        mut self,
        isp: &str,
        addr: impl Into<IpAddr>,
        seen_as: impl Into<IpAddr>,
    ) -> Self {
        match self.isps.iter().position(|(name, _)| name == isp) {
            Some(index) => {
                self.sites.insert(addr.into(), Site { isp: IspId(index), seen_as: seen_as.into() });
            }
            None => self.unknown_isp = Some(isp.to_owned()),
        }
        self
    }

    /// Starts the emulator's thread.
    pub fn start(self) -> Result<Emulator, EmulatorError> {
        if let Some(name) = self.unknown_isp {
            return Err(EmulatorError::UnknownIsp(name));
        }
        let isps: Vec<_> =
            self.isps.into_iter().map(|(name, profile)| IspHandle::new(name, profile)).collect();
        let (commands, inbox) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let unrouted = Arc::new(AtomicU64::new(0));
        let engine = Engine::new(
            &isps,
            self.sites,
            self.seed,
            inbox,
            Arc::clone(&stop),
            Arc::clone(&unrouted),
        );
        let thread = std::thread::Builder::new()
            .name("emulator".into())
            .spawn(move || engine.run())
            .map_err(EmulatorError::Thread)?;
        Ok(Emulator { isps, commands, stop, unrouted, thread: Some(thread) })
    }
}

impl Emulator {
    /// Begins a new emulator.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::default()
    }

    /// Returns the handle of an ISP, by its name.
    ///
    /// # Panics
    ///
    /// Where no ISP has that name: names are written in the program, not read from anywhere.
    pub fn isp(&self, name: &str) -> IspHandle {
        self.find(name).map(|id| self.isps[id.0].clone()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Opens a locator at `listen` (port 0 picks a free one) that leads to the UDP server at
    /// `server`; with `remote`, through the ISP of that name on the server's side too. Returns
    /// the address to dial.
    pub fn udp_locator(
        &self,
        listen: SocketAddr,
        server: SocketAddr,
        remote: Option<&str>,
    ) -> Result<SocketAddr, EmulatorError> {
        let remote = remote.map(|name| self.find(name)).transpose()?;
        let socket = udp::Socket::bind(listen)
            .map_err(|source| EmulatorError::Listen { addr: listen, source })?;
        let addr = socket.local_addr();
        self.command(Command::Udp { socket, server, remote })?;
        Ok(addr)
    }

    /// Opens a TCP relay at `listen` (port 0 picks a free one) that leads to the TCP server at
    /// `server` through the ISP named `isp`. Returns the address to dial.
    pub fn tcp(
        &self,
        listen: SocketAddr,
        server: SocketAddr,
        isp: &str,
    ) -> Result<SocketAddr, EmulatorError> {
        let isp = self.find(isp)?;
        let failed = |source| EmulatorError::Listen { addr: listen, source };
        let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        self.command(Command::Tcp { listener, server, isp })?;
        Ok(addr)
    }

    /// Datagrams dropped because their source address belongs to no ISP.
    pub fn unrouted(&self) -> u64 {
        self.unrouted.load(Ordering::Relaxed)
    }

    fn find(&self, name: &str) -> Result<IspId, EmulatorError> {
        let index = self.isps.iter().position(|isp| isp.name() == name);
        index.map(IspId).ok_or_else(|| EmulatorError::UnknownIsp(name.to_owned()))
    }

    fn command(&self, command: Command) -> Result<(), EmulatorError> {
        self.commands
            .send(command)
            .map_err(|_| EmulatorError::Thread(io::Error::other("it has ended")))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; there is nothing to add while dropping.
            let _ = thread.join();
        }
    }
}
