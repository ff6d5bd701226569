//! The uplinks of a node, kept up to date: the task that watches, and the questions that others ask.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use throughline_proto::panics::catch;
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
use crate::watcher::{BeforePublish, Changes, Watcher};

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
    /// What is configured now, and whether its routes are seen to.
    settings: Mutex<Settings>,
    /// Brings changes of that to the watcher.
    changes: Arc<Changes>,
    /// The watcher; taken by whoever ends it.
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What uplinks are configured with.
#[derive(Clone, PartialEq, Eq)]
struct Configured {
    uplinks: Arc<[UplinkConfig]>,
    manage_routes: bool,
}

/// What is configured, and what of it is done.
struct Settings {
    configured: Configured,
    /// The routes may be a former process's yet, which manages them until it ends.
    awaits_former: bool,
}

/// Other uplinks, which are ready to be taken over; dropped, it changes nothing.
pub struct UplinksChange {
    new: Configured,
    /// What is done from now on before a snapshot is published, if that is new.
    before: Option<BeforePublish>,
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
        Ok(Self::watch(Configured { uplinks: configured.into(), manage_routes }, before).await)
    }

    /// Starts to watch in the place of another process, which may manage the routes until it ends.
    /// [`take_over_routes`](Self::take_over_routes) has to follow.
    ///
    /// # Errors
    /// The routes are to be managed, and this process may not.
    pub async fn start_after_former(
        configured: Vec<UplinkConfig>,
        manage_routes: bool,
    ) -> Result<Self, ManageError> {
        if manage_routes {
            may_manage_routes()?;
        }
        let configured = Configured { uplinks: configured.into(), manage_routes };
        let uplinks = Self::watch(configured, Box::new(|_| ())).await;
        uplinks.settings.lock().awaits_former = true;
        Ok(uplinks)
    }

    async fn watch(configured: Configured, before: BeforePublish) -> Self {
        let (publish, mut snapshot) = watch::channel(Arc::default());
        let changes = Arc::new(Changes::default());
        let watcher = Watcher::new(configured.uplinks.clone(), publish, before, changes.clone());
        let task = tokio::spawn(run(watcher));
        let first = snapshot.wait_for(|s: &Arc<Snapshot>| s.generation > 0);
        if tokio::time::timeout(FIRST_SNAPSHOT_TIMEOUT, first).await.is_err() {
            warn!("this host's addresses are not known yet");
        }
        let egress = EgressCache::new(route_lookup());
        Self {
            snapshot,
            egress: Mutex::new(egress),
            settings: Mutex::new(Settings { configured, awaits_former: false }),
            changes,
            task: Mutex::new(Some(task)),
        }
    }

    /// Makes ready to take over other uplinks; nothing changes before [`apply`](Self::apply).
    ///
    /// # Errors
    /// The routes cannot be managed.
    pub fn prepare(
        &self,
        uplinks: &[UplinkConfig],
        manage_routes: bool,
    ) -> Result<UplinksChange, ManageError> {
        let settings = self.settings.lock();
        let before: Option<BeforePublish> = match (settings.configured.manage_routes, manage_routes)
        {
            // Whoever takes the routes over does with them as is configured then.
            _ if settings.awaits_former => None,
            (false, true) => Some(before_publish(true)?),
            // What was managed is removed with whoever managed it.
            (true, false) => Some(Box::new(|_| ())),
            (true, true) | (false, false) => None,
        };
        Ok(UplinksChange { new: Configured { uplinks: uplinks.into(), manage_routes }, before })
    }

    /// Takes other uplinks over: a snapshot with them follows. Without a difference nothing happens.
    pub fn apply(&self, change: UplinksChange) {
        let configured = &mut self.settings.lock().configured;
        if *configured != change.new {
            *configured = change.new;
            self.changes.send(configured.uplinks.clone(), change.before);
        }
    }

    /// Takes over the routes that a former process has managed, as it is configured now: the next snapshot sets them,
    /// or they are removed.
    ///
    /// # Errors
    /// They cannot be managed, or removed; the former process may still manage them.
    pub fn take_over_routes(&self) -> Result<(), ManageError> {
        let mut settings = self.settings.lock();
        if !settings.awaits_former {
            return Ok(());
        }
        if settings.configured.manage_routes {
            let before = before_publish(true)?;
            self.changes.send(settings.configured.uplinks.clone(), Some(before));
        } else {
            remove_leftovers()?;
        }
        settings.awaits_former = false;
        Ok(())
    }

    /// Leaves the routes to whichever process has them; returns whether they were to be managed here, which the next
    /// [change](Self::prepare) tries again.
    pub fn leave_routes(&self) -> bool {
        let mut settings = self.settings.lock();
        settings.awaits_former = false;
        std::mem::take(&mut settings.configured.manage_routes)
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

    /// Returns the size of the largest packet that can leave `local` for `remote`, where the system
    /// knows it: the interface's MTU, or what the route or a router on the way allows.
    pub fn path_mtu(&self, local: IpAddr, remote: SocketAddr) -> Option<u32> {
        let interface = self.interface(local).and_then(|name| {
            std::fs::read_to_string(format!("/sys/class/net/{name}/mtu")).ok()?.trim().parse().ok()
        });
        let route = self.egress.lock().route_mtu(local, remote);
        [interface, route].into_iter().flatten().min()
    }

    /// Returns the MTU of the link that has both ends, where the system knows it; `None` through a router.
    pub fn link_mtu(&self, local: IpAddr, remote: SocketAddr) -> Option<u32> {
        let on_link = self.snapshot.borrow().network.are_on_link(local, remote.ip().to_canonical());
        on_link.then(|| self.path_mtu(local, remote)).flatten()
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
/// descriptors) or panics is replaced, and what is published and set stays meanwhile.
async fn run(mut watcher: Watcher) {
    let mut failing = LogThrottle::default();
    loop {
        let error = catch(watch(&mut watcher)).await.unwrap_or_else(io::Error::other);
        if failing.admit(Instant::now(), ()).is_some() {
            warn!("changes of addresses cannot be followed ({error}); looking once a second");
        }
        let mut enumeration = Enumeration;
        let enumerating = catch(watcher.run(&mut enumeration, ChangeKind::Addresses));
        let until = Instant::now() + NETLINK_RETRY;
        // It may end at once, too.
        let _ = tokio::time::timeout_at(until.into(), enumerating).await;
        tokio::time::sleep_until(until.into()).await;
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
        // Those that another process has are its own.
        let _ = remove_leftovers();
        return Ok(Box::new(|_| ()));
    }
    let mut manager = netlink::RouteManager::start()?;
    Ok(Box::new(move |snapshot| manager.apply(snapshot)))
}

#[cfg(not(target_os = "linux"))]
fn before_publish(manage_routes: bool) -> Result<BeforePublish, ManageError> {
    if manage_routes { Err(ManageError::Unsupported) } else { Ok(Box::new(|_| ())) }
}

/// Removes the routes that another process has left.
#[cfg(target_os = "linux")]
fn remove_leftovers() -> Result<(), ManageError> {
    netlink::remove_leftovers()
}

#[cfg(not(target_os = "linux"))]
fn remove_leftovers() -> Result<(), ManageError> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn may_manage_routes() -> Result<(), ManageError> {
    netlink::may_manage_routes()
}

#[cfg(not(target_os = "linux"))]
fn may_manage_routes() -> Result<(), ManageError> {
    Err(ManageError::Unsupported)
}

#[cfg(target_os = "linux")]
fn route_lookup() -> Option<Box<dyn RouteLookup>> {
    netlink::KernelRouteLookup::new().ok().map(|lookup| Box::new(lookup) as _)
}

#[cfg(not(target_os = "linux"))]
fn route_lookup() -> Option<Box<dyn RouteLookup>> {
    None
}
