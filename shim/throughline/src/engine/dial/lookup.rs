//! Resolves the names in locators, off the driver's task.
//!
//! **Tasks and their owner.** A look-up is a task of its own, at most one for each name and port. It
//! ends when the system's resolver answers, which may take many seconds; nobody waits for it or
//! aborts it, and what it finds is used at the next update.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use throughline_proto::types::{Host, Locator};

/// A name is resolved again after this: its addresses follow a renumbering within the time to live
/// that is usual for such records.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);

/// A name without an answer is resolved again sooner: nothing can be dialed without one.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Resolves locators and remembers what names led to.
#[derive(Default)]
pub(super) struct NameLookup {
    /// By name and port.
    names: Arc<Mutex<HashMap<String, Name>>>,
}

#[derive(Default)]
struct Name {
    addresses: Vec<SocketAddr>,
    asked_at: Option<Instant>,
    /// The last look-up has not ended.
    is_pending: bool,
}

impl NameLookup {
    /// Returns the addresses of `locators` as far as they are known, without repetition; names that
    /// are unknown, or were resolved a while ago, are being resolved.
    pub(super) fn addresses(&self, locators: &[Locator]) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for locator in locators {
            match &locator.host {
                Host::Ip(ip) => addresses.push(SocketAddr::new(*ip, locator.port)),
                Host::Name(name) => addresses.extend(self.resolve(name, locator.port)),
            }
        }
        let mut seen = HashSet::new();
        addresses.retain(|address| seen.insert(*address));
        addresses
    }

    fn resolve(&self, name: &str, port: u16) -> Vec<SocketAddr> {
        let key = format!("{name}:{port}");
        let mut names = self.names.lock();
        let entry = names.entry(key.clone()).or_default();
        let interval = if entry.addresses.is_empty() { RETRY_INTERVAL } else { RESOLVE_INTERVAL };
        if !entry.is_pending && entry.asked_at.is_none_or(|at| at.elapsed() >= interval) {
            (entry.asked_at, entry.is_pending) = (Some(Instant::now()), true);
            tokio::spawn(look_up(self.names.clone(), key));
        }
        entry.addresses.clone()
    }
}

async fn look_up(names: Arc<Mutex<HashMap<String, Name>>>, key: String) {
    let found = tokio::net::lookup_host(&key).await;
    if let Some(entry) = names.lock().get_mut(&key) {
        entry.is_pending = false;
        if let Ok(found) = found {
            entry.addresses = found.collect();
        }
    }
}
