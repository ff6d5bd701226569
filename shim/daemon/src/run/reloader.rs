//! Takes another configuration over in a running daemon: as a whole, or not at all.
//!
//! First everything is tried that can be: the file, the identity, the addresses that are new, the routes.
//! Whatever fails leaves the daemon as it was. Then, without a pause in between, every part is switched over;
//! nothing in that can fail.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tracing::{info, warn};

use super::entrance;
use super::error::StartError;
use super::ingresses::{self, Running, Server, in_the_way};
use super::interception::{bind_answerer, covered, of_placed};
use super::parts::{self, acls, identity, node_config};
use crate::admin::{TAKEN_OVER, change_uplink_of};
use crate::budget::{self, Budgets};
use crate::config::{Config, ConfigError, ExistingFlows, Ingress};
use crate::hook::Hook;
use crate::proxy::egress::{Egress, OwnAddresses};
use crate::proxy::ingress::Listen;
use crate::reload::{Change, NotChangeable, Placement, Resolved, Transition};
use crate::report::{DescriptorsReport, InterceptionReport, Report, ReportSource};
use crate::service;
use crate::web::{self, Web};
use throughline::{Identity, Node, Reconfiguration};

/// From what a daemon reloads.
pub struct ReloadFrom {
    /// The configuration file.
    pub file: PathBuf,
    /// Sets what is logged from now on.
    pub set_log: SetLog,
}

/// Sets what is logged from now on: what the configuration says, or else the default.
pub type SetLog = Box<dyn Fn(Option<&str>) -> Result<(), String> + Send + Sync>;

/// Why another configuration is not taken over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The daemon would not start with it, either.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something in it cannot change while the daemon runs.
    #[error(transparent)]
    NotChangeable(#[from] NotChangeable),
    /// An ingress of this daemon has the port in another way.
    #[error(
        "the ingress `{name}` cannot listen on {protocol} {addr} while the ingress `{other}` of this daemon listens on \
         {other_addr}; take `{other}` out in one reload and add it in the next, which leaves its \
         connections alone, or restart the daemon"
    )]
    InTheWay {
        /// The ingress that is to listen.
        name: String,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// Where.
        addr: SocketAddr,
        /// The ingress that listens.
        other: String,
        /// Where.
        other_addr: Listen,
    },
    /// Live flows cannot be judged by the new ACLs.
    #[error(
        "this host's own addresses cannot be listed, by which `allow` is judged: {0}; try again"
    )]
    OwnAddresses(#[source] io::Error),
    /// The daemon is about to end.
    #[error(
        "another process takes this daemon over; reload that one when it runs, or try again if it fails"
    )]
    HandingOver,
    /// The daemon has no file to read.
    #[error("this daemon was not started from a file; restart it to change its configuration")]
    NoFile,
}

impl From<ConfigError> for ReloadError {
    fn from(error: ConfigError) -> Self {
        Self::Start(error.into())
    }
}

/// Reloads the configuration of a daemon. Clones are handles to the same one.
#[derive(Clone)]
pub struct Reloader(Arc<Shared>);

/// What follows a configuration.
pub(super) struct Live {
    pub(super) node: Node,
    pub(super) server: Server,
    pub(super) egress: Arc<Egress>,
    pub(super) hook: Hook,
    pub(super) budgets: Budgets,
    pub(super) web: Web,
}

struct Shared {
    from: Option<ReloadFrom>,
    live: Live,
    ingresses: Mutex<Vec<Running>>,
    /// What is in force. Held for the whole of a reload: there is one at a time.
    config: Arc<AsyncMutex<Config>>,
    /// Another process takes the daemon over.
    paused: AtomicBool,
}

/// Has reloads refused until it is dropped.
pub struct Paused {
    _refusing: Refusing,
    _config: OwnedMutexGuard<Config>,
}

/// Has reloads refused that come from now on, until it is dropped.
struct Refusing(Reloader);

impl Refusing {
    fn begin(reloader: Reloader) -> Self {
        reloader.0.paused.store(true, Ordering::SeqCst);
        Self(reloader)
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.0.paused.store(false, Ordering::SeqCst);
    }
}

/// A configuration that is ready to be taken over.
struct Prepared {
    config: Config,
    plan: Transition,
    node: Reconfiguration,
    budgets: budget::Change,
    own_addresses: OwnAddresses,
    web: web::Prepared,
}

impl Reloader {
    pub(super) fn new(
        from: Option<ReloadFrom>,
        config: Config,
        live: Live,
        ingresses: Vec<Running>,
    ) -> Self {
        let (ingresses, config) = (Mutex::new(ingresses), Arc::new(AsyncMutex::new(config)));
        let paused = AtomicBool::new(false);
        Self(Arc::new(Shared { from, live, ingresses, config, paused }))
    }

    /// Returns the file that it reads, if there is one.
    pub fn file(&self) -> Option<PathBuf> {
        self.0.from.as_ref().map(|from| from.file.clone())
    }

    /// Waits for the reload that is under way, and has others refused until what is returned is dropped.
    pub async fn pause(&self) -> Paused {
        // First: one that came while we wait would wait behind the whole hand-over.
        let refusing = Refusing::begin(self.clone());
        let config = self.0.config.clone().lock_owned().await;
        Paused { _refusing: refusing, _config: config }
    }

    /// Returns what the uplinks may carry.
    pub(super) fn budgets(&self) -> &Budgets {
        &self.0.live.budgets
    }

    /// Returns what listens for applications.
    pub(super) fn ingresses(&self) -> Vec<Running> {
        self.0.ingresses.lock().clone()
    }

    /// Returns the status page.
    pub(super) fn web(&self) -> &Web {
        &self.0.live.web
    }

    /// Returns what reports the state of the daemon.
    pub(super) fn report_source(&self) -> ReportSource {
        let (node, reloader) = (self.0.live.node.clone(), self.clone());
        let descriptors = self.0.live.server.dispatcher.connections().descriptors.clone();
        let budgets = self.0.live.budgets.clone();
        Arc::new(move |detail| {
            let (limit, for_connections) = descriptors.bounds();
            let connections = descriptors.in_use();
            let descriptors = DescriptorsReport { limit, for_connections, connections };
            let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            let interception = reloader.interception();
            let file = reloader.file();
            let status = Report::from(&detail.of(&node));
            let mut report = Report { file, descriptors, tasks, interception, ..status };
            for uplink in &mut report.uplinks {
                uplink.budget = budgets.report(&uplink.name);
            }
            report
        })
    }

    /// Returns what the status page shows and changes.
    pub(super) fn web_source(&self) -> web::Source {
        let (node, reloader) = (self.0.live.node.clone(), self.clone());
        let change = move |uplink: String, change| {
            let (node, reloader) = (node.clone(), reloader.clone());
            Box::pin(async move {
                let changed = change_uplink_of(&node, &uplink, change).await;
                // What another process takes over may not have it any more.
                if reloader.0.paused.load(Ordering::SeqCst) {
                    return Err(TAKEN_OVER.to_owned());
                }
                changed.map(|drain| (&drain).into()).map_err(|error| error.to_string())
            }) as Pin<Box<dyn Future<Output = _> + Send>>
        };
        web::Source {
            node: self.0.live.node.clone(),
            report: self.report_source(),
            change: Arc::new(change),
            tasks: self.0.live.server.tasks.clone(),
        }
    }

    /// Returns what is intercepted, if any ingress intercepts.
    pub(super) fn interception(&self) -> Option<InterceptionReport> {
        let interception = &self.0.live.server.interception;
        let ingresses: Vec<_> =
            self.0.ingresses.lock().iter().filter_map(Running::intercepting).collect();
        let (table, problem) = (interception.table().to_owned(), interception.problem());
        (!ingresses.is_empty()).then_some(InterceptionReport { table, problem, ingresses })
    }

    /// Reads the configuration again and takes it over; returns what changed. With `dry_run` it is only
    /// tried, and what would change is returned. Dropping the future before it completes changes nothing.
    ///
    /// # Errors
    /// The configuration cannot be taken over; the daemon goes on exactly as it was, and unless it was a dry
    /// run an event says so.
    pub async fn reload(&self, dry_run: bool) -> Result<Vec<Change>, ReloadError> {
        let _reported = (!dry_run).then(ReportedReload::begin);
        let reloaded = self.try_reload(dry_run).await;
        if let (Err(error), false) = (&reloaded, dry_run) {
            self.0.live.node.report_config_refused(error.to_string());
        }
        reloaded
    }

    async fn try_reload(&self, dry_run: bool) -> Result<Vec<Change>, ReloadError> {
        if self.0.paused.load(Ordering::SeqCst) {
            return Err(ReloadError::HandingOver);
        }
        let mut config = self.0.config.lock().await;
        let prepared = self.prepare(&config, dry_run).await?;
        let new: Vec<&Ingress> = bound_by(&prepared).collect();
        let interception = &self.0.live.server.interception;
        let intercepted = |bound: Option<&[ingresses::Bound]>| {
            let running = self.0.ingresses.lock();
            let bound = (bound, &self.0.live.server.answerer);
            of_placed(&prepared.config, &prepared.plan.ingresses, &running, bound)
        };
        if dry_run {
            interception.check(&intercepted(None)).await.map_err(StartError::from)?;
            entrance::try_open(&new).map_err(|error| self.not_bound(error))?;
            return Ok(prepared.plan.changes);
        }
        let bound = ingresses::bind(&new, None).map_err(|error| self.not_bound(error))?;
        bind_answerer(&prepared.config, &self.0.live.server.answerer)?;
        // The last that can fail. What it brings waits for the ingress.
        interception.install(intercepted(Some(&bound))).await.map_err(StartError::from)?;
        Ok(self.apply(&mut config, prepared, bound))
    }

    /// Says why an address cannot be bound: the system does not say that its socket is our own.
    fn not_bound(&self, error: StartError) -> ReloadError {
        let StartError::Listen { name, protocol, addr, source } = &error else {
            return error.into();
        };
        let (name, protocol, addr) = (name.clone(), *protocol, *addr);
        let running = self.0.ingresses.lock();
        let is_taken = source.kind() == io::ErrorKind::AddrInUse;
        match in_the_way(&running, protocol, addr).filter(|_| is_taken) {
            Some(other) => {
                let (other, other_addr) = (other.name.clone(), other.addr.clone());
                ReloadError::InTheWay { name, protocol, addr, other, other_addr }
            }
            None => error.into(),
        }
    }

    /// Tries everything that can fail, but for the addresses of ingresses.
    async fn prepare(&self, old: &Config, dry_run: bool) -> Result<Prepared, ReloadError> {
        let from = self.0.from.as_ref().ok_or(ReloadError::NoFile)?;
        let config = Config::load(&from.file)?;
        let identity: Identity = identity(&config)?;
        let key = identity.peer_id();
        let plan = Transition::between(
            Resolved { config: old, key: self.0.live.node.id() },
            Resolved { config: &config, key },
        )?;
        let budgets = self.0.live.budgets.prepare(&config.budgets).await;
        let node = budgets.limit(node_config(&config).identity(identity));
        let node = self.0.live.node.prepare(node).await.map_err(StartError::from)?;
        let own_addresses = OwnAddresses::now().map_err(ReloadError::OwnAddresses)?;
        let web = self.prepare_web(&config, dry_run)?;
        Ok(Prepared { config, plan, node, budgets, own_addresses, web })
    }

    fn prepare_web(&self, config: &Config, dry_run: bool) -> Result<web::Prepared, StartError> {
        let Some(settings) = parts::web(config)? else { return Ok(web::Prepared::default()) };
        let (addr, web) = (settings.addr, &self.0.live.web);
        web.prepare(settings, None, dry_run).map_err(|source| match web.addr() {
            // The system does not say that the socket is our own.
            Some(own) if own.port() == addr.port() => StartError::WebInTheWay { addr, own },
            _ => StartError::Web { addr, source },
        })
    }

    /// Switches over. Nothing in it waits or fails, so that nobody sees a part of it.
    fn apply(
        &self,
        config: &mut Config,
        prepared: Prepared,
        bound: Vec<ingresses::Bound>,
    ) -> Vec<Change> {
        let Prepared { config: new, plan, node, budgets, own_addresses, web: prepared_web } =
            prepared;
        let Live { node: live, server, egress, hook, budgets: keeper, web } = &self.0.live;
        egress.set_acls(acls(&new));
        hook.set(&new.on_event);
        web.apply(prepared_web, || self.web_source());
        server.dispatcher.connections().set(new.tcp, new.connections);
        node.apply_and(|| {
            server.dispatcher.set_policy(new.policy.clone());
            server.answer_queries(covered(&new));
            let mut running = self.0.ingresses.lock();
            server.replace(&mut running, &new.ingresses, &plan.ingresses, bound);
        });
        keeper.apply(&budgets);
        if let Some(from) = &self.0.from
            && let Err(error) = (from.set_log)(new.log.as_deref())
        {
            warn!("what is logged cannot be changed: {error}");
        }
        for change in &plan.changes {
            live.report_config_change(change.to_string());
        }
        if new.existing_flows == ExistingFlows::End {
            self.end_revoked(&own_addresses);
        }
        match plan.changes.len() {
            0 => info!("configuration read again: nothing has changed"),
            1 => info!("configuration read again: one change is in force"),
            count => info!("configuration read again: {count} changes are in force"),
        }
        *config = new;
        plan.changes
    }

    /// Ends the live flows of another process that the configuration does not permit, unless it says to keep
    /// them.
    pub(super) async fn end_revoked_of_former(&self) {
        let keep = self.0.config.lock().await.existing_flows != ExistingFlows::End;
        match OwnAddresses::now() {
            _ if keep => {}
            Ok(own_addresses) => self.end_revoked(&own_addresses),
            Err(error) => warn!("flows are not judged anew: {}", ReloadError::OwnAddresses(error)),
        }
    }

    /// Ends the live flows that the ACLs do not permit any more, and says which.
    fn end_revoked(&self, own_addresses: &OwnAddresses) {
        for revoked in self.0.live.egress.end_not_permitted(own_addresses) {
            self.0.live.node.report_revoked_flow(&revoked.peer, &revoked.target);
        }
    }
}

/// Tells the service manager of a reload; dropping it, that it is over, however it ended.
struct ReportedReload;

impl ReportedReload {
    fn begin() -> Self {
        service::reloading();
        Self
    }
}

impl Drop for ReportedReload {
    fn drop(&mut self) {
        service::reloaded();
    }
}

/// Returns the ingresses whose addresses have to be bound.
fn bound_by(prepared: &Prepared) -> impl Iterator<Item = &Ingress> {
    let ingresses = prepared.config.ingresses.iter().zip(&prepared.plan.ingresses);
    ingresses.filter(|(_, placement)| **placement == Placement::Bound).map(|(ingress, _)| ingress)
}
