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

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::UplinkConfig;
use crate::grouping::{self, Uplink};
use crate::network_state::NetworkState;
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

/// How long after a failed reading the next one is tried: short, as an address may be gone ...
const MIN_READ_RETRY: Duration = Duration::from_millis(50);

/// ... and doubled with each failure up to this: a host out of descriptors is not helped by haste.
const MAX_READ_RETRY: Duration = Duration::from_secs(5);

/// Changes of what is configured, on their way to the watcher; the last one counts. The lock is a leaf.
#[derive(Default)]
pub(crate) struct Changes {
    pending: Mutex<Option<Change>>,
    sent: Notify,
}

struct Change {
    uplinks: Arc<[UplinkConfig]>,
    before: Option<BeforePublish>,
}

impl Changes {
    /// Has the watcher publish a snapshot with other uplinks, after doing `before`, if that is new, and
    /// instead of what it did until then.
    pub(crate) fn send(&self, uplinks: Arc<[UplinkConfig]>, before: Option<BeforePublish>) {
        let mut pending = self.pending.lock();
        let unsent = pending.take().and_then(|change| change.before);
        *pending = Some(Change { uplinks, before: before.or(unsent) });
        self.sent.notify_one();
    }
}

/// The watcher of one node: it outlives the sources that it reads.
pub(crate) struct Watcher {
    configured: Arc<[UplinkConfig]>,
    publish: watch::Sender<Arc<Snapshot>>,
    before: BeforePublish,
    changes: Arc<Changes>,
    addresses_read: Option<Instant>,
    routes_from: Option<Instant>,
    /// Readings that failed in a row, and when the next one is tried.
    failures: u32,
    retry_at: Option<Instant>,
}

/// What is to be read next, and not before when.
type Due = Option<(ChangeKind, Option<Instant>)>;

impl Watcher {
    pub(crate) fn new(
        configured: Arc<[UplinkConfig]>,
        publish: watch::Sender<Arc<Snapshot>>,
        before: BeforePublish,
        changes: Arc<Changes>,
    ) -> Self {
        Self {
            configured,
            publish,
            before,
            changes,
            addresses_read: None,
            routes_from: None,
            failures: 0,
            retry_at: None,
        }
    }

    /// Watches until the source can notify no more; returns why. It begins by reading `first`. A reading that fails is tried again,
    /// ever more patiently, and what is published stays as it is meanwhile.
    pub(crate) async fn run(&mut self, source: &mut impl Source, first: ChangeKind) -> io::Error {
        let mut due = Some(first);
        loop {
            let ready = self.next_reading(due);
            let changes = self.changes.clone();
            let notified = match ready {
                Some((_, at)) if at.is_none_or(|at| at <= Instant::now()) => None,
                ready => tokio::select! {
                    change = source.changed() => Some(change),
                    () = sleep_until(ready.and_then(|(_, at)| at)) => None,
                    () = changes.sent.notified() => {
                        self.take_over_change();
                        continue;
                    }
                },
            };
            match (notified, ready) {
                (Some(Ok(what)), _) => due = Some(due.map_or(what, |due| due.merge(what))),
                (Some(Err(error)), _) => return error,
                (None, Some((what, _))) => {
                    let read =
                        self.read_and_publish(source, what, what != ChangeKind::Addresses).await;
                    if self.note_failure(what, read.err().as_ref()) {
                        continue;
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

    /// Returns what of `due` is to be read next, and when. Addresses need not wait for routes.
    fn next_reading(&self, due: Option<ChangeKind>) -> Due {
        let (what, at) = match due? {
            ChangeKind::Routes => (ChangeKind::Routes, self.routes_from),
            due => {
                let at = self.addresses_read.map(|at| at + ADDRESSES_GAP);
                let both = self.routes_from.is_none_or(|from| from <= Instant::now());
                let all = due == ChangeKind::Everything && both;
                (if all { ChangeKind::Everything } else { ChangeKind::Addresses }, at)
            }
        };
        Some((what, at.max(self.retry_at)))
    }

    /// Takes in whether a reading failed, and logs the first failure of a row and its end; returns
    /// whether it failed. Addresses do not wait for routes that cannot be read.
    fn note_failure(&mut self, what: ChangeKind, error: Option<&io::Error>) -> bool {
        let Some(error) = error else {
            // Addresses that can be read end no row of routes that cannot.
            let ends = self.retry_at.take().is_some() || what != ChangeKind::Addresses;
            if ends && std::mem::take(&mut self.failures) > 0 {
                info!("the addresses and routes of this host can be read again");
            }
            return false;
        };
        if self.failures == 0 {
            warn!("the addresses and routes of this host cannot be read ({error}); trying again");
        }
        let patience = MIN_READ_RETRY * (1 << self.failures.min(10));
        self.failures += 1;
        let retry_at = Instant::now() + patience.min(MAX_READ_RETRY);
        if what != ChangeKind::Addresses {
            self.routes_from = Some(retry_at + ROUTES_GAP);
        }
        if what != ChangeKind::Routes {
            self.retry_at = Some(retry_at);
        }
        true
    }

    /// Reads the state and publishes a snapshot of it, if it is new. A change of routes counts as new
    /// even where no default route changed: the egress checks depend on all of them.
    async fn read_and_publish(
        &mut self,
        source: &mut impl Source,
        what: ChangeKind,
        routes_changed: bool,
    ) -> io::Result<()> {
        let before = self.publish.borrow().clone();
        let started = Instant::now();
        let network = source.read(what, before.network.clone()).await?;
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
        self.regroup(&before, network);
        Ok(())
    }

    /// Takes over what is configured anew, and publishes the network that is known with it.
    fn take_over_change(&mut self) {
        let Some(change) = self.changes.pending.lock().take() else { return };
        self.configured = change.uplinks;
        if let Some(before) = change.before {
            self.before = before;
        }
        let before = self.publish.borrow().clone();
        // Else nothing is known yet, and the first reading is about to come.
        if before.generation > 0 {
            self.regroup(&before, before.network.clone());
        }
    }

    /// Publishes a network with the uplinks that are configured now.
    fn regroup(&mut self, before: &Snapshot, network: NetworkState) {
        let uplinks = grouping::group(&self.configured, &network);
        let snapshot = Snapshot { generation: before.generation + 1, uplinks, network };
        log_changes(before, &snapshot);
        (self.before)(&snapshot);
        self.publish.send_replace(Arc::new(snapshot));
    }
}

/// Waits until then; for ever without a time.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
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
