//! What stands still for a hand-over, and how another process goes on with it.
//!
//! A relay of bytes stands between two of them. Datagrams are not repeated, so there is no such place to find: what a
//! flow of them has of the peer it still passes on until the other process has everything, and what applications and
//! destinations send waits in their sockets, which that process reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpStream, UdpSocket};

use crate::proxy::ingress::credentials::Credentials;
use crate::proxy::relay::{FlowKey, Parked};
use throughline::Target;

/// A task that stands still.
#[derive(Clone, Debug)]
pub enum ParkedTask {
    /// A relay of bytes.
    Relay(Parked),
    /// An association of SOCKS5.
    Association(Association),
    /// A flow of datagrams.
    Datagrams(DatagramsOut, DatagramsOrigin),
}

impl From<Parked> for ParkedTask {
    fn from(relay: Parked) -> Self {
        Self::Relay(relay)
    }
}

/// An association of SOCKS5 with its sockets.
#[derive(Clone, Debug)]
pub struct Association {
    /// Which one it is.
    pub id: AssociationId,
    /// The ingress that it came in by.
    pub ingress: Arc<str>,
    /// Its connection.
    pub tcp: Arc<TcpStream>,
    /// Its socket for datagrams.
    pub socket: Arc<UdpSocket>,
    /// The port that its client sends from, where that is known.
    pub port: Option<u16>,
    /// What the client has shown.
    pub credentials: Option<Credentials>,
}

/// Tells the associations of a process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AssociationId(pub u64);

impl AssociationId {
    /// Returns one that no other has.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where a flow of datagrams leads.
#[derive(Clone, Debug)]
pub enum DatagramsOut {
    /// To the peer.
    Flow(FlowKey),
    /// To a socket of this host's own.
    Direct(Arc<UdpSocket>, Idle),
}

/// How long a flow may be idle, and is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// After how long it ends.
    pub timeout: Duration,
    /// How long ago it was last used.
    pub since: Duration,
}

/// Whose datagrams a flow of them carries.
#[derive(Clone, Debug)]
pub enum DatagramsOrigin {
    /// The peer's, to a destination.
    Egress(Arc<UdpSocket>),
    /// Those of a client of a forward.
    Forward {
        /// The forward.
        ingress: Arc<str>,
        /// The client.
        client: SocketAddr,
    },
    /// Those of an association to a destination.
    Associated {
        /// The association.
        association: AssociationId,
        /// The destination.
        target: Target,
        /// What precedes the datagrams that come from there.
        header: Bytes,
        /// The client.
        client: SocketAddr,
    },
    /// Those of a client that were intercepted on their way to a destination.
    Intercepted {
        /// The ingress.
        ingress: Arc<str>,
        /// The client.
        client: SocketAddr,
        /// The destination.
        to: SocketAddr,
        /// The socket at the destination's address.
        answers: Arc<UdpSocket>,
    },
}

impl DatagramsOut {
    /// Returns its socket.
    pub fn socket(&self) -> Option<&Arc<UdpSocket>> {
        match self {
            Self::Flow(_) => None,
            Self::Direct(socket, _) => Some(socket),
        }
    }
}

impl DatagramsOrigin {
    /// Returns it with the name that its ingress has now.
    #[must_use]
    pub fn renamed(mut self, name: Arc<str>) -> Self {
        if let Self::Forward { ingress, .. } | Self::Intercepted { ingress, .. } = &mut self {
            *ingress = name;
        }
        self
    }

    /// Returns the socket that is this flow's.
    pub fn socket(&self) -> Option<&Arc<UdpSocket>> {
        match self {
            Self::Egress(socket) | Self::Intercepted { answers: socket, .. } => Some(socket),
            Self::Forward { .. } | Self::Associated { .. } => None,
        }
    }
}
