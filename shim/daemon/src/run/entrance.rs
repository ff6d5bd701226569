//! What clients of an ingress reach: a socket that listens, opened anew or taken over from another process.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tracing::warn;

use super::error::StartError;
use crate::config::Ingress;
use crate::handover::{Socket, TakeOver};
use crate::proxy::ingress::intercept::{InterceptError, listener};
use crate::proxy::ingress::{Listen, Listener, UnixEntrance};
use crate::proxy::udp;
use crate::unix_socket;

/// Clients that wait in the kernel's queue of an ingress. Beyond it the kernel drops their SYNs, which
/// they send again after a second: at the 128 of std a burst of clients would stall. Those of a Unix socket wait, or
/// are told to try again.
const BACKLOG: u32 = 1024;

/// What clients reach.
pub(super) enum Entrance {
    Connections(Arc<Listener>),
    Udp(Arc<UdpSocket>),
}

/// The same, for as long as it is served.
#[derive(Clone)]
pub(super) enum Entered {
    Connections(Weak<Listener>),
    Udp(Weak<UdpSocket>),
}

impl Entered {
    /// Returns the protocol whose ports it has.
    pub(super) fn protocol(&self) -> &'static str {
        match self {
            Self::Connections(_) => "tcp",
            Self::Udp(_) => "udp",
        }
    }

    /// Returns the socket of the ingress `name`, for a process that goes on with it; none where no descriptor is left,
    /// or where it listens no more.
    pub(super) fn socket(&self, name: &str, listen: &Listen) -> Option<(Socket, OwnedFd)> {
        let descriptor = match self {
            Self::Connections(listener) => listener.upgrade()?.as_fd().try_clone_to_owned(),
            Self::Udp(socket) => socket.upgrade()?.as_fd().try_clone_to_owned(),
        };
        let name = name.to_owned();
        let socket = match (listen, self) {
            (Listen::Unix(at), _) => Socket::UnixIngress { path: at.path.clone() },
            (Listen::Ip(listen), Self::Connections(_)) => Socket::Ingress { name, listen: *listen },
            (Listen::Ip(listen), Self::Udp(_)) => Socket::Datagrams { name, listen: *listen },
        };
        Some((socket, descriptor.ok()?))
    }

    /// Has the file of a Unix socket be as the ingress says now.
    pub(super) fn own_file(&self, ingress: &Ingress) {
        if let Self::Connections(listener) = self
            && let (Some(listener), Listen::Unix(at)) = (listener.upgrade(), &ingress.listen)
            && let Listener::Unix(unix) = &*listener
            && let Err(error) = unix.own_file(at.access)
        {
            // Another process may have changed or removed it since it was bound.
            let (ingress, path) = (&ingress.name, at.path.display());
            warn!(%ingress, "the mode and owner of {path} cannot be set: {error}");
        }
    }
}

impl Entrance {
    /// Opens the entrance of an ingress, or goes on with that which another process has opened; returns it with the
    /// place at which it actually is.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(
        ingress: &Ingress,
        from: Option<&mut TakeOver>,
    ) -> Result<(Listen, Self), StartError> {
        let ip = match &ingress.listen {
            Listen::Ip(addr) => *addr,
            Listen::Unix(_) => return Self::open_unix(ingress, from),
        };
        let opened = match ingress.kind.takes_datagrams() {
            true => open_datagrams(ingress, ip, from),
            false => open_tcp(ingress, ip, from),
        };
        let (addr, entrance) = opened.map_err(|source| not_listening(ingress, ip, source))?;
        Ok((Listen::Ip(addr), entrance))
    }

    fn open_unix(
        ingress: &Ingress,
        from: Option<&mut TakeOver>,
    ) -> Result<(Listen, Self), StartError> {
        let Listen::Unix(at) = &ingress.listen else { unreachable!("its place is a path") };
        let inherited = from.and_then(|from| from.unix_ingress(&at.path));
        let inherited = inherited.map(|descriptor| UnixEntrance::inherit(&at.path, descriptor));
        let opened = match inherited.transpose() {
            Ok(Some(Some(inherited))) => Ok(inherited),
            // Its file is gone: nobody reaches it.
            Ok(Some(None) | None) => UnixEntrance::bind(at, BACKLOG),
            Err(error) => Err(error.into()),
        };
        let (name, path) = (ingress.name.clone(), at.path.clone());
        let unix = opened.map_err(|source| StartError::ListenUnix { name, path, source })?;
        let listener = Arc::new(Listener::Unix(unix));
        Ok((ingress.listen.clone(), Self::Connections(listener)))
    }

    /// Returns it for as long as it is served.
    pub(super) fn downgrade(&self) -> Entered {
        match self {
            Self::Connections(listener) => Entered::Connections(Arc::downgrade(listener)),
            Self::Udp(socket) => Entered::Udp(Arc::downgrade(socket)),
        }
    }
}

fn open_datagrams(
    ingress: &Ingress,
    listen: SocketAddr,
    from: Option<&mut TakeOver>,
) -> io::Result<(SocketAddr, Entrance)> {
    let inherited = from.and_then(|from| from.datagrams(&ingress.name, listen));
    let socket = match (ingress.kind.intercepts(), inherited) {
        (None, inherited) => inherited.map_or_else(|| bind_datagrams(listen), Ok)?,
        (Some(_), Some(inherited)) => listener::inherit_datagrams(inherited)?,
        (Some(_), None) => listener::bind_datagrams()?,
    };
    socket.set_nonblocking(true)?;
    // Also one of a process that did not know of classes.
    udp::report_class(&socket);
    let socket = UdpSocket::from_std(socket)?;
    Ok((socket.local_addr()?, Entrance::Udp(Arc::new(socket))))
}

fn open_tcp(
    ingress: &Ingress,
    listen: SocketAddr,
    from: Option<&mut TakeOver>,
) -> io::Result<(SocketAddr, Entrance)> {
    let inherited = from.and_then(|from| from.ingress(&ingress.name, listen));
    let listener = match ingress.kind.intercepts() {
        None => inherited.unwrap_or_else(|| bind_listener(listen))?,
        Some(_) => match inherited {
            Some(inherited) => listener::inherit(inherited?)?,
            None => listener::bind(BACKLOG)?,
        },
    };
    let addr = listener.local_addr()?;
    Ok((addr, Entrance::Connections(Arc::new(Listener::Tcp(listener)))))
}

/// Checks whether the entrances of ingresses could be opened, and lets nobody connect to them.
///
/// # Errors
/// One cannot be opened.
pub(super) fn try_open(ingresses: &[&Ingress]) -> Result<(), StartError> {
    let mut sockets = Vec::with_capacity(ingresses.len());
    // Those that intercept have a port of the system's choice.
    for ingress in ingresses.iter().filter(|ingress| ingress.kind.intercepts().is_none()) {
        let listen = match &ingress.listen {
            Listen::Ip(addr) => *addr,
            Listen::Unix(at) => {
                let (name, path) = (ingress.name.clone(), at.path.clone());
                let listening = unix_socket::try_bind(&at.path);
                listening.map_err(|source| StartError::ListenUnix { name, path, source })?;
                continue;
            }
        };
        let bound = match ingress.kind.takes_datagrams() {
            true => bind_datagrams(listen).map(Tried::Udp),
            false => bind_socket(listen).map(Tried::Tcp),
        };
        sockets.push(bound.map_err(|source| not_listening(ingress, listen, source))?);
    }
    Ok(())
}

fn not_listening(ingress: &Ingress, addr: SocketAddr, source: io::Error) -> StartError {
    if ingress.kind.intercepts().is_some() && source.kind() == io::ErrorKind::PermissionDenied {
        return InterceptError::Denied.into();
    }
    let protocol = if ingress.kind.takes_datagrams() { "udp" } else { "tcp" };
    StartError::Listen { name: ingress.name.clone(), protocol, addr, source }
}

/// A socket that is held until all are bound.
#[expect(dead_code, reason = "they are only held")]
enum Tried {
    Tcp(TcpSocket),
    Udp(std::net::UdpSocket),
}

fn bind_datagrams(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(addr)?;
    udp::enlarge_buffer(&socket);
    Ok(socket)
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
