//! This host's uplinks: which addresses there are, which paths they make to a peer, and whether
//! packets from an address leave by its own provider.
//!
//! ```text
//! netlink (Linux) │ enumerate (elsewhere)      I/O: what the system says
//!        └── watcher ──┘                       one task: reads at every change, publishes
//!     picture ▸ grouping ▸ paths               pure: addresses ▸ uplinks ▸ paths
//!     exit                                     pure: does the routing fit the source?
//! ```
//!
//! [`Uplinks`] belongs to the node, and the task and all that it did end with it. Who wants to know
//! of changes subscribes to the [`Snapshot`]s; nobody enumerates anything by himself.

mod enumerate;
mod exit;
mod grouping;
#[cfg(target_os = "linux")]
mod netlink;
mod paths;
mod picture;
mod watcher;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use self::exit::{Exit, Ways};
pub(crate) use self::watcher::Snapshot;
use self::watcher::Watcher;
use crate::net::said::Said;
use crate::net::status::{ExitState, UplinkStatus};
use crate::state::plan::Path;
use crate::vocab::class::Class;

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

/// The uplinks of a node, kept up to date.
pub(crate) struct Uplinks {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    exits: Mutex<Exits>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Exits {
    /// Who knows the way of packets; nobody where the system does not say.
    ways: Option<Box<dyn Ways>>,
    /// What was found out about the snapshot of this generation.
    generation: u64,
    known: HashMap<(IpAddr, SocketAddr), Exit>,
    said: Said<(IpAddr, IpAddr)>,
}

impl Uplinks {
    /// Begins to watch; returns when the first snapshot is there.
    pub(crate) async fn start(configured: Vec<UplinkConfig>) -> Self {
        let (publish, mut snapshot) = watch::channel(Arc::default());
        let task = tokio::spawn(run(configured.into(), publish));
        let first = snapshot.wait_for(|s: &Arc<Snapshot>| s.generation > 0);
        if tokio::time::timeout(FIRST_WITHIN, first).await.is_err() {
            warn!("this host's addresses are not known yet");
        }
        let exits = Exits { ways: ways(), ..Exits::default() };
        Self { snapshot, exits: Mutex::new(exits), task }
    }

    /// What there is now.
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Follows the snapshots; the present one counts as seen.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Snapshot>> {
        let mut snapshot = self.snapshot.clone();
        snapshot.mark_unchanged();
        snapshot
    }

    /// Every path to the peer's addresses for which there is a route.
    pub(crate) fn paths(&self, snapshot: &Snapshot, remotes: &[SocketAddr]) -> Vec<Path> {
        let mut paths = paths::paths(&snapshot.uplinks, remotes);
        paths.retain(|path| self.exit(snapshot, path.local, path.remote).is_usable());
        paths
    }

    /// The interface that a lane's socket has to be bound to so that its packets leave by their
    /// own uplink, where that is needed and is enough.
    pub(crate) fn device(&self, local: IpAddr, remote: SocketAddr) -> Option<String> {
        self.exit(&self.now(), local, remote).device
    }

    /// The interface that has an address.
    pub(crate) fn interface(&self, local: IpAddr) -> Option<String> {
        self.snapshot.borrow().picture.interface_of(local).map(str::to_owned)
    }

    /// Says in the log, once, where packets to `remote` leave by a way that is not their own.
    pub(crate) fn check(&self, local: IpAddr, remote: SocketAddr) {
        let _ = self.exit(&self.now(), local, remote);
    }

    fn exit(&self, snapshot: &Snapshot, local: IpAddr, remote: SocketAddr) -> Exit {
        let mut exits = self.exits.lock();
        if exits.generation != snapshot.generation || exits.known.len() >= EXITS {
            exits.generation = snapshot.generation;
            exits.known.clear();
        }
        if let Some(exit) = exits.known.get(&(local, remote)) {
            return exit.clone();
        }
        let Exits { ways: Some(ways), known, said, .. } = &mut *exits else { return Exit::UNKNOWN };
        let whose = snapshot.uplinks.iter().find_map(|uplink| {
            let found = uplink.addresses.iter().find(|f| f.net.addr() == local)?;
            Some((uplink, found))
        });
        let Some((uplink, found)) = whose else { return Exit::UNKNOWN };
        let exit = exit::judge(snapshot, uplink, found, remote, ways.as_mut());
        known.insert((local, remote), exit.clone());
        let pair = (local, remote.ip());
        match &exit.state {
            ExitState::Foreign { .. } => {
                if said.is_news(Instant::now(), pair) {
                    let trouble = exit.clone().status(local, remote);
                    warn!(uplink = uplink.name, "{trouble}");
                }
            }
            _ => said.forget(|known| *known == pair),
        }
        exit
    }

    /// What there is, and how packets leave for the `remotes`.
    pub(crate) fn status(&self, remotes: &[SocketAddr]) -> Vec<UplinkStatus> {
        let snapshot = self.now();
        let paths = paths::paths(&snapshot.uplinks, remotes);
        let one = |uplink: &grouping::Uplink| {
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
        self.task.abort();
    }
}

/// Watches for as long as anybody wants to know.
async fn run(configured: Arc<[UplinkConfig]>, publish: watch::Sender<Arc<Snapshot>>) {
    #[cfg(target_os = "linux")]
    {
        let error = match netlink::Rtnetlink::new() {
            Ok(source) => {
                let nothing = Box::new(|_: &Snapshot| ());
                Watcher::new(source, configured.clone(), publish.clone(), nothing).run().await
            }
            Err(error) => error,
        };
        warn!("netlink does not work ({error}); addresses are looked up once a second");
    }
    watcher::enumerate(configured, publish).await;
}

#[cfg(target_os = "linux")]
fn ways() -> Option<Box<dyn Ways>> {
    netlink::ask::KernelWays::new().ok().map(|ways| Box::new(ways) as _)
}

#[cfg(not(target_os = "linux"))]
fn ways() -> Option<Box<dyn Ways>> {
    None
}
