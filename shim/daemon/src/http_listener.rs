//! Listens for HTTP at an address of this host: for whoever reads metrics, or looks at the status page.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;
use tracing::warn;

use crate::places::{Place, Places};

/// Connections that wait in the kernel's queue: as many as std has.
const BACKLOG: u32 = 128;

/// Pause after a failed accept, which would otherwise make the loop spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// A TCP address that is listened on. Clones are the same socket.
#[derive(Clone, Debug)]
pub(crate) struct HttpListener {
    listener: Arc<TcpListener>,
    addr: SocketAddr,
}

impl HttpListener {
    /// Binds the address.
    ///
    /// # Errors
    /// It cannot be bound.
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        Self::of(socket(addr)?.listen(BACKLOG)?)
    }

    /// Checks whether the address could be bound, and lets nobody connect to it.
    ///
    /// # Errors
    /// It cannot be bound.
    pub(crate) fn try_bind(addr: SocketAddr) -> io::Result<()> {
        socket(addr).map(drop)
    }

    /// Goes on with a socket that another process has bound.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn of(listener: TcpListener) -> io::Result<Self> {
        Self::shared(Arc::new(listener))
    }

    /// Goes on with a socket that another task of this process has listened on.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn shared(listener: Arc<TcpListener>) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// Returns the socket, for as long as it is served: another process may go on with it.
    pub(crate) fn socket(&self) -> Weak<TcpListener> {
        Arc::downgrade(&self.listener)
    }

    /// Returns the address that it has.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Passes each connection to `serve`, with one of the `places`; where none can be had yet, connections wait in the
    /// kernel's queue. `purpose` is for the log. Never completes; when it is cancelled, one that waits is closed.
    pub(crate) async fn accept_each(
        &self,
        purpose: &str,
        places: &Places,
        mut serve: impl FnMut(TcpStream, SocketAddr, Place),
    ) {
        loop {
            match self.listener.accept().await {
                Ok((tcp, client)) => serve(tcp, client, places.take().await),
                Err(error) => {
                    warn!(%error, "cannot accept a connection for {purpose}");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }
}

fn socket(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}
