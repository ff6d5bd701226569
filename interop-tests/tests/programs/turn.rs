//! Whose turn it is on a machine of two cores.

use interop_tests::support;
use tokio::sync::{MutexGuard, Semaphore, SemaphorePermit};

/// How many tests that share the machine run at a time: each is some five programs that mostly
/// wait for an emulated internet, and three at once still leave the daemons time to be prompt.
const SHARES: u32 = 3;

static MACHINE: Semaphore = Semaphore::const_new(SHARES as usize);

/// The machine, or a share of it, until it is dropped.
pub(crate) struct Turn {
    _share: SemaphorePermit<'static>,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// Waits for a share: for tests that measure no time.
pub(crate) async fn shared() -> Turn {
    Turn { _share: permits(1).await, _alone: None }
}

/// Waits for the whole machine: for tests that measure time.
pub(crate) async fn alone() -> Turn {
    Turn { _share: permits(SHARES).await, _alone: Some(support::alone().await) }
}

async fn permits(count: u32) -> SemaphorePermit<'static> {
    MACHINE.acquire_many(count).await.unwrap_or_else(|_| unreachable!("it is never closed"))
}
