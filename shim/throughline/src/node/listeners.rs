//! The UDP addresses that a node accepts lanes on; which they are may change while it runs.
//!
//! An address that is given up accepts no further lane, and its socket stays until the last lane on it has
//! ended: a change of addresses ends no flow. Listened on again before that, it is the same socket.
//!
//! What is bound is not read before the node [begins](Listeners::begin_to_read). A socket that another process has as
//! well ([`Inherited`]) is left unread for longer where that one [is leaving](Listeners::set_former_leaves), and all
//! are once another process [has them](Listeners::set_given).

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use parking_lot::Mutex;
use quinn::Endpoint;

use super::error::BuildError;
use crate::engine::accept;
use crate::engine::context::NodeContext;
use crate::engine::quic::endpoint::{self, ReadGate, Reception};
use crate::engine::quic::{socket, transport};
use crate::engine::restart::Announcer;
use crate::engine::sessions::Sessions;
use crate::engine::supervise::supervise;

/// What a node listens on. The lock is taken before none but the settings of a node's context, and the gates.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    all: Vec<Listening>,
    /// The node runs.
    has_begun: bool,
    /// The process that this one takes over from still closes its lanes.
    former_leaves: bool,
    /// A process that takes over from this one has the sockets.
    is_given: bool,
}

impl State {
    /// Has each socket read, or left unread, as things are.
    fn update_gates(&self) {
        for listening in &self.all {
            let is_formers = listening.is_inherited && self.former_leaves;
            listening.gate.set_shut(!self.has_begun || self.is_given || is_formers);
        }
    }
}

#[derive(Clone, Debug)]
struct Listening {
    /// The address as it was configured; for the IPv4 half of `[::]` the one that it has.
    configured: SocketAddr,
    endpoint: Endpoint,
    /// Whether the endpoint reads its socket.
    gate: ReadGate,
    /// The endpoint's socket, for a process that takes over.
    socket: Arc<UdpSocket>,
    /// Another process had the socket before.
    is_inherited: bool,
    /// Whether further lanes are accepted.
    open: bool,
    /// Whether a configuration that was prepared has it, and may yet be applied.
    claimed: bool,
}

/// Sockets that another process has bound, each with the address as it was configured there.
pub(super) type Inherited = Vec<(SocketAddr, UdpSocket)>;

/// The listeners that a node is to have: those that it keeps, and new ones, which are bound already. Dropped, it
/// gives up what it has claimed and bound.
pub(super) struct Prepared {
    listeners: Listeners,
    kept: Vec<Endpoint>,
    bound: Vec<Listening>,
    inherited: Inherited,
    /// What tells from the new sockets that another process had them.
    pub(super) announcers: Vec<Announcer>,
}

impl Listeners {
    /// Binds those of `addrs` that are not listened on and not `inherited`, and claims those that are; changes
    /// nothing yet.
    ///
    /// # Errors
    /// An address cannot be bound. None is, then.
    pub(super) fn prepare(
        &self,
        context: &NodeContext,
        addrs: &[SocketAddr],
        inherited: Inherited,
    ) -> Result<Prepared, BuildError> {
        let (kept, bound, announcers) = Default::default();
        let mut wanted = Prepared { listeners: self.clone(), kept, bound, inherited, announcers };
        for addr in addrs {
            let has = wanted.take(context, *addr).map_err(|source| named(*addr, source))?;
            if is_everything(*addr) {
                // `[::]` means all addresses; with IPV6_V6ONLY the other family needs its own socket.
                // Where IPv4 is listed by itself, or is not there at all, this may fail.
                let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, has.port()));
                if !addrs.contains(&v4) {
                    let _ = wanted.take(context, v4);
                }
            }
        }
        Ok(wanted)
    }

    /// Listens on what is wanted, and on nothing else; on nothing new where the node is shutting down.
    pub(super) fn apply(&self, sessions: &Arc<Sessions>, mut wanted: Prepared) {
        let server = || sessions.context.accepting().for_endpoint();
        let mut present = self.0.lock();
        let kept = std::mem::take(&mut wanted.kept);
        for listening in &mut present.all {
            let keep = kept.iter().any(|kept| is_same(kept, &listening.endpoint));
            listening.endpoint.set_server_config(keep.then(server));
            if listening.open && !keep {
                tokio::spawn(self.clone().close_when_idle(listening.endpoint.clone()));
            }
            (listening.open, listening.claimed) = (keep, false);
        }
        // Under the lock: what is here before the shutdown looks is closed by it.
        if sessions.is_shutting_down() {
            return;
        }
        let bound = std::mem::take(&mut wanted.bound);
        for listening in &bound {
            let (sessions, endpoint) = (sessions.clone(), listening.endpoint.clone());
            tokio::spawn(supervise("the acceptor of lanes", move || {
                accept::run(sessions.clone(), endpoint.clone())
            }));
        }
        present.all.extend(bound);
        present.update_gates();
    }

    /// Claims what is listened on, or was, as `addr`, so that it is not closed meanwhile. What is claimed
    /// already is no more to be had: port 0 may be listed twice.
    fn claim(&self, addr: SocketAddr) -> Option<Endpoint> {
        let mut present = self.0.lock();
        let found = present.all.iter_mut().find(|l| {
            let has = || l.endpoint.local_addr().is_ok_and(|local| local == addr);
            !l.claimed && (l.configured == addr || has())
        })?;
        found.claimed = true;
        Some(found.endpoint.clone())
    }

    /// Closes an endpoint that accepts nothing more when its last lane has ended.
    async fn close_when_idle(self, endpoint: Endpoint) {
        endpoint.wait_idle().await;
        // Unless it is listened on again, or is about to be.
        close_idle(&mut self.0.lock().all, &endpoint);
    }

    /// Returns the addresses that lanes are accepted on.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        let present = self.0.lock();
        let open = present.all.iter().filter(|listening| listening.open);
        open.filter_map(|listening| listening.endpoint.local_addr().ok()).collect()
    }

    /// Returns the sockets that lanes are accepted on, each with the address as it was configured. One that was
    /// given up is not among them: its last lanes end with this process, and their peers dial another address.
    ///
    /// # Errors
    /// The system's: no descriptor is left.
    pub(super) fn sockets(&self) -> io::Result<Inherited> {
        let present = self.0.lock();
        let open = present.all.iter().filter(|listening| listening.open);
        open.map(|listening| Ok((listening.configured, listening.socket.try_clone()?))).collect()
    }

    /// Has what arrives read from now on.
    pub(super) fn begin_to_read(&self) {
        self.change(|state| state.has_begun = true);
    }

    /// Leaves what arrives at the sockets of a former process to that one, or reads it.
    pub(super) fn set_former_leaves(&self, leaves: bool) {
        self.change(|state| state.former_leaves = leaves);
    }

    /// Leaves what arrives to a further process, or reads it again.
    pub(super) fn set_given(&self, is_given: bool) {
        self.change(|state| state.is_given = is_given);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        change(&mut state);
        state.update_gates();
    }

    /// Returns every endpoint, those that accept no further lane included.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.0.lock().all.iter().map(|listening| listening.endpoint.clone()).collect()
    }
}

impl Prepared {
    /// Claims an address that is listened on, or was and has lanes yet; binds it where it is not. Returns the
    /// address that the socket has.
    fn take(&mut self, context: &NodeContext, addr: SocketAddr) -> io::Result<SocketAddr> {
        let claimed = self.listeners.claim(addr);
        if let Some(endpoint) = claimed {
            let has = endpoint.local_addr()?;
            self.kept.push(endpoint);
            return Ok(has);
        }
        let listening = self.open(context, addr)?;
        let has = listening.endpoint.local_addr()?;
        self.bound.push(listening);
        Ok(has)
    }

    /// Opens an endpoint that does not read its socket yet.
    fn open(&mut self, context: &NodeContext, addr: SocketAddr) -> io::Result<Listening> {
        let (socket, is_inherited) = match self.inherit(addr) {
            Some(socket) => (socket, true),
            None => (socket::bind(addr, &socket::SocketOptions::default())?, false),
        };
        let identity = context.identity();
        let config = transport::endpoint_config(&identity, addr);
        let server = context.accepting().for_endpoint();
        // Without it lanes work, and some peers learn of a restart later.
        self.announcers.extend(Announcer::new(&socket));
        let (gate, kept) = (ReadGate::shut(), Arc::new(socket.try_clone()?));
        let reception = Reception::Accepting(gate.clone());
        let watchers = context.watchers();
        let endpoint = endpoint::open(config, Some(server), socket, reception, watchers)?;
        let (open, claimed) = (true, false);
        Ok(Listening {
            configured: addr,
            endpoint,
            gate,
            socket: kept,
            is_inherited,
            open,
            claimed,
        })
    }

    /// Returns the socket that another process has of `addr`, if any. It may have configured it otherwise.
    fn inherit(&mut self, addr: SocketAddr) -> Option<UdpSocket> {
        let is_it = |(of, socket): &(SocketAddr, UdpSocket)| {
            *of == addr || socket.local_addr().is_ok_and(|local| local == addr)
        };
        let at = self.inherited.iter().position(is_it)?;
        Some(self.inherited.swap_remove(at).1)
    }

    /// Returns the addresses that will be listened on.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        let bound = self.bound.iter().map(|listening| &listening.endpoint);
        self.kept.iter().chain(bound).filter_map(|endpoint| endpoint.local_addr().ok()).collect()
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        let mut present = self.listeners.0.lock();
        for endpoint in &self.kept {
            let claimed = present.all.iter_mut().find(|l| is_same(&l.endpoint, endpoint));
            claimed.into_iter().for_each(|l| l.claimed = false);
            // It was left for us where it became idle meanwhile.
            if endpoint.open_connections() == 0 {
                close_idle(&mut present.all, endpoint);
            }
        }
    }
}

/// Closes an idle endpoint that accepts nothing more, and is not about to again.
fn close_idle(present: &mut Vec<Listening>, endpoint: &Endpoint) {
    present.retain(|l| l.open || l.claimed || !is_same(&l.endpoint, endpoint));
    if !present.iter().any(|l| is_same(&l.endpoint, endpoint)) {
        endpoint.close(0u8.into(), b"no longer listened on");
    }
}

fn named(addr: SocketAddr, source: io::Error) -> BuildError {
    BuildError::Bind { addr, source }
}

fn is_everything(addr: SocketAddr) -> bool {
    addr.is_ipv6() && addr.ip().is_unspecified()
}

/// Returns whether two handles are of one endpoint: no other has its address.
fn is_same(a: &Endpoint, b: &Endpoint) -> bool {
    matches!((a.local_addr(), b.local_addr()), (Ok(a), Ok(b)) if a == b)
}
