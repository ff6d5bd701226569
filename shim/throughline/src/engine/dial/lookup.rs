//! Resolves the names in locators, off the driver's task.
//!
//! **Tasks and their owner.** A look-up is a task of its own, at most [`MAX_PENDING`] for each name and
//! port. It ends when the system's resolver answers, which may take many seconds; nobody waits for it or
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

/// A look-up that has no answer for so long gets another one beside it: the system's resolver sends
/// its question again after 5 s only (resolv.conf(5)), and gives up after 10 s or more, though the
/// name servers may be back.
const PENDING_PATIENCE: Duration = Duration::from_millis(2500);

/// Look-ups of a name at once; each takes a thread of the runtime.
const MAX_PENDING: usize = 4;

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
    /// Look-ups that have not ended.
    pending: usize,
}

impl Name {
    /// Returns whether to look the name up now.
    fn is_due(&self, now: Instant) -> bool {
        let interval = match (self.pending, self.addresses.is_empty()) {
            (MAX_PENDING.., _) => return false,
            (0, true) => RETRY_INTERVAL,
            (_, true) => PENDING_PATIENCE,
            (_, false) => RESOLVE_INTERVAL,
        };
        self.asked_at.is_none_or(|at| now.saturating_duration_since(at) >= interval)
    }
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
        let now = Instant::now();
        if entry.is_due(now) {
            entry.asked_at = Some(now);
            entry.pending += 1;
            tokio::spawn(look_up(self.names.clone(), key));
        }
        entry.addresses.clone()
    }
}

async fn look_up(names: Arc<Mutex<HashMap<String, Name>>>, key: String) {
    let found = tokio::net::lookup_host(&key).await;
    if let Some(entry) = names.lock().get_mut(&key) {
        entry.pending = entry.pending.saturating_sub(1);
        if let Ok(found) = found {
            entry.addresses = found.collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_that_hangs_gets_others_beside_it_and_one_that_was_answered_waits() {
        let t = Instant::now();
        let mut name = Name::default();
        assert!(name.is_due(t));
        (name.asked_at, name.pending) = (Some(t), 1);
        assert!(!name.is_due(t + RETRY_INTERVAL) && name.is_due(t + PENDING_PATIENCE));
        name.pending = MAX_PENDING;
        assert!(!name.is_due(t + RESOLVE_INTERVAL));
        name.pending = 0;
        assert!(name.is_due(t + RETRY_INTERVAL));
        name.addresses = vec![([192, 0, 2, 1], 1).into()];
        assert!(!name.is_due(t + PENDING_PATIENCE) && name.is_due(t + RESOLVE_INTERVAL));
    }
}
