//! The daemon: a node, its ingresses, its egress and its admin socket, started and ended together.
//!
//! Start: first the TCP addresses (a busy port is reported before anything else happens), then the
//! admin socket, the node, and last the tasks. End: nothing new is accepted; the node gives live
//! flows until [`SHUTDOWN_DEADLINE`] to end; then the rest is reset and the admin socket's file
//! removed. Dropping a [`Daemon`] ends its tasks at once.

mod entrance;
mod error;
mod ingresses;
mod interception;
mod parts;
mod prepared;
mod reloader;
mod start;
mod succession;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

pub use self::error::StartError;
use self::ingresses::{Bound, Running, Server};
pub use self::interception::table;
use self::interception::{covered, intercept, of_bound};
use self::parts::acls;
pub use self::parts::identity;
pub(crate) use self::parts::running_admin_path;
pub(crate) use self::parts::web as web_settings;
use self::prepared::Prepared;
use self::reloader::Live;
pub use self::reloader::{Paused, ReloadError, ReloadFrom, Reloader, SetLog};
pub(crate) use self::start::{leave_kept, start_kept};
pub use self::start::{start, start_from, take_over};
use self::succession::{Datagrams, Successor, giver};
use crate::admin::{AdminSocket, ReloadRequest};
use crate::handover::{Departure, GiveError, Giver, Handed};
use crate::hook::Hook;
use crate::metrics::MetricsServer;
use crate::proxy::connections::Connections;
use crate::proxy::egress::Egress;
use crate::proxy::ingress::dispatcher::Dispatcher;
use crate::proxy::tasks::Tasks;
use crate::report::ReportSource;
use crate::service;
use crate::web::Web;
use throughline::handover::HandedOverFlows;
use throughline::{DatagramListener, Listener, Node};

/// Bounds the time that live flows have to end at a shutdown.
///
/// Service managers wait 15 s and more before they kill a process.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// Bounds the time that stopped tasks take to drop their sockets.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A running daemon.
pub struct Daemon {
    node: Node,
    reloader: Reloader,
    admin: Option<PathBuf>,
    metrics: Option<SocketAddr>,
    server: Server,
    giver: Giver,
}

/// Returns where flows of peers come out; where that cannot be had the node ends.
async fn listeners(node: &Node) -> Result<(Listener, DatagramListener), StartError> {
    let served = node.serve_tcp().and_then(|tcp| Ok((tcp, node.serve_udp()?)));
    if served.is_err() {
        node.shutdown(Duration::ZERO).await;
    }
    Ok(served?)
}

fn spawn_egress(egress: &Arc<Egress>, (tcp, udp): (Listener, DatagramListener), tasks: &Tasks) {
    let serving = egress.clone().serve(tcp, tasks.clone());
    tasks.spawn_vital("the egress's task".to_owned(), serving);
    let serving = egress.clone().serve_datagrams(udp, tasks.clone());
    tasks.spawn_vital("the egress's task of datagrams".to_owned(), serving);
}

/// Serves metrics; returns where.
fn spawn_metrics(server: MetricsServer, report: ReportSource, tasks: &Tasks) -> SocketAddr {
    let addr = server.addr();
    let serving = server.serve(report, tasks.clone());
    tasks.spawn_vital("the task of the metrics".to_owned(), serving);
    addr
}

/// Returns what the admin socket calls to reload.
fn reload_request(reloader: &Reloader) -> ReloadRequest {
    let reloader = reloader.clone();
    Arc::new(move |dry_run| {
        let reloader = reloader.clone();
        Box::pin(async move {
            let changes = reloader.reload(dry_run).await.map_err(|error| error.to_string())?;
            Ok(changes.iter().map(ToString::to_string).collect())
        })
    })
}

/// Serves ingresses, and goes on with what another process has begun.
fn serve_ingresses(
    (node, server, egress): (&Node, &Server, &Egress),
    ingresses: Vec<Bound>,
    mut flows: HandedOverFlows,
    Handed { relays, associations, datagrams, .. }: Handed,
) -> Vec<Running> {
    // Before their clients are heard: else these had others.
    let connections = server.dispatcher.connections();
    let mut datagrams = Datagrams::claim(datagrams, &mut flows, connections);
    let spawn = |bound: Bound| {
        let handed = datagrams.of_ingress(bound.name());
        server.spawn(bound, handed)
    };
    let running: Vec<_> = ingresses.into_iter().map(spawn).collect();
    let successor = Successor { node, server, egress, ingresses: &running };
    successor.go_on_with_datagrams(datagrams, associations);
    successor.go_on(flows, relays);
    running
}

impl Daemon {
    /// Starts the daemon; in the place of another one, that has left then, with what it has begun.
    async fn begin(
        prepared: Prepared,
        from: Option<ReloadFrom>,
        former: Option<(Handed, Departure)>,
    ) -> Result<Self, StartError> {
        let Prepared {
            config,
            budgets,
            node,
            ingresses,
            metrics,
            page,
            admin,
            interception,
            answerer,
        } = prepared;
        let takes_over = former.is_some();
        let (handed, left) = former.unzip();
        let handed = handed.unwrap_or_default();
        let (node, flows) = match left {
            Some(left) => node.start_after(left),
            None => node.start(),
        };
        let listeners = listeners(&node).await?;
        let tasks = Tasks::default();
        let budgets = budgets.start(&node, &tasks);
        let connections = Connections::new(config.tcp, config.connections);
        let (limit, for_connections) = connections.descriptors.bounds();
        info!(limit, for_connections, "descriptors; the others are for lanes");
        let dispatcher = Dispatcher::new(node.clone(), config.policy.clone(), connections.clone());
        let dispatcher = Arc::new(dispatcher);
        dispatcher.names().restore(&handed.names);
        let intercepted = of_bound(&config, &ingresses, &answerer);
        let server = Server { dispatcher, tasks: tasks.clone(), interception, answerer };
        server.interception.mark_for(&intercepted);
        server.answer_queries(covered(&config));
        let egress = Arc::new(Egress::new(acls(&config), connections));
        let of_daemon = (&node, &server, &*egress);
        let running = serve_ingresses(of_daemon, ingresses, flows, handed);
        spawn_egress(&egress, listeners, &tasks);
        intercept(&server, &node, intercepted, takes_over).await?;
        let admin_path = admin.as_ref().map(|socket| socket.path().to_owned());
        let hook = Hook::start(&node, config.on_event.clone(), &tasks);
        let web = Web::default();
        let live = Live { node: node.clone(), server: server.clone(), egress, hook, budgets, web };
        let reloader = Reloader::new(from, config, live, running);
        if takes_over {
            reloader.end_revoked_of_former().await;
        }
        let giver = giver(&node, &server, &reloader, (metrics.as_ref(), admin.as_ref()));
        let report = reloader.report_source();
        reloader.web().apply(page, || reloader.web_source());
        let metrics = metrics.map(|server| spawn_metrics(server, report.clone(), &tasks));
        let daemon = Self { node, reloader, admin: admin_path, metrics, server, giver };
        if let Some(socket) = admin {
            daemon.spawn_admin(socket, report);
        }
        daemon.log_addresses();
        Ok(daemon)
    }

    fn spawn_admin(&self, mut socket: AdminSocket, report: ReportSource) {
        socket.own_file();
        let tasks = self.server.tasks.clone();
        let (node, giver) = (self.node.clone(), self.giver.clone());
        let reload = reload_request(&self.reloader);
        let serving = socket.serve(node, report, reload, giver, tasks);
        self.server.tasks.spawn_vital("the admin socket's task".to_owned(), serving);
    }

    /// Completes when another process has taken everything over: this one is to end at once, without closing
    /// anything. Returns the number of that process, where the system says it. Cancel-safe.
    pub async fn handed_over(&self) -> Option<u32> {
        let successor = self.giver.given().await;
        self.reloader.budgets().flush().await;
        successor
    }

    /// Has everything kept for the next process, which reads these formats of state; this one is to end at once
    /// then, without closing anything. Else the daemon goes on.
    ///
    /// # Errors
    /// The next process could not read it, or it cannot be kept.
    pub(crate) async fn keep(&self, formats: &[u64]) -> Result<(), GiveError> {
        self.giver.keep(formats, &self.server.tasks, service::keep).await?;
        self.reloader.budgets().flush().await;
        Ok(())
    }

    /// Hands nothing over from now on, as the daemon is about to end. Returns whether another process has everything
    /// already, for which this waits where it is being told: nothing is to be closed any more then.
    pub async fn hand_over_no_more(&self) -> bool {
        self.giver.give_no_more().await
    }

    fn log_addresses(&self) {
        for addr in self.node.local_addrs() {
            info!(%addr, "listening for peers");
        }
        if let Some(addr) = self.metrics {
            info!(%addr, "metrics at /metrics");
        }
        for uplink in self.node.status().uplinks {
            if uplink.addresses.is_empty() {
                warn!(uplink = uplink.name, "no address of this host belongs to the uplink now");
            }
        }
        info!(id = %self.node.id(), "running");
    }

    /// Returns what reloads the daemon's configuration.
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Returns the node of the daemon.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Returns the TCP address that the ingress named `name` actually listens on; none of a Unix socket.
    pub fn ingress_addr(&self, name: &str) -> Option<SocketAddr> {
        self.reloader
            .ingresses()
            .iter()
            .find(|running| running.name == name)
            .and_then(|r| r.addr.ip())
    }

    /// Returns the TCP address at which metrics can be read.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Returns the TCP address of the status page.
    pub fn web_addr(&self) -> Option<SocketAddr> {
        self.reloader.web().addr()
    }

    /// Returns the path of the admin socket.
    pub fn admin_path(&self) -> Option<&Path> {
        self.admin.as_deref()
    }

    /// Completes when the daemon cannot go on, because a task that it needs has panicked: it is to be ended
    /// and started anew. Cancel-safe.
    pub async fn broken(&self) {
        self.server.tasks.broken().await;
    }

    /// Runs until `shutdown` completes, then ends gracefully within [`SHUTDOWN_DEADLINE`].
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        self.shutdown(SHUTDOWN_DEADLINE).await;
    }

    /// Ends the daemon: it accepts nothing new, and resets flows still live after `deadline`.
    pub async fn shutdown(self, deadline: Duration) {
        let tasks = &self.server.tasks;
        self.server.interception.stop().await;
        tasks.drain();
        let flows = self.node.live_flows();
        info!(
            "accepting nothing new; {flows} live flows through peers, and every direct connection, \
             have {deadline:?} to end"
        );
        let ended = async {
            // The node resets the remaining flows at the deadline, which ends their relays.
            tokio::join!(self.node.shutdown(deadline), tasks.ended());
        };
        if timeout(deadline + STOP_TIMEOUT, ended).await.is_err() {
            warn!("some flows are still live at the deadline; resetting them");
            tasks.stop();
            // A task that does not end even now is dropped with the runtime.
            let _ = timeout(STOP_TIMEOUT, tasks.ended()).await;
        }
        info!("ended");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.server.tasks.stop();
        // What another process has is in force for it.
        if !self.giver.is_given() {
            self.server.interception.remove();
        }
    }
}
