//! The ingresses of a daemon: bound first, served later, and replaced one by one at a reload.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tracing::{debug, info};

use super::error::StartError;
use crate::config::Ingress;
use crate::handover::{Socket, TakeOver};
use crate::proxy::connections::Place;
use crate::proxy::ingress::dispatcher::Dispatcher;
use crate::proxy::ingress::intercept::{InterceptError, Interception, datagrams, listener};
use crate::proxy::ingress::{LiveIngress, Now, serve, serve_udp};
use crate::proxy::relay::{Joint, relay, relay_directly};
use crate::proxy::tasks::Tasks;
use crate::reload::Placement;
use crate::report::InterceptingReport;
use throughline::FlowStream;

/// Clients that wait in the kernel's queue of an ingress. Beyond it the kernel drops their SYNs, which
/// they send again after a second: at the 128 of std a burst of clients would stall.
const BACKLOG: u32 = 1024;

/// An ingress whose address is bound.
pub(super) struct Bound {
    ingress: Ingress,
    pub(super) addr: SocketAddr,
    entrance: Entrance,
}

/// What clients reach.
enum Entrance {
    Tcp(Arc<TcpListener>),
    Udp(Arc<UdpSocket>),
}

/// The same, for as long as it is served.
#[derive(Clone)]
enum Entered {
    Tcp(Weak<TcpListener>),
    Udp(Weak<UdpSocket>),
}

impl Entered {
    fn protocol(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
        }
    }
}

impl Entrance {
    fn downgrade(&self) -> Entered {
        match self {
            Self::Tcp(listener) => Entered::Tcp(Arc::downgrade(listener)),
            Self::Udp(socket) => Entered::Udp(Arc::downgrade(socket)),
        }
    }
}

/// An ingress that is served.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) addr: SocketAddr,
    /// The address as it was configured.
    listen: SocketAddr,
    live: LiveIngress,
    /// Its socket, for as long as it listens.
    entered: Entered,
}

impl Running {
    /// Returns what it intercepts, if it does.
    pub(super) fn intercepting(&self) -> Option<InterceptingReport> {
        let now = self.live.now();
        let selector = now.kind.intercepts()?;
        let (protocol, of) = (selector.protocol.to_string(), selector.to_string());
        Some(InterceptingReport { name: self.name.clone(), protocol, of, port: self.addr.port() })
    }

    /// Returns its socket, for a process that goes on with it; none where no descriptor is left, or where it
    /// listens no more.
    pub(super) fn socket(&self) -> Option<(Socket, OwnedFd)> {
        let (name, listen) = (self.name.clone(), self.listen);
        let (socket, descriptor) = match &self.entered {
            Entered::Tcp(listener) => {
                let descriptor = listener.upgrade()?.as_fd().try_clone_to_owned();
                (Socket::Ingress { name, listen }, descriptor)
            }
            Entered::Udp(socket) => {
                let descriptor = socket.upgrade()?.as_fd().try_clone_to_owned();
                (Socket::Datagrams { name, listen }, descriptor)
            }
        };
        Some((socket, descriptor.ok()?))
    }
}

/// What serves ingresses.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) tasks: Tasks,
    /// What brings connections to ingresses that intercept.
    pub(super) interception: Interception,
}

/// Binds the addresses of ingresses, or goes on with the sockets that another process has bound to them.
///
/// # Errors
/// One cannot be bound. None is, then.
pub(super) fn bind(
    ingresses: &[&Ingress],
    mut from: Option<&mut TakeOver>,
) -> Result<Vec<Bound>, StartError> {
    let mut bind_or_inherit = |ingress: &Ingress| {
        let (name, listen) = (&ingress.name, ingress.listen);
        if ingress.kind.takes_datagrams() {
            let inherited = from.as_mut().and_then(|from| from.datagrams(name, listen));
            let socket = match (ingress.kind.intercepts(), inherited) {
                (None, inherited) => inherited.map_or_else(|| bind_datagrams(listen), Ok)?,
                (Some(_), Some(inherited)) => listener::inherit_datagrams(inherited)?,
                (Some(_), None) => listener::bind_datagrams()?,
            };
            let socket = datagram_socket(socket)?;
            return Ok((socket.local_addr()?, Entrance::Udp(Arc::new(socket))));
        }
        let inherited = from.as_mut().and_then(|from| from.ingress(name, listen));
        let listener = match ingress.kind.intercepts() {
            None => inherited.unwrap_or_else(|| bind_listener(listen))?,
            Some(_) => match inherited {
                Some(inherited) => listener::inherit(inherited?)?,
                None => listener::bind(BACKLOG)?,
            },
        };
        Ok((listener.local_addr()?, Entrance::Tcp(Arc::new(listener))))
    };
    let bind = |ingress: &&Ingress| match bind_or_inherit(ingress) {
        Ok((addr, entrance)) => Ok(Bound { ingress: (*ingress).clone(), addr, entrance }),
        Err(source) => Err(not_listening(ingress, source)),
    };
    ingresses.iter().map(bind).collect()
}

/// Checks whether the addresses of ingresses could be bound, and lets nobody connect to them.
///
/// # Errors
/// One cannot be bound.
pub(super) fn try_bind(ingresses: &[&Ingress]) -> Result<(), StartError> {
    let mut sockets = Vec::with_capacity(ingresses.len());
    // Those that intercept have a port of the system's choice.
    for ingress in ingresses.iter().filter(|ingress| ingress.kind.intercepts().is_none()) {
        let bound = match ingress.kind.takes_datagrams() {
            true => bind_datagrams(ingress.listen).map(Tried::Udp),
            false => bind_socket(ingress.listen).map(Tried::Tcp),
        };
        match bound {
            Ok(socket) => sockets.push(socket),
            Err(source) => return Err(not_listening(ingress, source)),
        }
    }
    Ok(())
}

fn not_listening(ingress: &Ingress, source: io::Error) -> StartError {
    if ingress.kind.intercepts().is_some() && source.kind() == io::ErrorKind::PermissionDenied {
        return InterceptError::Denied.into();
    }
    let protocol = if ingress.kind.takes_datagrams() { "udp" } else { "tcp" };
    StartError::Listen { name: ingress.name.clone(), protocol, addr: ingress.listen, source }
}

/// A socket that is held until all are bound.
#[expect(dead_code, reason = "they are only held")]
enum Tried {
    Tcp(TcpSocket),
    Udp(std::net::UdpSocket),
}

fn bind_datagrams(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    std::net::UdpSocket::bind(addr)
}

fn datagram_socket(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Returns the ingress of this daemon that keeps a further socket of `protocol` from listening at `addr`.
pub(super) fn in_the_way<'a>(
    running: &'a [Running],
    protocol: &str,
    addr: SocketAddr,
) -> Option<&'a Running> {
    let is_it = |r: &&Running| r.entered.protocol() == protocol && overlap(r.addr, addr);
    running.iter().find(is_it)
}

/// Returns whether one of two addresses takes what the other does: they are the same, or one is every address.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    // The socket of `[::]` takes IPv4 as well.
    let covers = |wide: IpAddr, narrow: IpAddr| {
        wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
    };
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

fn bind_socket(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Binds a TCP address as [`TcpListener::bind`] does, with a longer queue.
fn bind_listener(addr: SocketAddr) -> io::Result<TcpListener> {
    bind_socket(addr)?.listen(BACKLOG)
}

/// Returns what an ingress is to its next connection.
fn now(ingress: &Ingress) -> Now {
    let Ingress { name, kind, proxy_protocol, .. } = ingress.clone();
    Now { name: name.into(), kind, proxy_protocol }
}

impl Server {
    /// Serves an ingress.
    pub(super) fn spawn(&self, bound: Bound) -> Running {
        let Bound { ingress, addr, entrance } = bound;
        let live = LiveIngress::new(now(&ingress));
        let (name, listen) = (ingress.name.clone(), ingress.listen);
        let (dispatcher, tasks) = (self.dispatcher.clone(), self.tasks.clone());
        let (task, entered) = (format!("the task of the ingress {name}"), entrance.downgrade());
        match entrance {
            Entrance::Tcp(listener) => {
                self.tasks.spawn_vital(task, serve(listener, live.clone(), dispatcher, tasks));
            }
            Entrance::Udp(socket) if ingress.kind.intercepts().is_some() => {
                let serving = datagrams::serve_udp(socket, live.clone(), dispatcher, tasks);
                self.tasks.spawn_vital(task, serving);
            }
            Entrance::Udp(socket) => {
                self.tasks.spawn_vital(task, serve_udp(socket, live.clone(), dispatcher, tasks));
            }
        }
        match ingress.kind.intercepts() {
            None => info!(ingress = name, %addr, "listening for applications"),
            Some(of) => {
                info!(ingress = name, port = addr.port(), "intercepts {} of {of}", of.protocol);
            }
        }
        Running { name, addr, listen, live, entered }
    }

    /// Goes on with a connection to one of the `ingresses`, and its flow, that another process has begun.
    pub(super) fn go_on(&self, joint: Joint, flow: FlowStream, ingresses: &[Running]) {
        let connections = self.dispatcher.connections();
        let place = place_of(&joint, ingresses);
        let descriptor = connections.descriptors.try_acquire();
        let relaying = relay(joint, flow, connections.freezer.place());
        self.tasks.spawn(async move {
            let relayed = relaying.await;
            drop((place, descriptor));
            debug!(?relayed, "flow ended");
        });
    }

    /// Goes on with a connection to one of the `ingresses` and that to its destination, which another process has
    /// begun.
    pub(super) fn go_on_directly(&self, joint: Joint, other: TcpStream, ingresses: &[Running]) {
        let connections = self.dispatcher.connections();
        let place = place_of(&joint, ingresses);
        let descriptors = [(); 2].map(|()| connections.descriptors.try_acquire());
        let relaying = relay_directly(joint, other, connections.freezer.place());
        self.tasks.spawn(async move {
            let relayed = relaying.await;
            drop((place, descriptors));
            debug!(?relayed, "direct connection ended");
        });
    }

    /// Serves the ingresses of another configuration: those that are kept go on, and those of `bound` begin.
    /// The others listen no more, and their connections go on.
    pub(super) fn replace(
        &self,
        running: &mut Vec<Running>,
        ingresses: &[Ingress],
        placements: &[Placement],
        bound: Vec<Bound>,
    ) {
        let before = std::mem::take(running);
        let mut bound = bound.into_iter();
        for (ingress, placement) in ingresses.iter().zip(placements) {
            match placement {
                Placement::Kept(index) => {
                    let kept = before[*index].clone();
                    kept.live.set(now(ingress));
                    let (name, listen) = (ingress.name.clone(), ingress.listen);
                    running.push(Running { name, listen, ..kept });
                }
                Placement::Bound => running.extend(bound.next().map(|bound| self.spawn(bound))),
            }
        }
        let is_kept = |index: &usize| placements.contains(&Placement::Kept(*index));
        for (index, gone) in before.iter().enumerate() {
            if !is_kept(&index) {
                gone.live.close();
            }
        }
    }
}

/// Returns the place of a connection that another process has begun, whatever the limits say now.
fn place_of(joint: &Joint, ingresses: &[Running]) -> Option<Place> {
    let of = ingresses.iter().find(|of| Some(of.name.as_str()) == joint.ingress.as_deref());
    of.and_then(|ingress| ingress.live.served().try_enter(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_overlaps_itself_and_every_address_of_its_port() {
        for (one, other, expected) in [
            ("127.0.0.1:1080", "127.0.0.1:1080", true),
            ("127.0.0.1:1080", "0.0.0.0:1080", true),
            ("127.0.0.1:1080", "[::]:1080", true),
            ("[::1]:1080", "[::]:1080", true),
            ("0.0.0.0:1080", "[::]:1080", true),
            ("127.0.0.1:1080", "0.0.0.0:1081", false),
            ("127.0.0.1:1080", "192.0.2.1:1080", false),
            ("[::1]:1080", "0.0.0.0:1080", false),
        ] {
            let (a, b) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((overlap(a, b), overlap(b, a)), (expected, expected), "{one} {other}");
        }
    }
}
