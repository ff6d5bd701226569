//! This host's uplinks: which addresses there are, which paths they make to a peer, and whether
//! packets from an address leave by its own provider.
//!
//! ```text
//! netlink (Linux) │ enumerate (elsewhere)      I/O: what the system says
//!        └── watcher ──┘                       one task: reads at every change, publishes
//!     picture ▸ grouping ▸ paths               pure: addresses ▸ uplinks ▸ paths
//!     exit                                     pure: does the routing fit the source?
//!     routes                                   pure: rules and tables that make it fit
//! ```
//!
//! [`Uplinks`] belongs to the node, and the task and all that it did end with it. Who wants to know
//! of changes subscribes to the [`Snapshot`]s; nobody enumerates anything by himself.

mod enumerate;
pub mod exit;
pub mod grouping;
#[cfg(target_os = "linux")]
mod netlink;
pub mod paths;
pub mod picture;
#[cfg(target_os = "linux")]
mod routes;
pub mod status;
pub mod watcher;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use self::exit::{Exit, Ways};
pub use self::grouping::Uplink;
pub use self::watcher::Snapshot;
use self::watcher::{Before, Watcher};
use status::UplinkStatus;
use throughline_proto::plan::Path;
use throughline_proto::types::Class;

/// `rtm_protocol` of what we install in the kernel. No other program uses it
/// (`linux/rtnetlink.h`, `iproute2/rt_protos`).
#[cfg(target_os = "linux")]
const OUR_PROTOCOL: u8 = 116;

/// The first reading takes milliseconds; a node does not wait longer for it than this.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// Pairs of addresses whose exit is remembered. A node has tens.
const EXITS: usize = 4096;

/// An uplink as given to [`crate::NodeBuilder::uplink`].
#[derive(Clone, Debug, Default)]
pub struct UplinkConfig {
    /// Its name.
    pub name: String,
    /// Local addresses with one of these prefixes belong to it. On loopback, where one prefix
    /// holds every address, a host prefix (`127.0.1.1/32`) stands for that address itself.
    pub prefixes: Vec<IpNet>,
    /// Or: the addresses of this interface.
    pub interface: Option<String>,
    /// Whose addresses these are.
    pub class: Class,
    /// Cold: no lane over it until another one is lost.
    pub metered: bool,
}

/// The interface to bind a socket to, where that is needed.
pub type Device = Option<String>;

/// Why routes cannot be managed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManageError {
    /// We may not change rules and routes.
    #[error("not permitted; give it CAP_NET_ADMIN, or do without `manage-routes`")]
    Denied,
    /// Another one does already, in this network namespace.
    #[error("another throughline does so here; let only one of them")]
    Taken,
    /// This system has no rules by source that we could set.
    #[error("this system is not supported; do without `manage-routes`")]
    Unsupported,
    /// The kernel failed.
    #[error("the kernel refused: {0}; do without `manage-routes` where it has no policy routing")]
    Kernel(#[source] io::Error),
}

/// The uplinks of a node, kept up to date.
pub struct Uplinks {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    exits: Mutex<Exits>,
    /// Until the end.
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Exits {
    /// Who knows the way of packets; nobody where the system does not say.
    ways: Option<Box<dyn Ways>>,
    /// What was found out about the snapshot of this generation.
    generation: u64,
    known: HashMap<(IpAddr, SocketAddr), Exit>,
    /// Between which addresses something is wrong, as the log knows.
    troubles: HashSet<(IpAddr, IpAddr)>,
}

impl Uplinks {
    /// Begins to watch, and to manage the routes if asked to; returns when the first snapshot is
    /// there.
    ///
    /// # Errors
    /// The routes cannot be managed.
    pub async fn start(
        configured: Vec<UplinkConfig>,
        manage_routes: bool,
    ) -> Result<Self, ManageError> {
        let before = before(manage_routes)?;
        let (publish, mut snapshot) = watch::channel(Arc::default());
        let task = tokio::spawn(run(configured.into(), publish, before));
        let first = snapshot.wait_for(|s: &Arc<Snapshot>| s.generation > 0);
        if tokio::time::timeout(FIRST_WITHIN, first).await.is_err() {
            warn!("this host's addresses are not known yet");
        }
        let exits = Exits { ways: ways(), ..Exits::default() };
        Ok(Self { snapshot, exits: Mutex::new(exits), task: Mutex::new(Some(task)) })
    }

    /// Watches no more; when this returns, the kernel's routes are as they were before.
    pub async fn end(&self) {
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }

    /// What there is now.
    pub fn now(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Follows the snapshots; the present one counts as seen.
    pub fn follow(&self) -> watch::Receiver<Arc<Snapshot>> {
        let mut snapshot = self.snapshot.clone();
        snapshot.mark_unchanged();
        snapshot
    }

    /// Every path to the peer's addresses for which there is a route, and the interface that its
    /// socket has to be bound to, if any.
    pub fn paths(&self, snapshot: &Snapshot, remotes: &[SocketAddr]) -> Vec<(Path, Device)> {
        let judged = |path: Path| {
            let exit = self.exit(snapshot, path.local, path.remote);
            exit.is_usable().then_some((path, exit.device))
        };
        paths::paths(&snapshot.uplinks, remotes).into_iter().filter_map(judged).collect()
    }

    /// The interface that a lane's socket has to be bound to so that its packets leave by their
    /// own uplink, where that is needed and is enough.
    pub fn device(&self, local: IpAddr, remote: SocketAddr) -> Device {
        self.exit(&self.now(), local, remote).device
    }

    /// The interface that has an address.
    pub fn interface(&self, local: IpAddr) -> Option<String> {
        self.snapshot.borrow().picture.interface_of(local).map(str::to_owned)
    }

    /// Says in the log, once, where packets to `remote` leave by a way that is not their own.
    pub fn check(&self, local: IpAddr, remote: SocketAddr) {
        let _ = self.exit(&self.now(), local, remote);
    }

    fn exit(&self, snapshot: &Snapshot, local: IpAddr, remote: SocketAddr) -> Exit {
        let mut exits = self.exits.lock();
        if exits.generation != snapshot.generation || exits.known.len() >= EXITS {
            exits.generation = snapshot.generation;
            exits.known.clear();
            if exits.troubles.len() >= EXITS {
                exits.troubles.clear();
            }
        }
        if let Some(exit) = exits.known.get(&(local, remote)) {
            return exit.clone();
        }
        let Exits { ways: Some(ways), known, troubles, .. } = &mut *exits else {
            return Exit::UNKNOWN;
        };
        let whose = snapshot.uplinks.iter().find_map(|uplink| {
            let found = uplink.addresses.iter().find(|f| f.net.addr() == local)?;
            Some((uplink, found))
        });
        let Some((uplink, found)) = whose else { return Exit::UNKNOWN };
        let exit = exit::judge(snapshot, uplink, found, remote, ways.as_mut());
        known.insert((local, remote), exit.clone());
        let trouble = exit.clone().status(local, remote);
        if trouble.cure().is_none() {
            troubles.remove(&(local, remote.ip()));
        } else if troubles.insert((local, remote.ip())) {
            warn!(uplink = uplink.name, "{trouble}");
        }
        exit
    }

    /// What there is, and how packets leave for the `remotes`.
    pub fn status(&self, remotes: &[SocketAddr]) -> Vec<UplinkStatus> {
        let snapshot = self.now();
        let paths = paths::paths(&snapshot.uplinks, remotes);
        let one = |uplink: &Uplink| {
            let ours = paths.iter().filter(|path| path.uplink == uplink.name);
            let exit = |path: &Path| {
                let exit = self.exit(&snapshot, path.local, path.remote);
                exit.status(path.local, path.remote)
            };
            UplinkStatus { exits: ours.map(exit).collect(), ..uplink.status() }
        };
        snapshot.uplinks.iter().map(one).collect()
    }
}

impl Drop for Uplinks {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// Watches for as long as the node lives. What manages the routes belongs to this task, and takes
/// them away when it ends, however it ends.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "nothing is managed there"))]
async fn run(
    configured: Arc<[UplinkConfig]>,
    publish: watch::Sender<Arc<Snapshot>>,
    before: Before,
) {
    #[cfg(target_os = "linux")]
    {
        let error = match netlink::Rtnetlink::new() {
            Ok(source) => {
                Watcher::new(source, configured.clone(), publish.clone(), before).run().await
            }
            Err(error) => error,
        };
        warn!("netlink does not work ({error}); addresses are looked up once a second");
    }
    watcher::enumerate(configured, publish).await;
}

/// What is to be done before a snapshot is published.
#[cfg(target_os = "linux")]
fn before(manage_routes: bool) -> Result<Before, ManageError> {
    if !manage_routes {
        netlink::install::sweep();
        return Ok(Box::new(|_| ()));
    }
    let mut manager = netlink::install::Manager::start()?;
    Ok(Box::new(move |snapshot| manager.apply(snapshot)))
}

#[cfg(not(target_os = "linux"))]
fn before(manage_routes: bool) -> Result<Before, ManageError> {
    if manage_routes { Err(ManageError::Unsupported) } else { Ok(Box::new(|_| ())) }
}

#[cfg(target_os = "linux")]
fn ways() -> Option<Box<dyn Ways>> {
    netlink::ask::KernelWays::new().ok().map(|ways| Box::new(ways) as _)
}

#[cfg(not(target_os = "linux"))]
fn ways() -> Option<Box<dyn Ways>> {
    None
}
