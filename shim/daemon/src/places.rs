//! Places for those who ask the daemon something, of which there are few; whoever is silent does not keep others out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a client may be silent while others wait for a place.
const SILENCE_TIMEOUT: Duration = Duration::from_millis(500);

/// A number of places. Clones are handles to the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    silent: Arc<Mutex<Silent>>,
}

/// Those for whose clients the daemon waits.
#[derive(Debug, Default)]
struct Silent {
    next: u64,
    /// Since when, and what ends them; the first one has waited longest.
    waiting: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// A place. Its client is silent until it is [kept](Self::keep): it owes its request, or does not read the answer.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    silent: Arc<Mutex<Silent>>,
    lost: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// Returns so many places.
    pub(crate) fn new(number: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(number)), silent: Arc::default() }
    }

    /// Returns a place: a free one, or that of whoever is silent longest, once that is [`SILENCE_TIMEOUT`]. Cancel-safe.
    pub(crate) async fn take(&self) -> Place {
        let free = self.free.clone().acquire_owned();
        tokio::pin!(free);
        let permit = tokio::select! {
            biased;
            permit = &mut free => permit,
            () = self.end_the_most_silent() => free.await,
        };
        let silent = self.silent.clone();
        let lost = CancellationToken::new();
        let number = silent.lock().add(&lost);
        Place { number, silent, lost, _permit: permit.expect("the semaphore is never closed") }
    }

    async fn end_the_most_silent(&self) {
        loop {
            let since = self.silent.lock().since();
            // Whoever becomes silent later has as long.
            sleep_until(since.unwrap_or_else(Instant::now) + SILENCE_TIMEOUT).await;
            let mut silent = self.silent.lock();
            if silent.since().is_some_and(|since| since.elapsed() >= SILENCE_TIMEOUT) {
                let (_, (_, lost)) = silent.waiting.pop_first().expect("one is silent");
                lost.cancel();
                return;
            }
        }
    }
}

impl Silent {
    fn add(&mut self, lost: &CancellationToken) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, (Instant::now(), lost.clone()));
        self.next
    }

    /// Returns since when the first one is silent.
    fn since(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, (since, _))| *since)
    }
}

impl Place {
    /// Keeps it, since the client waits for the daemon now. Returns false if it is lost already.
    pub(crate) fn keep(&self) -> bool {
        self.silent.lock().waiting.remove(&self.number).is_some()
    }

    /// Returns what is cancelled when another client has come in place of this one.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.keep();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test]
    async fn whoever_is_silent_longest_makes_room_and_whoever_is_worked_for_does_not() {
        let (places, began) = (Places::new(2), Instant::now());
        let worked_for = places.take().await;
        assert!(worked_for.keep());
        let silent = places.take().await;
        let lost = silent.lost();
        let ended = tokio::spawn(async move {
            lost.cancelled().await;
            assert!(!silent.keep(), "too late");
            drop(silent);
        });
        let third =
            timeout(20 * SILENCE_TIMEOUT, places.take()).await.expect("the silent one stays");
        assert!(began.elapsed() >= SILENCE_TIMEOUT, "it has some time");
        ended.await.unwrap();
        // Now nobody does who could be ended, until one becomes silent or goes.
        assert!(third.keep());
        assert!(timeout(2 * SILENCE_TIMEOUT, places.take()).await.is_err());
        assert!(!worked_for.lost().is_cancelled() && !third.lost().is_cancelled());
        drop(worked_for);
        timeout(20 * SILENCE_TIMEOUT, places.take()).await.expect("a place is free");
    }

    #[tokio::test]
    async fn one_who_comes_ends_one_and_not_all() {
        let places = Places::new(3);
        let first = places.take().await;
        let others = [places.take().await, places.take().await];
        sleep(2 * SILENCE_TIMEOUT).await;
        let lost = first.lost();
        tokio::spawn(async move {
            first.lost().cancelled().await;
            drop(first);
        });
        let _place = timeout(20 * SILENCE_TIMEOUT, places.take()).await.expect("one makes room");
        assert!(lost.is_cancelled());
        assert!(others.iter().all(|other| !other.lost().is_cancelled()));
    }
}
