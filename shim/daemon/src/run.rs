//! The daemon: a node, its ingresses, its egress and its admin socket, started and ended together.
//!
//! Start: the TCP addresses first (a busy port is told before anything else happens), then the
//! admin socket, the node, and last the tasks. End: nothing new is accepted; the node lets live
//! flows end until [`SHUTDOWN_DEADLINE`]; then what is left is reset and the admin socket's file
//! removed. Dropping a [`Daemon`] ends its tasks at once.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::admin::{AdminError, AdminSocket};
use crate::config::{Admin, Config, ConfigError, IdentitySource, IngressKind};
use crate::proxy::egress::Egress;
use crate::proxy::ingress::dispatcher::Dispatcher;
use crate::proxy::ingress::{forward, socks5};
use crate::proxy::tasks::Tasks;
use throughline::{BuildError, Identity, IdentityError, Node, ServeError};

/// How long live flows have to end at a shutdown; below the 15 s and more that service managers wait.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// How long tasks that were told to stop may take to drop their sockets.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A running daemon.
pub struct Daemon {
    node: Node,
    ingresses: Vec<(String, SocketAddr)>,
    admin: Option<PathBuf>,
    tasks: Tasks,
}

/// Why a daemon could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The key cannot be had.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Something in the configuration is wrong that only the key shows.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address of an ingress is taken or not ours.
    #[error("the ingress `{name}` cannot listen on tcp {addr}: {source}; {}", listen_hint(source))]
    Listen {
        /// Its name.
        name: String,
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The admin socket cannot be made.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The node cannot be started.
    #[error(transparent)]
    Node(#[from] BuildError),
    /// The node has an egress already.
    #[error(transparent)]
    Egress(#[from] ServeError),
}

/// Returns what to write instead of an address that cannot be listened on.
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

/// Starts a daemon within the current tokio runtime. It runs until it is dropped, or as long as
/// [`Daemon::run_until`] says.
///
/// # Errors
/// Something that the configuration asks for cannot be had; nothing is left running then.
pub async fn start(config: Config) -> Result<Daemon, StartError> {
    let identity = match &config.identity {
        IdentitySource::File(path) => Identity::load(path)?,
        IdentitySource::Given(identity) => identity.clone(),
    };
    config.check_own_key(identity.peer_id())?;
    let mut listeners = Vec::new();
    let mut ingresses = Vec::new();
    for ingress in config.ingresses {
        let (name, addr) = (ingress.name, ingress.listen);
        let bound = async {
            let listener = TcpListener::bind(addr).await?;
            io::Result::Ok((listener.local_addr()?, listener))
        };
        let (addr, listener) = bound.await.map_err(|source| StartError::Listen {
            name: name.clone(),
            addr,
            source,
        })?;
        ingresses.push((name.clone(), addr));
        listeners.push((Arc::<str>::from(name), listener, ingress.kind));
    }
    let admin = match config.admin {
        Admin::Off => None,
        Admin::At(path) => Some(AdminSocket::bind(&path)?),
        Admin::Default => match AdminSocket::bind(&AdminSocket::default_path()) {
            Ok(socket) => Some(socket),
            Err(error @ AdminError::InUse(_)) => return Err(error.into()),
            Err(error) => {
                warn!(%error, "there is no admin socket; name a place with `admin`");
                None
            }
        },
    };
    let mut builder = Node::builder()
        .identity(identity)
        .limits(config.limits)
        .manage_routes(config.manage_routes);
    for addr in config.listen {
        builder = builder.bind(addr);
    }
    for uplink in config.uplinks {
        builder = builder.uplink(uplink);
    }
    let mut acls = Vec::new();
    for peer in config.peers {
        acls.push((peer.config.id, peer.acl));
        builder = builder.peer(peer.config);
    }
    let node = builder.build().await?;
    let egress = match node.serve_tcp() {
        Ok(egress) => egress,
        Err(error) => {
            node.shutdown(Duration::ZERO).await;
            return Err(error.into());
        }
    };

    let tasks = Tasks::default();
    let dispatcher = Arc::new(Dispatcher::new(node.clone(), config.policy));
    for (name, listener, kind) in listeners {
        let (dispatcher, own) = (Arc::clone(&dispatcher), tasks.clone());
        match kind {
            IngressKind::Socks5(credentials) => {
                tasks.spawn(socks5::serve(listener, name, credentials, dispatcher, own));
            }
            IngressKind::Forward(to) => {
                tasks.spawn(forward::serve(listener, name, to, dispatcher, own));
            }
        }
    }
    tasks.spawn(Arc::new(Egress::new(acls)).serve(egress, tasks.clone()));
    let admin_path = admin.as_ref().map(|socket| socket.path().to_owned());
    if let Some(socket) = admin {
        tasks.spawn(socket.serve(node.clone(), tasks.clone()));
    }
    for (name, addr) in &ingresses {
        info!(ingress = name, %addr, "listening for applications");
    }
    for addr in node.local_addrs() {
        info!(%addr, "listening for peers");
    }
    info!(id = %node.id(), "running");
    Ok(Daemon { node, ingresses, admin: admin_path, tasks })
}

impl Daemon {
    /// The node of the daemon.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The TCP address that the ingress named `name` really listens on.
    pub fn ingress_addr(&self, name: &str) -> Option<SocketAddr> {
        self.ingresses.iter().find(|(known, _)| known == name).map(|(_, addr)| *addr)
    }

    /// Where the admin socket is.
    pub fn admin_path(&self) -> Option<&Path> {
        self.admin.as_deref()
    }

    /// Runs until `shutdown` completes, then ends gracefully within [`SHUTDOWN_DEADLINE`].
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        self.shutdown(SHUTDOWN_DEADLINE).await;
    }

    /// Ends the daemon: nothing new; live flows have until `deadline` to end, then are reset.
    pub async fn shutdown(self, deadline: Duration) {
        self.tasks.drain();
        let flows = self.node.live_flows();
        info!(
            "nothing new is accepted; live flows through peers: {flows}; they, and what is \
             connected directly, have {deadline:?} to end"
        );
        let ended = async {
            // The node resets what is left at the deadline, and so the relays end with it.
            tokio::join!(self.node.shutdown(deadline), self.tasks.ended());
        };
        if timeout(deadline + STOP_GRACE, ended).await.is_err() {
            warn!("some flows were still live at the deadline and are reset");
            self.tasks.stop();
            // What does not end even now is dropped with the runtime.
            let _ = timeout(STOP_GRACE, self.tasks.ended()).await;
        }
        info!("ended");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}
