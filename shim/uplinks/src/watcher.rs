//! Watches a source of addresses and publishes what it shows.
//!
//! ```text
//! source.changed() ── a bell, no more ──▶ source.read() ──▶ Picture ──▶ Snapshot ──▶ who subscribes
//! ```
//!
//! One task per node, owned by [`Uplinks`](super::Uplinks) and ended with it. The first bell is
//! answered at once, since it may be an address that is gone; those that follow within
//! [`ADDRESSES_GAP`] are answered together. Only a snapshot that differs is published. Nothing
//! queues here: bells that come while we read are one bell.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::UplinkConfig;
use super::enumerate::Enumeration;
use super::grouping::{self, Uplink};
use super::picture::Picture;

/// The least time between two readings of links and addresses. Reading takes well below 1 ms, so
/// that a storm of changes costs a fifth of a core at the most, and a removal is acted on within
/// this.
const ADDRESSES_GAP: Duration = Duration::from_millis(5);

/// The least time between two readings of the routes: a routing daemon changes thousands a second.
const ROUTES_GAP: Duration = Duration::from_millis(20);

/// ... and this many times as long as the last one took: there may be a million of them.
const ROUTES_SHARE: u32 = 10;

/// A source that failed is tried again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What changed, or is to be read.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only netlink tells"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Links and addresses.
    Addresses,
    /// Routes and rules.
    Routes,
    /// Both.
    Everything,
}

impl What {
    pub(super) fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Everything }
    }
}

/// Where addresses are learned from. On Linux the kernel tells of every change (`rtnetlink`);
/// elsewhere they are enumerated.
pub trait Source: Send + 'static {
    /// What there is now. What is not asked for is taken from `before`.
    fn read(
        &mut self,
        what: What,
        before: Picture,
    ) -> impl Future<Output = io::Result<Picture>> + Send;

    /// Waits until something may have changed. Cancel-safe.
    fn changed(&mut self) -> impl Future<Output = io::Result<What>> + Send;
}

/// The uplinks at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows with every snapshot.
    pub generation: u64,
    pub uplinks: Vec<Uplink>,
    pub picture: Picture,
}

/// What the task does besides publishing; called with each snapshot before it is published.
pub(super) type Before = Box<dyn FnMut(&Snapshot) + Send>;

pub(super) struct Watcher<S> {
    source: S,
    configured: Arc<[UplinkConfig]>,
    publish: watch::Sender<Arc<Snapshot>>,
    before: Before,
    addresses_read: Option<Instant>,
    routes_from: Option<Instant>,
}

impl<S: Source> Watcher<S> {
    pub(super) fn new(
        source: S,
        configured: Arc<[UplinkConfig]>,
        publish: watch::Sender<Arc<Snapshot>>,
        before: Before,
    ) -> Self {
        Self { source, configured, publish, before, addresses_read: None, routes_from: None }
    }

    /// Runs until the source fails.
    pub(super) async fn run(mut self) -> io::Error {
        let mut due = Some(What::Everything);
        loop {
            // Addresses need not wait for routes.
            let ready = match due {
                None => None,
                Some(What::Routes) => Some((What::Routes, self.routes_from)),
                Some(_) => {
                    let at = self.addresses_read.map(|at| at + ADDRESSES_GAP);
                    let both = self.routes_from.is_none_or(|from| from <= Instant::now());
                    let all = due == Some(What::Everything) && both;
                    Some((if all { What::Everything } else { What::Addresses }, at))
                }
            };
            let bell = match ready {
                None => Some(self.source.changed().await),
                Some((_, Some(at))) if at > Instant::now() => tokio::select! {
                    bell = self.source.changed() => Some(bell),
                    () = tokio::time::sleep_until(at) => None,
                },
                Some(_) => None,
            };
            match (bell, ready) {
                (Some(Ok(what)), _) => due = Some(due.map_or(what, |due| due.and(what))),
                (Some(Err(error)), _) => return error,
                (None, Some((what, _))) => {
                    if let Err(error) = self.look(what, what != What::Addresses).await {
                        return error;
                    }
                    due = match (due, what) {
                        (Some(What::Everything), What::Addresses) => Some(What::Routes),
                        _ => None,
                    };
                }
                (None, None) => {}
            }
        }
    }

    /// Reads and publishes. A change of routes is one even where no default route changed.
    async fn look(&mut self, what: What, routes_changed: bool) -> io::Result<()> {
        let before = self.publish.borrow().clone();
        let started = Instant::now();
        let picture = self.source.read(what, before.picture.clone()).await?;
        if what != What::Routes {
            self.addresses_read = Some(Instant::now());
        }
        if what != What::Addresses {
            let gap = (started.elapsed() * ROUTES_SHARE).max(ROUTES_GAP);
            self.routes_from = Some(Instant::now() + gap);
        }
        if picture == before.picture && !routes_changed {
            return Ok(());
        }
        let uplinks = grouping::group(&self.configured, &picture);
        let snapshot = Snapshot { generation: before.generation + 1, uplinks, picture };
        tell(&before, &snapshot);
        (self.before)(&snapshot);
        self.publish.send_replace(Arc::new(snapshot));
        Ok(())
    }
}

/// Watches by enumeration, for as long as the node lives.
pub(super) async fn enumerate(
    configured: Arc<[UplinkConfig]>,
    publish: watch::Sender<Arc<Snapshot>>,
) {
    loop {
        let nothing = Box::new(|_: &Snapshot| ());
        let watcher = Watcher::new(Enumeration, configured.clone(), publish.clone(), nothing);
        let error = watcher.run().await;
        debug!("addresses cannot be enumerated: {error}");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Logs which addresses came and went, as far as lanes are concerned.
fn tell(before: &Snapshot, now: &Snapshot) {
    let all = |snapshot: &Snapshot| -> Vec<(String, std::net::IpAddr)> {
        let of = |u: &Uplink| u.ips().map(|ip| (u.name.clone(), ip)).collect::<Vec<_>>();
        snapshot.uplinks.iter().flat_map(of).collect()
    };
    let (old, new) = (all(before), all(now));
    if before.generation == 0 {
        return;
    }
    for (uplink, address) in old.iter().filter(|a| !new.contains(a)) {
        match now.picture.carries(*address) {
            true => info!(uplink, %address, "address deprecated"),
            false => warn!(uplink, %address, "address gone, or its link down"),
        }
    }
    for (uplink, address) in new.iter().filter(|a| !old.contains(a)) {
        info!(uplink, %address, "address usable");
    }
}

#[cfg(test)]
mod tests;
