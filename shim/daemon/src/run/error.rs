//! Why a daemon does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::admin::AdminError;
use crate::config::ConfigError;
use crate::handover::TakeOverError;
use crate::proxy::ingress::intercept::InterceptError;
use crate::unix_socket::BindError;
use crate::web::TokenError;
use throughline::{BuildError, IdentityError, ServeError};

/// A daemon could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The configuration does not fit the identity.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address of an ingress is in use or not an address of this host.
    #[error(
        "the ingress `{name}` cannot listen on {protocol} {addr}: {source}; {}",
        listen_hint(source)
    )]
    Listen {
        /// The name of the ingress.
        name: String,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The Unix socket of an ingress cannot be created.
    #[error("the ingress `{name}` cannot listen at {}: {source}; {}", path.display(), unix_hint(source))]
    ListenUnix {
        /// The name of the ingress.
        name: String,
        /// The path.
        path: PathBuf,
        /// Why.
        source: BindError,
    },
    /// Connections cannot be intercepted.
    #[error(transparent)]
    Intercept(#[from] InterceptError),
    /// The DNS answerer cannot listen.
    #[error("DNS queries cannot be answered: {source}; write `dns = false`, or free some ports")]
    Dns {
        /// Why.
        source: io::Error,
    },
    /// The address of the metrics is in use or not an address of this host.
    #[error("metrics cannot be served on tcp {addr}: {source}; write another address in `metrics`")]
    Metrics {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The address of the status page is in use or not an address of this host.
    #[error(
        "the status page cannot be served on tcp {addr}: {source}; write another address in `web`"
    )]
    Web {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The status page of this daemon has the port in another way.
    #[error(
        "the status page cannot move to {addr} while it is at {own}; take `web` out in one reload and add it in the \
         next, or write another port"
    )]
    WebInTheWay {
        /// Where it is to be.
        addr: SocketAddr,
        /// Where it is.
        own: SocketAddr,
    },
    /// The token of the status page cannot be had.
    #[error("the token of `web-token-file` cannot be had: {0}")]
    WebToken(#[from] TokenError),
    /// The admin socket cannot be created.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The node cannot be started.
    #[error(transparent)]
    Node(#[from] BuildError),
    /// The node has an egress already.
    #[error(transparent)]
    Egress(#[from] ServeError),
    /// The daemon that runs cannot be taken over.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
}

/// Returns what to do about a path that cannot be listened at.
fn unix_hint(error: &BindError) -> &'static str {
    match error {
        BindError::InUse => "stop that program, or write another path in `listen`",
        BindError::NotASocket => "move it, or write another path in `listen`",
        BindError::Access(_) => {
            "write a `socket-owner` that this user may give (root may give any), or none"
        }
        BindError::Io(_) => "write a path in a directory into which the daemon's user may write",
    }
}

/// Returns what to do about an address that cannot be listened on.
fn listen_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the program that has it, or write another port in `listen`"
        }
        io::ErrorKind::AddrNotAvailable => "write an address of this host in `listen`",
        io::ErrorKind::PermissionDenied => {
            "write a port above 1023 in `listen`, or run with CAP_NET_BIND_SERVICE"
        }
        _ => "write another address in `listen`",
    }
}
