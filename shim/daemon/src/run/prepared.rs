//! A daemon about to start: everything that may fail is done. In between it may be given what another process
//! has.

use std::net::SocketAddr;
use std::path::PathBuf;

use tracing::warn;

use super::error::StartError;
use super::ingresses::{self, Bound};
use super::interception::{bind_answerer, of_bound, table};
use super::parts::{self, admin_path, identity, node_config};
use crate::admin::{AdminError, AdminSocket};
use crate::budget::{self, Opened};
use crate::config::{Admin, Config};
use crate::handover::TakeOver;
use crate::metrics::MetricsServer;
use crate::proxy::connections::raise_descriptor_limit;
use crate::proxy::ingress::intercept::Interception;
use crate::proxy::names::Answerer;
use crate::web::{self, Web};
use throughline::handover::PreparedNode;

/// A daemon that is ready to start.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) budgets: Opened,
    pub(super) node: PreparedNode,
    pub(super) ingresses: Vec<Bound>,
    pub(super) metrics: Option<MetricsServer>,
    pub(super) page: web::Prepared,
    pub(super) admin: Option<AdminSocket>,
    pub(super) interception: Interception,
    pub(super) answerer: Answerer,
}

impl Prepared {
    /// Prepares a daemon, with what another one offers.
    ///
    /// # Errors
    /// Something in the configuration is unavailable. Then nothing is left of it.
    pub(super) async fn new(
        config: Config,
        mut from: Option<&mut TakeOver>,
    ) -> Result<Self, StartError> {
        raise_descriptor_limit();
        let identity = identity(&config)?;
        let wanted: Vec<_> = config.ingresses.iter().collect();
        let ingresses = ingresses::bind(&wanted, from.as_deref_mut())?;
        let interception = Interception::new(table(&config.admin));
        let answerer = inherit_answerer(from.as_deref_mut());
        bind_answerer(&config, &answerer)?;
        interception.check(&of_bound(&config, &ingresses, &answerer)).await?;
        let admin = bind_admin_socket(&config.admin, from.as_deref_mut())?;
        let mut node = node_config(&config).identity(identity);
        if let Some(path) = lane_file(admin.as_ref()) {
            node = node.lane_file(path);
        }
        let metrics = bind_metrics(config.metrics, from.as_deref_mut())?;
        let page = prepare_web(&config, from.as_deref_mut())?;
        if let Some(from) = from {
            node = node.take_over(from.lanes());
        }
        // What a former process counts has been written for this one, or is added when it ends.
        let directory = budget::directory(config.state_directory.as_deref());
        let budgets = Opened::read(directory, &config.budgets).await;
        let node = budgets.limit(node).prepare().await?;
        Ok(Self { config, budgets, node, ingresses, metrics, page, admin, interception, answerer })
    }
}

/// Returns the DNS answerer, with the sockets that `from` has of it.
fn inherit_answerer(from: Option<&mut TakeOver>) -> Answerer {
    let answerer = Answerer::default();
    match from.and_then(TakeOver::answerer) {
        Some(Ok(sockets)) => answerer.inherit(sockets),
        // Others are bound.
        Some(Err(error)) => warn!(%error, "the sockets of the DNS answerer cannot be taken over"),
        None => {}
    }
    answerer
}

/// Binds the address of the metrics, or goes on with the socket that `from` has of it.
fn bind_metrics(
    addr: Option<SocketAddr>,
    from: Option<&mut TakeOver>,
) -> Result<Option<MetricsServer>, StartError> {
    let Some(addr) = addr else { return Ok(None) };
    let server = match from.and_then(|from| from.http(addr)) {
        Some(listener) => listener.and_then(MetricsServer::of),
        None => MetricsServer::bind(addr),
    };
    server.map(Some).map_err(|source| StartError::Metrics { addr, source })
}

/// Prepares the status page, with the socket that `from` has of it.
fn prepare_web(config: &Config, from: Option<&mut TakeOver>) -> Result<web::Prepared, StartError> {
    let Some(settings) = parts::web(config)? else { return Ok(web::Prepared::default()) };
    let addr = settings.addr;
    let inherited = from.and_then(|from| from.http(addr));
    let prepared = Web::default().prepare(settings, inherited, false);
    prepared.map_err(|source| StartError::Web { addr, source })
}

/// Binds the admin socket, or goes on with that of `from`. Without a configured path, only another daemon at
/// it is an error.
fn bind_admin_socket(
    admin: &Admin,
    from: Option<&mut TakeOver>,
) -> Result<Option<AdminSocket>, StartError> {
    if let (Some(from), Some(path)) = (from, admin_path(admin))
        && let Some(descriptor) = from.admin(&path)
        // Whoever removed the directory left nobody a way to it.
        && path.exists()
    {
        let bind_error = |source| AdminError::Bind { path: path.clone(), source };
        return Ok(Some(AdminSocket::inherit(&path, descriptor).map_err(bind_error)?));
    }
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

/// Returns where the node keeps where lanes come from: in the directory that systemd gives a service for its
/// state (`StateDirectory=`), else beside the admin socket.
fn lane_file(admin: Option<&AdminSocket>) -> Option<PathBuf> {
    // A list, separated by colons, where the unit names several.
    let state = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    match state.split(':').next().filter(|directory| !directory.is_empty()) {
        Some(directory) => Some(PathBuf::from(directory).join("lanes")),
        None => {
            let mut path = admin?.path().as_os_str().to_owned();
            path.push(".lanes");
            Some(path.into())
        }
    }
}
