//! The uplinks of a node, kept up to date: the task that watches, and the questions that others ask.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use throughline_proto::path::Path;
use throughline_proto::throttle::LogThrottle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::config::{ManageError, UplinkConfig};
use crate::egress_cache::EgressCache;
use crate::egress_check::{EgressCheck, RouteLookup};
use crate::enumerate::Enumeration;
use crate::grouping::Uplink;
#[cfg(target_os = "linux")]
use crate::netlink;
use crate::paths;
use crate::snapshot::Snapshot;
use crate::source::ChangeKind;
use crate::status::UplinkStatus;
use crate::watcher::{BeforePublish, Watcher};

/// How long a node waits for the first snapshot. Reading takes milliseconds.
const FIRST_SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long addresses are enumerated after the source of notifications has failed, before it is tried
/// anew. Enumeration needs a descriptor as well, so a shorter time would help nobody.
const NETLINK_RETRY: Duration = Duration::from_secs(2);

/// The interface that a socket has to be bound to, where that is needed.
pub type Device = Option<String>;

/// The uplinks of a node, kept up to date until [`end`](Self::end) or until it is dropped.
pub struct Uplinks {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    egress: Mutex<EgressCache>,
    /// The watcher; taken by whoever ends it.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Uplinks {
    /// Starts to watch, and to manage the routes if `manage_routes`; returns once the first snapshot
    /// is there, or after two seconds without one.
    ///
    /// # Errors
    /// The routes cannot be managed.
    pub async fn start(
        configured: Vec<UplinkConfig>,
        manage_routes: bool,
    ) -> Result<Self, ManageError> {
        let before = before_publish(manage_routes)?;
        let (publish, mut snapshot) = watch::channel(Arc::default());
        let task = tokio::spawn(run(Watcher::new(configured.into(), publish, before)));
        let first = snapshot.wait_for(|s: &Arc<Snapshot>| s.generation > 0);
        if tokio::time::timeout(FIRST_SNAPSHOT_TIMEOUT, first).await.is_err() {
            warn!("this host's addresses are not known yet");
        }
        let egress = EgressCache::new(route_lookup());
        Ok(Self { snapshot, egress: Mutex::new(egress), task: Mutex::new(Some(task)) })
    }

    /// Stops watching. When this returns, the kernel's routes are as they were before.
    pub async fn end(&self) {
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }

    /// Returns the present snapshot.
    pub fn now(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Follows the snapshots; the present one counts as seen.
    pub fn follow(&self) -> watch::Receiver<Arc<Snapshot>> {
        let mut snapshot = self.snapshot.clone();
        snapshot.mark_unchanged();
        snapshot
    }

    /// Returns every path to the peer's addresses for which there is a route, each with the interface
    /// that its socket has to be bound to, if any.
    pub fn paths(&self, snapshot: &Snapshot, remotes: &[SocketAddr]) -> Vec<(Path, Device)> {
        let routed = |path: Path| {
            let check = self.egress(snapshot, path.local, path.remote);
            check.is_usable().then_some((path, check.device))
        };
        paths::paths(&snapshot.uplinks, remotes).into_iter().filter_map(routed).collect()
    }

    /// Returns the interface that a lane's socket has to be bound to so that its packets leave by
    /// their own uplink, where that is needed and suffices.
    pub fn device(&self, local: IpAddr, remote: SocketAddr) -> Device {
        self.egress(&self.now(), local, remote).device
    }

    /// Returns the name of the interface that has an address.
    pub fn interface(&self, local: IpAddr) -> Option<String> {
        self.snapshot.borrow().network.interface_of(local).map(str::to_owned)
    }

    /// Logs, once, that packets from `local` to `remote` leave by another uplink than their own.
    pub fn check(&self, local: IpAddr, remote: SocketAddr) {
        let _ = self.egress(&self.now(), local, remote);
    }

    fn egress(&self, snapshot: &Snapshot, local: IpAddr, remote: SocketAddr) -> EgressCheck {
        self.egress.lock().check(snapshot, local, remote)
    }

    /// Returns the uplinks, each with how its packets leave for the `remotes`.
    pub fn status(&self, remotes: &[SocketAddr]) -> Vec<UplinkStatus> {
        let snapshot = self.now();
        let paths = paths::paths(&snapshot.uplinks, remotes);
        let status = |uplink: &Uplink| {
            let own = paths.iter().filter(|path| path.uplink == uplink.name);
            let check = |path: &Path| {
                let check = self.egress(&snapshot, path.local, path.remote);
                check.status(path.local, path.remote)
            };
            UplinkStatus { egress_checks: own.map(check).collect(), ..uplink.status() }
        };
        snapshot.uplinks.iter().map(status).collect()
    }
}

impl Drop for Uplinks {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// Watches for as long as the node lives.
///
/// The route manager is owned by the watcher in this task, so that aborting the task removes the rules
/// and routes wherever it stands, and nothing else does: a source that fails (a host out of
/// descriptors) is replaced, and what is published and set stays meanwhile.
async fn run(mut watcher: Watcher) {
    let mut failing = LogThrottle::default();
    loop {
        let error = watch(&mut watcher).await;
        if failing.admit(Instant::now(), ()).is_some() {
            warn!("changes of addresses cannot be followed ({error}); looking once a second");
        }
        let _ = tokio::time::timeout(
            NETLINK_RETRY,
            watcher.run(&mut Enumeration, ChangeKind::Addresses),
        )
        .await;
    }
}

/// Follows the kernel's notifications until that is no longer possible; returns why.
#[cfg(target_os = "linux")]
async fn watch(watcher: &mut Watcher) -> io::Error {
    match netlink::NetlinkSource::new() {
        Ok(mut source) => watcher.run(&mut source, ChangeKind::Everything).await,
        Err(error) => error,
    }
}

/// Enumerates: the system has no notifications that this program knows.
#[cfg(not(target_os = "linux"))]
async fn watch(watcher: &mut Watcher) -> io::Error {
    watcher.run(&mut Enumeration, ChangeKind::Addresses).await
}

/// Returns what is to be done with a snapshot before it is published: set the routes it asks for.
#[cfg(target_os = "linux")]
fn before_publish(manage_routes: bool) -> Result<BeforePublish, ManageError> {
    if !manage_routes {
        netlink::remove_leftovers();
        return Ok(Box::new(|_| ()));
    }
    let mut manager = netlink::RouteManager::start()?;
    Ok(Box::new(move |snapshot| manager.apply(snapshot)))
}

#[cfg(not(target_os = "linux"))]
fn before_publish(manage_routes: bool) -> Result<BeforePublish, ManageError> {
    if manage_routes { Err(ManageError::Unsupported) } else { Ok(Box::new(|_| ())) }
}

#[cfg(target_os = "linux")]
fn route_lookup() -> Option<Box<dyn RouteLookup>> {
    netlink::KernelRouteLookup::new().ok().map(|lookup| Box::new(lookup) as _)
}

#[cfg(not(target_os = "linux"))]
fn route_lookup() -> Option<Box<dyn RouteLookup>> {
    None
}
