//! Watches a source of the network state and publishes what it shows.
//!
//! ```text
//! source.changed() ── a notification ──▶ source.read() ──▶ NetworkState ──▶ Snapshot ──▶ followers
//! ```
//!
//! One task per node runs this; [`Uplinks`](crate::Uplinks) owns it and ends it. A notification only
//! says that something changed; the whole state is then read anew. The first notification is answered
//! at once, since it may mean that an address is gone; those within the next [`ADDRESSES_GAP`] are
//! answered together. Only a snapshot that differs is published. Nothing queues here: notifications
//! that arrive during a reading count as one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::UplinkConfig;
use crate::grouping::{self, Uplink};
use crate::snapshot::Snapshot;
use crate::source::{ChangeKind, Source};

/// The least time between two readings of links and addresses. Reading takes well below 1 ms, so
/// that a storm of changes costs a fifth of a core at the most, and a removal is acted on within
/// this.
const ADDRESSES_GAP: Duration = Duration::from_millis(5);

/// The least time between two readings of the routes: a routing daemon changes thousands a second.
const ROUTES_GAP: Duration = Duration::from_millis(20);

/// ... and this many times as long as the last one took: there may be a million of them.
const ROUTES_SHARE: u32 = 10;

/// What the task does besides publishing; called with each snapshot before it is published.
pub(crate) type BeforePublish = Box<dyn FnMut(&Snapshot) + Send>;

pub(crate) struct Watcher<S> {
    source: S,
    configured: Arc<[UplinkConfig]>,
    publish: watch::Sender<Arc<Snapshot>>,
    before: BeforePublish,
    addresses_read: Option<Instant>,
    routes_from: Option<Instant>,
}

impl<S: Source> Watcher<S> {
    pub(crate) fn new(
        source: S,
        configured: Arc<[UplinkConfig]>,
        publish: watch::Sender<Arc<Snapshot>>,
        before: BeforePublish,
    ) -> Self {
        Self { source, configured, publish, before, addresses_read: None, routes_from: None }
    }

    /// Runs until the source fails.
    pub(crate) async fn run(mut self) -> io::Error {
        let mut due = Some(ChangeKind::Everything);
        loop {
            // Addresses need not wait for routes.
            let ready = match due {
                None => None,
                Some(ChangeKind::Routes) => Some((ChangeKind::Routes, self.routes_from)),
                Some(_) => {
                    let at = self.addresses_read.map(|at| at + ADDRESSES_GAP);
                    let both = self.routes_from.is_none_or(|from| from <= Instant::now());
                    let all = due == Some(ChangeKind::Everything) && both;
                    Some((if all { ChangeKind::Everything } else { ChangeKind::Addresses }, at))
                }
            };
            let notified = match ready {
                None => Some(self.source.changed().await),
                Some((_, Some(at))) if at > Instant::now() => tokio::select! {
                    change = self.source.changed() => Some(change),
                    () = tokio::time::sleep_until(at) => None,
                },
                Some(_) => None,
            };
            match (notified, ready) {
                (Some(Ok(what)), _) => due = Some(due.map_or(what, |due| due.merge(what))),
                (Some(Err(error)), _) => return error,
                (None, Some((what, _))) => {
                    if let Err(error) =
                        self.read_and_publish(what, what != ChangeKind::Addresses).await
                    {
                        return error;
                    }
                    due = match (due, what) {
                        (Some(ChangeKind::Everything), ChangeKind::Addresses) => {
                            Some(ChangeKind::Routes)
                        }
                        _ => None,
                    };
                }
                (None, None) => {}
            }
        }
    }

    /// Reads the state and publishes a snapshot of it, if it is new. A change of routes counts as new
    /// even where no default route changed: the egress checks depend on all of them.
    async fn read_and_publish(&mut self, what: ChangeKind, routes_changed: bool) -> io::Result<()> {
        let before = self.publish.borrow().clone();
        let started = Instant::now();
        let network = self.source.read(what, before.network.clone()).await?;
        if what != ChangeKind::Routes {
            self.addresses_read = Some(Instant::now());
        }
        if what != ChangeKind::Addresses {
            let gap = (started.elapsed() * ROUTES_SHARE).max(ROUTES_GAP);
            self.routes_from = Some(Instant::now() + gap);
        }
        if network == before.network && !routes_changed {
            return Ok(());
        }
        let uplinks = grouping::group(&self.configured, &network);
        let snapshot = Snapshot { generation: before.generation + 1, uplinks, network };
        log_changes(&before, &snapshot);
        (self.before)(&snapshot);
        self.publish.send_replace(Arc::new(snapshot));
        Ok(())
    }
}

/// Logs the addresses that lanes can use from now on, and those that they no longer can.
fn log_changes(before: &Snapshot, now: &Snapshot) {
    let all = |snapshot: &Snapshot| -> Vec<(String, std::net::IpAddr)> {
        let of = |u: &Uplink| u.ips().map(|ip| (u.name.clone(), ip)).collect::<Vec<_>>();
        snapshot.uplinks.iter().flat_map(of).collect()
    };
    let (old, new) = (all(before), all(now));
    if before.generation == 0 {
        return;
    }
    for (uplink, address) in old.iter().filter(|a| !new.contains(a)) {
        match now.network.carries(*address) {
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
