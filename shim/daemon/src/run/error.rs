//! Why a daemon does not start.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use crate::admin::AdminError;
use crate::config::ConfigError;
use crate::handover::TakeOverError;
use crate::proxy::ingress::intercept::InterceptError;
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
    /// Connections cannot be intercepted.
    #[error(transparent)]
    Intercept(#[from] InterceptError),
    /// The address of the metrics is in use or not an address of this host.
    #[error("metrics cannot be served on tcp {addr}: {source}; write another address in `metrics`")]
    Metrics {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
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
