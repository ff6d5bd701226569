//! Where an ingress listens, and what listens there.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener};

use crate::proxy::stream::{ClientAddr, Stream};
use crate::unix_socket::{self, Access, BindError, SocketFile};

/// Where an ingress listens. `Display` gives what the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At an address, of TCP, or of UDP where its clients send datagrams. Port 0 picks a free one.
    Ip(SocketAddr),
    /// At the path of a Unix socket.
    Unix(UnixPath),
}

/// A Unix socket, and who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixPath {
    /// Where its file is.
    pub path: PathBuf,
    /// Who may connect.
    pub access: Access,
}

impl Listen {
    /// Returns the address; none of a Unix socket.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }

    /// Returns the port; 0 of a Unix socket.
    pub fn port(&self) -> u16 {
        self.ip().map_or(0, |addr| addr.port())
    }

    /// Returns whether it is the place of one ingress: what has port 0 is not.
    pub fn is_one_place(&self) -> bool {
        self.ip().is_none_or(|addr| addr.port() != 0)
    }

    /// Returns whether both are the same place, whoever may connect there.
    pub fn is_where(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ip(one), Self::Ip(other)) => one == other,
            (Self::Unix(one), Self::Unix(other)) => one.path == other.path,
            _ => false,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Unix(unix) => write!(f, "unix:{}", unix.path.display()),
        }
    }
}

/// What applications connect to.
#[derive(Debug)]
pub enum Listener {
    /// An address of TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixEntrance),
}

/// A Unix socket that listens. Dropping it removes its file, unless that is another process's still.
#[derive(Debug)]
pub struct UnixEntrance {
    /// First, so that it goes first: while the socket lives no other file can have its number. The lock is a leaf.
    file: Mutex<SocketFile>,
    listener: UnixListener,
}

impl UnixEntrance {
    /// Creates one.
    ///
    /// # Errors
    /// The path is taken, or the system does not create it.
    pub fn bind(at: &UnixPath, backlog: u32) -> Result<Self, BindError> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let listener = unix_socket::bind(&at.path, at.access, backlog)?;
        let file = Mutex::new(SocketFile::at(&at.path)?);
        Ok(Self { file, listener })
    }

    /// Goes on with one that another process has bound to `path`; `None` where its file is gone, so that nobody can
    /// reach it. The file is that one's until [`own_file`](Self::own_file).
    ///
    /// # Errors
    /// The runtime does not take it.
    pub fn inherit(path: &Path, descriptor: OwnedFd) -> io::Result<Option<Self>> {
        let Ok(file) = SocketFile::at(path) else { return Ok(None) };
        let listener = std::os::unix::net::UnixListener::from(descriptor);
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        Ok(Some(Self { file: Mutex::new(file.left()), listener }))
    }

    /// Has the file removed with the socket: no other process is there any more that uses it. Gives it its mode and
    /// owner, which may be others than those that it was made with.
    ///
    /// # Errors
    /// They cannot be set, or another file has come in its place.
    pub fn own_file(&self, access: Access) -> io::Result<()> {
        let mut file = self.file.lock();
        file.own();
        file.apply(access)
    }
}

impl Listener {
    /// Polls for the next connection.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, ClientAddr)>> {
        Poll::Ready(match self {
            Self::Tcp(listener) => {
                let accepted = ready!(listener.poll_accept(context));
                accepted.map(|(stream, from)| (stream.into(), from.into()))
            }
            Self::Unix(unix) => {
                let accepted = ready!(unix.listener.poll_accept(context));
                accepted.map(|(stream, _)| {
                    let from = ClientAddr::of(&stream);
                    (stream.into(), from)
                })
            }
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(unix) => unix.listener.as_fd(),
        }
    }
}
