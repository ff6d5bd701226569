//! What becomes of what the program has written before its end.
//!
//! A program writes, exits, and leaves the rest to its kernel. Here that rest is in the buffers of its own network and
//! in ours, and goes on its way before this process ends: for as long as it moves, and no longer.
//!
//! **Nothing else holds its end up**: a connection that the program has not closed is one of somebody whom it leaves
//! behind, and is reset as soon as nothing of it is left to be passed on.

use std::future::Future;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TrackedFuture;

use crate::proxy::relay::{Progress, RelayEnd, Stop};
use crate::proxy::stream::Stream;

/// How long what is left of a connection may stand still: longer than a flow takes to another lane, shorter than
/// somebody waits for a program that is done.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long all of it may take: what the buffers of a connection hold (some 10 MB) at 1.5 Mbit/s.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often what is left is looked at. Where nothing is, a program's end is noticed this much later.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How often nothing is to be seen of a connection before that is believed: what its other end still holds comes as
/// soon as there is room for it.
const LOOKS: u32 = 3;

/// Knows whether the program has ended, and what is still open of it. Clones share that.
#[derive(Clone, Default)]
pub(super) struct Ending {
    ended: CancellationToken,
    open: TaskTracker,
    /// Of those, what serves a connection.
    connections: TaskTracker,
    cut_off: Arc<AtomicUsize>,
}

impl Ending {
    /// Counts what serves the program until it is done.
    pub(super) fn track<F: Future>(&self, serving: F) -> TrackedFuture<F> {
        self.open.track_future(serving)
    }

    /// Counts what serves a connection until that is over.
    pub(super) fn track_connection<F: Future>(
        &self,
        serving: F,
    ) -> TrackedFuture<TrackedFuture<F>> {
        self.open.track_future(self.connections.track_future(serving))
    }

    /// Completes when the program has ended. Cancel-safe.
    pub(super) async fn begun(&self) {
        self.ended.cancelled().await;
    }

    /// Passes on what the program has written, now that it has ended, or until nobody wants to wait any more; returns
    /// of how many connections something is left.
    pub(super) async fn pass_on(&self, enough: &CancellationToken) -> usize {
        self.ended.cancel();
        self.open.close();
        let passing = timeout(TIMEOUT, self.open.wait());
        let _ = enough.run_until_cancelled(passing).await;
        self.cut_off.load(Ordering::Relaxed) + self.connections.len()
    }

    /// Returns what ends the relay of a connection.
    pub(super) fn of_relay(&self) -> OfRelay {
        OfRelay { ending: self.clone(), standing: StandstillClock::default() }
    }

    /// Does what precedes the relay of a connection; none where the program has ended and that takes too long, or is
    /// of no use any more.
    pub(super) async fn unless_over<T>(
        &self,
        tcp: &Stream,
        part: impl Future<Output = T>,
    ) -> Option<T> {
        let over = async {
            let mut standing = StandstillClock::default();
            self.begun().await;
            while !self.is_over(&mut standing, 0, has_unread(tcp)) {
                sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            done = part => Some(done),
            () = over => None,
        }
    }

    fn is_over(&self, standing: &mut StandstillClock, passed_on: u64, is_left: bool) -> bool {
        match standing.look(passed_on, is_left, Instant::now()) {
            Standstill::No => false,
            Standstill::NothingLeft => true,
            Standstill::Stalled => {
                self.cut_off.fetch_add(1, Ordering::Relaxed);
                true
            }
        }
    }
}

/// Ends the relay of a connection of a program that has ended.
pub(super) struct OfRelay {
    ending: Ending,
    standing: StandstillClock,
}

impl Stop for OfRelay {
    async fn due(&mut self) {
        self.ending.begun().await;
        sleep(LOOK_INTERVAL).await;
    }

    fn end(&mut self, tcp: &Stream, progress: &Progress) -> Option<RelayEnd> {
        let up = &progress.up;
        if up.ended {
            // The kernel sends what it has, as it would for the program.
            return Some(RelayEnd::Finished);
        }
        let is_left = !up.unsent.is_empty() || has_unread(tcp);
        let passed_on = up.moved - up.unsent.len() as u64;
        self.ending.is_over(&mut self.standing, passed_on, is_left).then_some(RelayEnd::Stopped)
    }
}

/// Returns whether there is something to read of a connection, or its end.
fn has_unread(tcp: &Stream) -> bool {
    SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]).is_ok()
}

/// How long nothing has moved.
#[derive(Default)]
struct StandstillClock {
    passed_on: u64,
    since: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum Standstill {
    No,
    NothingLeft,
    Stalled,
}

impl StandstillClock {
    fn look(&mut self, passed_on: u64, is_left: bool, now: Instant) -> Standstill {
        let moves = passed_on != self.passed_on;
        self.passed_on = passed_on;
        let since = match self.since {
            Some(since) if !moves => since,
            _ => *self.since.insert(now),
        };
        let limit = if is_left { STALL_TIMEOUT } else { LOOK_INTERVAL * LOOKS };
        match (now - since >= limit, is_left) {
            (false, _) => Standstill::No,
            (true, true) => Standstill::Stalled,
            (true, false) => Standstill::NothingLeft,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_is_waited_for_and_what_stands_still_is_not() {
        let begin = Instant::now();
        let mut standing = StandstillClock::default();
        let mut look = |ms: u64, passed_on, is_left| {
            standing.look(passed_on, is_left, begin + Duration::from_millis(ms))
        };
        assert_eq!(look(0, 5, true), Standstill::No);
        assert_eq!(look(9_999, 5, true), Standstill::No);
        assert_eq!(look(10_000, 6, true), Standstill::No);
        assert_eq!(look(19_999, 6, true), Standstill::No);
        assert_eq!(look(20_000, 6, true), Standstill::Stalled);
        assert_eq!(look(20_010, 7, false), Standstill::No);
        assert_eq!(look(20_020, 7, false), Standstill::No);
        assert_eq!(look(20_040, 7, false), Standstill::NothingLeft);
    }
}
