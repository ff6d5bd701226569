//! How many descriptors the proxy's connections may take, so that lanes always have theirs.
//!
//! A lane's socket is a descriptor, and a lane is dialed just when something is wrong: it must not
//! compete with the clients that wait at an ingress for every descriptor that is freed. So part of
//! the process's limit is kept for everything but TCP connections. At the bound an ingress lets its
//! clients wait in the kernel's queue, and the egress refuses flows; existing ones go on.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use throughline_proto::throttle::LogThrottle;

/// Descriptors that connections leave to lanes, dials, listeners, netlink, files and the admin
/// socket: sixteen dials and four lanes with each of ten peers. Half of the limit where that is little.
const RESERVED: usize = 256;

/// Assumed where the system has no limit, or does not say.
const UNLIMITED: usize = 1 << 20;

/// The descriptors that connections may take. Clones share them.
#[derive(Clone, Debug)]
pub struct Descriptors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Arc<Semaphore>,
    limit: usize,
    total: usize,
    logged: Mutex<LogThrottle<()>>,
}

impl Default for Descriptors {
    fn default() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self::of_limit(limit.map_or(UNLIMITED, |limit| usize::try_from(limit).unwrap_or(UNLIMITED)))
    }
}

impl Descriptors {
    /// Returns what connections may take of a process's `limit`.
    pub fn of_limit(limit: usize) -> Self {
        let total = limit.min(UNLIMITED);
        let total = total - RESERVED.min(total / 2);
        let free = Arc::new(Semaphore::new(total));
        Self(Arc::new(Shared { free, limit, total, logged: Mutex::default() }))
    }

    /// Returns the limit of the process, and how much of it connections may take.
    pub fn bounds(&self) -> (usize, usize) {
        (self.0.limit, self.0.total)
    }

    /// Returns how many connections have taken.
    pub fn in_use(&self) -> usize {
        self.0.total - self.0.free.available_permits()
    }

    /// Returns what connections could take if this process were a daemon: of the limit that it would
    /// raise its own to.
    pub fn after_raise() -> Self {
        let limit = getrlimit(Resource::Nofile).maximum;
        Self::of_limit(limit.map_or(UNLIMITED, |limit| usize::try_from(limit).unwrap_or(UNLIMITED)))
    }

    /// Takes a descriptor, and waits for one where there is none. Cancel-safe.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        match self.try_acquire() {
            Some(permit) => Some(permit),
            None => Arc::clone(&self.0.free).acquire_owned().await.ok(),
        }
    }

    /// Takes a descriptor if there is one; says so, once a minute, if not.
    pub fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.0.free).try_acquire_owned().ok();
        if permit.is_none() && self.0.logged.lock().admit(Instant::now(), ()).is_some() {
            warn!("{}", self.exhausted());
        }
        permit
    }

    /// Says what is wrong and how to mend it.
    pub fn exhausted(&self) -> String {
        let (limit, total) = self.bounds();
        format!(
            "all {total} descriptors for connections are in use (the limit is {limit}; lanes keep \
             theirs); new connections wait or are refused: raise LimitNOFILE= of the service, or \
             `ulimit -Hn`"
        )
    }
}

/// Raises the process's limit of descriptors to the most that the system allows it; connections then
/// follow from it.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => {
            info!(?before, now = ?getrlimit(Resource::Nofile).current, "descriptor limit raised");
        }
        Err(error) => warn!(%error, "the descriptor limit cannot be raised; it stays {before:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_leave_descriptors_for_lanes_and_go_on_when_one_is_freed() {
        for (limit, for_connections) in
            [(64, 32), (256, 128), (1024, 768), (1 << 30, (1 << 20) - 256)]
        {
            assert_eq!(Descriptors::of_limit(limit).bounds(), (limit, for_connections));
        }
        let descriptors = Descriptors::of_limit(4);
        let first = descriptors.try_acquire();
        let second = descriptors.try_acquire();
        assert!(first.is_some() && second.is_some() && descriptors.try_acquire().is_none());
        assert!(descriptors.exhausted().contains("LimitNOFILE"));
        let waiting = tokio::spawn({
            let descriptors = descriptors.clone();
            async move { descriptors.acquire().await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.unwrap());
    }
}
