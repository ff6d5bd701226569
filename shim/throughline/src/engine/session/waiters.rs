//! The tasks that wait for a flow.

use std::task::{Context, Waker};

/// The tasks that wait for something to happen to a flow; at most one for each event.
#[derive(Debug, Default)]
pub(crate) struct FlowWaiters {
    /// Waits for bytes, or the end.
    pub(crate) read: Option<Waker>,
    /// Waits for room.
    pub(crate) write: Option<Waker>,
    /// Waits for the answer to the open.
    pub(crate) answer: Option<Waker>,
    /// Waits for the peer to have what was written.
    pub(crate) acknowledged: Option<Waker>,
    /// Waits for the end of the flow as a whole.
    pub(crate) closed: Option<Waker>,
}

/// Keeps the current task's waker in `slot`.
pub(crate) fn wait(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

impl FlowWaiters {
    pub(crate) fn readable(&mut self) -> [Option<Waker>; 5] {
        [self.read.take(), None, None, None, self.closed.take()]
    }

    pub(crate) fn writable(&mut self) -> [Option<Waker>; 5] {
        [self.write.take(), None, None, None, self.closed.take()]
    }

    pub(crate) fn answered(&mut self) -> [Option<Waker>; 5] {
        [self.answer.take(), None, None, None, None]
    }

    pub(crate) fn acknowledged(&mut self) -> [Option<Waker>; 5] {
        [self.acknowledged.take(), None, None, None, None]
    }

    pub(crate) fn all(&mut self) -> [Option<Waker>; 5] {
        [
            self.read.take(),
            self.write.take(),
            self.answer.take(),
            self.acknowledged.take(),
            self.closed.take(),
        ]
    }
}

/// Wakers that are collected under the session's lock and woken after it.
#[derive(Debug, Default)]
pub(crate) struct Wakers(smallvec::SmallVec<[Waker; 4]>);

impl Wakers {
    pub(crate) fn take(
        &mut self,
        waiters: Option<&mut FlowWaiters>,
        which: fn(&mut FlowWaiters) -> [Option<Waker>; 5],
    ) {
        if let Some(waiters) = waiters {
            self.0.extend(which(waiters).into_iter().flatten());
        }
    }

    pub(crate) fn wake(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}
