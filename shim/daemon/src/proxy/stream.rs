//! A connection of an application: by TCP, or by a Unix socket.
//!
//! Both promise the same to the application: whatever closes its connection before its end, be it that this process
//! is killed, it sees a reset. TCP has `SO_LINGER` for it, a Unix socket what `unix` says.

mod client;
mod tokio_io;
mod unix;

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

pub use self::client::ClientAddr;
pub use self::unix::UnixConnection;

/// A connection of an application, or of the egress to a destination.
#[derive(Debug)]
pub enum Stream {
    /// By TCP.
    Tcp(TcpStream),
    /// By a Unix socket.
    Unix(UnixConnection),
}

/// What another process has to know of a connection besides its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// It is one of TCP.
    Tcp,
    /// It is one of a Unix socket.
    Unix {
        /// The first byte to read has been read already.
        holds_byte: bool,
    },
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self::Tcp(tcp)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(UnixConnection::new(stream, false))
    }
}

/// Does the same with either.
macro_rules! either {
    ($stream:expr, $inner:ident => $do:expr) => {
        match $stream {
            Stream::Tcp($inner) => $do,
            Stream::Unix($inner) => $do,
        }
    };
}

impl Stream {
    /// Goes on with a connection of another process.
    ///
    /// # Errors
    /// The runtime does not take it.
    pub fn inherit(descriptor: OwnedFd, kind: StreamKind) -> io::Result<Self> {
        match kind {
            StreamKind::Tcp => {
                let tcp = std::net::TcpStream::from(descriptor);
                tcp.set_nonblocking(true)?;
                TcpStream::from_std(tcp).map(Self::Tcp)
            }
            StreamKind::Unix { holds_byte } => {
                let stream = std::os::unix::net::UnixStream::from(descriptor);
                stream.set_nonblocking(true)?;
                let unix = UnixConnection::new(UnixStream::from_std(stream)?, holds_byte);
                // As TCP's `SO_LINGER`, which comes with the descriptor. The other process may go on with it: one
                // that gives up must not take the byte that is held.
                unix.reset_on_close();
                Ok(Self::Unix(unix))
            }
        }
    }

    /// Returns what another process has to know of it.
    pub fn kind(&self) -> StreamKind {
        match self {
            Self::Tcp(_) => StreamKind::Tcp,
            Self::Unix(unix) => StreamKind::Unix { holds_byte: unix.holds_byte() },
        }
    }

    /// Returns it as one of TCP, if it is.
    pub fn as_tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Unix(_) => None,
        }
    }

    /// Returns it as one of TCP, if it is.
    pub fn into_tcp(self) -> Option<TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Unix(_) => None,
        }
    }

    /// Returns the address that its client connected to; none of a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.as_tcp()?.local_addr().ok()
    }

    /// Sends what is written at once. A dead connection does not take it, and a Unix socket does so anyway.
    pub fn set_nodelay(&self) {
        if let Self::Tcp(tcp) = self {
            let _ = tcp.set_nodelay(true);
        }
    }

    /// Completes when there may be something to read.
    pub async fn readable(&self) -> io::Result<()> {
        either!(self, inner => inner.readable().await)
    }

    /// Completes when something may be written.
    pub async fn writable(&self) -> io::Result<()> {
        either!(self, inner => inner.writable().await)
    }

    /// Completes when it may be ready for what is asked.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        either!(self, inner => inner.ready(interest).await)
    }

    /// Polls as [`readable`](Self::readable) waits.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_read_ready(context))
    }

    /// Polls as [`writable`](Self::writable) waits.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_write_ready(context))
    }

    /// Reads what is there; 0 is the end.
    pub fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.try_read_buf(buffer),
            Self::Unix(unix) => unix.try_read_buf(buffer),
        }
    }

    /// Writes what there is room for.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, inner => inner.try_write(bytes))
    }

    /// Writes what there is room for.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, inner => inner.try_write_vectored(slices))
    }

    /// Waits for the first byte of all, and leaves it unread; `None` at the end.
    pub async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        let peeked = match self {
            Self::Tcp(tcp) => tcp.peek(&mut first).await?,
            Self::Unix(unix) => unix.peek(&mut first).await?,
        };
        Ok((peeked > 0).then_some(first[0]))
    }

    /// Takes the error that has ended it, if one has.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(self, inner => inner.take_error())
    }

    /// Ends our direction. This fails only if its other end is gone.
    pub fn shutdown_write(&self) -> io::Result<()> {
        either!(self, inner => SockRef::from(inner).shutdown(Shutdown::Write))
    }

    /// Has it reset when it is closed, by whomever.
    pub fn reset_on_close(&self) {
        match self {
            // This fails only on a dead connection.
            Self::Tcp(tcp) => drop(SockRef::from(tcp).set_linger(Some(Duration::ZERO))),
            Self::Unix(unix) => unix.reset_on_close(),
        }
    }

    /// Has it end in order when it is closed, with all that was written to it.
    pub fn end_on_close(&self) {
        match self {
            Self::Tcp(tcp) => drop(SockRef::from(tcp).set_linger(None)),
            Self::Unix(unix) => unix.end_on_close(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, inner => inner.as_fd())
    }
}
