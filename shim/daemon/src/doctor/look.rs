//! Looks at this host, asks the daemon, and probes the paths, side by side and within bounds.

mod host;
mod paths;
mod ports;
mod rate;
mod silences;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::examination::Examination;
use super::observation::{DaemonSeen, LocatorSeen, Observations};
use crate::admin::{self, AdminError};
use crate::config::{Admin, Config, Peer};
use crate::run::{identity, running_admin_path};
use throughline::{Host, Locator};
use throughline_uplinks::{Uplinks, leads_to_this_host};

/// How long names may take to resolve. A resolver asks its second server after 5 s; by then a dial has failed.
pub(super) const DNS_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the daemon may take to answer.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(2);

/// Observes all that a configuration is about.
pub(super) async fn observe(config: &Config, examination: &Examination) -> Observations {
    let identity = identity(config);
    let chosen = |peer: &&Peer| examination.peer.as_ref().is_none_or(|n| *n == peer.config.name);
    let peers: Vec<&Peer> = config.peers.iter().filter(chosen).collect();
    let (daemon, uplinks, locators, mut host) = tokio::join!(
        ask_daemon(config),
        // Without managing routes it cannot fail.
        Uplinks::start(config.uplinks.clone(), false),
        look_up(&peers),
        host::facts(config),
    );
    if let DaemonSeen::Running { report, .. } = &daemon {
        host.descriptor_limit = report.descriptors.limit;
    }
    let ports = match daemon {
        // Without a socket nothing tells whether it is the daemon itself that has them.
        DaemonSeen::Absent if config.admin != Admin::Off => ports::faults(config),
        _ => Vec::new(),
    };
    let mut seen = Observations { daemon, host, ports, locators, ..Observations::default() };
    if let (Ok(uplinks), Ok(identity)) = (&uplinks, &identity) {
        seen.paths = paths::probe(uplinks, identity, &peers, &seen.locators, examination).await;
    }
    if let Ok(uplinks) = uplinks {
        seen.network = (*uplinks.now()).clone();
        uplinks.end().await;
    }
    seen.own_key = Some(identity.map(|identity| identity.peer_id()));
    seen
}

async fn ask_daemon(config: &Config) -> DaemonSeen {
    let Some(path) = running_admin_path(&config.admin) else { return DaemonSeen::Absent };
    let report = match timeout(DAEMON_TIMEOUT, admin::status(&path)).await {
        Ok(Ok(report)) => Box::new(report),
        Ok(Err(AdminError::NotRunning { .. })) => return DaemonSeen::Absent,
        Ok(Err(error @ AdminError::PermissionDenied { .. })) => {
            return DaemonSeen::Denied(error.to_string());
        }
        Ok(Err(error)) => return DaemonSeen::Confused(error.to_string()),
        Err(_) => {
            let path = path.display();
            let late = format!("the daemon at {path} does not answer within {DAEMON_TIMEOUT:?}");
            return DaemonSeen::Confused(late);
        }
    };
    // It only says what a reload would do.
    let unloaded = match timeout(DAEMON_TIMEOUT, admin::reload(&path, true)).await {
        Ok(Ok(answer)) => Ok(answer.changes),
        Ok(Err(AdminError::Refused(reason))) => Err(reason),
        _ => Ok(Vec::new()),
    };
    DaemonSeen::Running { report, unloaded }
}

async fn look_up(peers: &[&Peer]) -> Vec<LocatorSeen> {
    let mut lookups = tokio::task::JoinSet::new();
    for (index, (peer, locator)) in peers
        .iter()
        .flat_map(|peer| peer.config.locators.iter().map(move |l| (peer, l)))
        .enumerate()
    {
        let (peer, locator) = (peer.config.name.clone(), locator.clone());
        lookups.spawn(async move { (index, seen(peer, &locator).await) });
    }
    let mut seen = lookups.join_all().await;
    seen.sort_by_key(|(index, _)| *index);
    seen.into_iter().map(|(_, seen)| seen).collect()
}

async fn seen(peer: String, locator: &Locator) -> LocatorSeen {
    let addresses = resolve(locator).await;
    let is_own = |addr: &&SocketAddr| {
        // Loopback is where emulated networks are.
        !addr.ip().is_loopback() && leads_to_this_host(addr.ip()).unwrap_or(false)
    };
    let own = addresses.iter().flatten().filter(is_own).copied().collect();
    LocatorSeen { peer, locator: locator.to_string(), addresses, own }
}

async fn resolve(locator: &Locator) -> Result<Vec<SocketAddr>, String> {
    let name = match &locator.host {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, locator.port)]),
        Host::Name(name) => name.to_string(),
    };
    let lookup = tokio::net::lookup_host((name, locator.port));
    match timeout(DNS_TIMEOUT, lookup).await {
        Ok(Ok(found)) => {
            let mut found: Vec<SocketAddr> = found.collect();
            found.dedup();
            match found.is_empty() {
                true => Err("the name server knows no address of it".to_owned()),
                false => Ok(found),
            }
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no name server answers within {DNS_TIMEOUT:?}")),
    }
}
