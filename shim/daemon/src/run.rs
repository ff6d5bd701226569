//! The daemon: a node, its ingresses, its egress and its admin socket, started and ended together.
//!
//! Start: first the TCP addresses (a busy port is reported before anything else happens), then the
//! admin socket, the node, and last the tasks. End: nothing new is accepted; the node gives live
//! flows until [`SHUTDOWN_DEADLINE`] to end; then the rest is reset and the admin socket's file
//! removed. Dropping a [`Daemon`] ends its tasks at once.

mod error;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::{info, warn};

pub use self::error::StartError;
use crate::admin::{AdminError, AdminSocket};
use crate::config::{Admin, Config, IdentitySource, Ingress, IngressKind};
use crate::proxy::egress::Egress;
use crate::proxy::ingress::dispatcher::Dispatcher;
use crate::proxy::ingress::{forward, socks5};
use crate::proxy::rules::Policy;
use crate::proxy::tasks::Tasks;
use throughline::{Identity, Listener, Node};

/// Bounds the time that live flows have to end at a shutdown.
///
/// Service managers wait 15 s and more before they kill a process.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// Bounds the time that stopped tasks take to drop their sockets.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A running daemon.
pub struct Daemon {
    node: Node,
    ingresses: Vec<(String, SocketAddr)>,
    admin: Option<PathBuf>,
    tasks: Tasks,
}

/// An ingress whose address is bound.
struct BoundIngress {
    name: String,
    addr: SocketAddr,
    listener: TcpListener,
    kind: IngressKind,
}

/// Starts a daemon within the current tokio runtime.
///
/// It runs until it is dropped, or until [`Daemon::run_until`] ends it.
///
/// # Errors
/// Something in the configuration is unavailable. Then nothing is left running.
pub async fn start(config: Config) -> Result<Daemon, StartError> {
    let identity = identity(&config)?;
    let ingresses = bind_ingresses(config.ingresses).await?;
    let admin = bind_admin_socket(&config.admin)?;
    let acls: Vec<_> = config.peers.iter().map(|p| (p.config.id, p.acl.clone())).collect();
    let mut builder = Node::builder()
        .identity(identity)
        .limits(config.limits)
        .manage_routes(config.manage_routes);
    builder = config.listen.into_iter().fold(builder, |builder, addr| builder.bind(addr));
    builder = config.uplinks.into_iter().fold(builder, |builder, uplink| builder.uplink(uplink));
    builder = config.peers.into_iter().fold(builder, |builder, peer| builder.peer(peer.config));
    let node = builder.build().await?;
    let listener = match node.serve_tcp() {
        Ok(listener) => listener,
        Err(error) => {
            node.shutdown(Duration::ZERO).await;
            return Err(error.into());
        }
    };
    let daemon = Daemon {
        node,
        ingresses: ingresses.iter().map(|i| (i.name.clone(), i.addr)).collect(),
        admin: admin.as_ref().map(|socket| socket.path().to_owned()),
        tasks: Tasks::default(),
    };
    daemon.spawn_ingresses(ingresses, config.policy);
    daemon.spawn_egress(Egress::new(acls), listener);
    if let Some(socket) = admin {
        daemon.tasks.spawn(socket.serve(daemon.node.clone(), daemon.tasks.clone()));
    }
    daemon.log_addresses();
    Ok(daemon)
}

/// Returns the identity of the daemon, which no peer of the configuration may have.
///
/// # Errors
/// The identity cannot be read, or a peer has the same key.
pub fn identity(config: &Config) -> Result<Identity, StartError> {
    let identity = match &config.identity {
        IdentitySource::File(path) => Identity::load(path)?,
        IdentitySource::Given(identity) => identity.clone(),
    };
    config.check_own_key(identity.peer_id())?;
    Ok(identity)
}

async fn bind_ingresses(ingresses: Vec<Ingress>) -> Result<Vec<BoundIngress>, StartError> {
    let mut bound = Vec::with_capacity(ingresses.len());
    for Ingress { name, listen, kind } in ingresses {
        let binding = async {
            let listener = TcpListener::bind(listen).await?;
            io::Result::Ok((listener.local_addr()?, listener))
        };
        match binding.await {
            Ok((addr, listener)) => bound.push(BoundIngress { name, addr, listener, kind }),
            Err(source) => return Err(StartError::Listen { name, addr: listen, source }),
        }
    }
    Ok(bound)
}

/// Binds the admin socket. Without a configured path, only another daemon at it is an error.
fn bind_admin_socket(admin: &Admin) -> Result<Option<AdminSocket>, StartError> {
    match admin {
        Admin::Off => Ok(None),
        Admin::At(path) => Ok(Some(AdminSocket::bind(path)?)),
        Admin::Default => match AdminSocket::bind(&AdminSocket::default_path()) {
            Ok(socket) => Ok(Some(socket)),
            Err(error @ AdminError::InUse(_)) => Err(error.into()),
            Err(error) => {
                warn!(%error, "running without an admin socket; set its path with `admin`");
                Ok(None)
            }
        },
    }
}

impl Daemon {
    fn spawn_ingresses(&self, ingresses: Vec<BoundIngress>, policy: Policy) {
        let dispatcher = Arc::new(Dispatcher::new(self.node.clone(), policy));
        for BoundIngress { name, listener, kind, .. } in ingresses {
            let (name, dispatcher) = (Arc::<str>::from(name), Arc::clone(&dispatcher));
            let tasks = self.tasks.clone();
            match kind {
                IngressKind::Socks5(credentials) => {
                    self.tasks.spawn(socks5::serve(listener, name, credentials, dispatcher, tasks));
                }
                IngressKind::Forward(to) => {
                    self.tasks.spawn(forward::serve(listener, name, to, dispatcher, tasks));
                }
            }
        }
    }

    fn spawn_egress(&self, egress: Egress, listener: Listener) {
        self.tasks.spawn(Arc::new(egress).serve(listener, self.tasks.clone()));
    }

    fn log_addresses(&self) {
        for (name, addr) in &self.ingresses {
            info!(ingress = name, %addr, "listening for applications");
        }
        for addr in self.node.local_addrs() {
            info!(%addr, "listening for peers");
        }
        info!(id = %self.node.id(), "running");
    }

    /// Returns the node of the daemon.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Returns the TCP address that the ingress named `name` actually listens on.
    pub fn ingress_addr(&self, name: &str) -> Option<SocketAddr> {
        self.ingresses.iter().find(|(known, _)| known == name).map(|(_, addr)| *addr)
    }

    /// Returns the path of the admin socket.
    pub fn admin_path(&self) -> Option<&Path> {
        self.admin.as_deref()
    }

    /// Runs until `shutdown` completes, then ends gracefully within [`SHUTDOWN_DEADLINE`].
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        self.shutdown(SHUTDOWN_DEADLINE).await;
    }

    /// Ends the daemon: it accepts nothing new, and resets flows still live after `deadline`.
    pub async fn shutdown(self, deadline: Duration) {
        self.tasks.drain();
        let flows = self.node.live_flows();
        info!(
            "accepting nothing new; {flows} live flows through peers, and every direct connection, \
             have {deadline:?} to end"
        );
        let ended = async {
            // The node resets the remaining flows at the deadline, which ends their relays.
            tokio::join!(self.node.shutdown(deadline), self.tasks.ended());
        };
        if timeout(deadline + STOP_TIMEOUT, ended).await.is_err() {
            warn!("some flows are still live at the deadline; resetting them");
            self.tasks.stop();
            // A task that does not end even now is dropped with the runtime.
            let _ = timeout(STOP_TIMEOUT, self.tasks.ended()).await;
        }
        info!("ended");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}
