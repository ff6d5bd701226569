//! Has the proxy stand still, at a point from which another process can go on.
//!
//! ```text
//! running ─wind_down─▸ winding down ─close─▸ closing ─freeze─▸ frozen ─cut─▸ given: the process ends
//!    ▴                      │                   │                │
//!    └──────── thaw ────────┴───────────────────┴────────────────┘
//! ```
//!
//! **Winding down**: connections whose state is in a library ([`Freezer::stays`]) come to their end: HTTP requests
//! are answered, and no other follows. **Closing**: no connection is accepted, and those that are being set up
//! have a second to become relays. **Frozen**: each relay stops between two bytes and [parks](Place::park): it
//! shows what it has read and not passed on, and waits; a flow of datagrams takes nothing more of its application or
//! destination, and parks; none [begins](Freezer::enter). **Given**: what is not parked is not handed over, and is
//! reset, so that a part of it never looks like the whole.
//!
//! The relays look at one flag when they are woken, and each keeps its own waker: ten thousand of them share
//! no lock while nothing happens.

mod parking;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

pub use self::parking::Parking;
use crate::proxy::parked::ParkedTask;

/// How long requests hold up a hand-over that are answered meanwhile: longer than a page takes, shorter than
/// somebody who restarts a daemon waits. Nothing else stands still for it.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// How long what is [cut](Freezer::cut) has to be reset: it takes microseconds each.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long connections that are being set up hold up a hand-over: some dials on this side of the world.
const SETUP_PATIENCE: Duration = Duration::from_secs(1);

/// How long all relays get to park. It takes them microseconds each.
const PARK_TIMEOUT: Duration = Duration::from_secs(2);

/// How far the proxy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    WindingDown,
    Closing,
    Frozen,
    Given,
}

/// Freezes the proxy and thaws it. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Freezer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    phase: watch::Sender<Phase>,
    /// The phase is `Frozen`: what the relays look at.
    frozen: AtomicBool,
    places: Mutex<Places>,
    /// Something was set up, parked or ended.
    settled: Notify,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    of_relays: HashMap<u64, Arc<Seat>>,
    /// Relays that are not parked.
    moving: usize,
    /// Applications' connections, and flows of peers, that are no relays yet.
    connections_set_up: usize,
    flows_set_up: usize,
    /// Connections that cannot become another process's, and of them those that end in a while.
    staying: usize,
    requests: usize,
}

/// What a relay shares with whoever freezes it.
#[derive(Debug, Default)]
struct Seat {
    waker: Mutex<Option<Waker>>,
    /// Boxed: few have anything to show, and every relay has a seat.
    parked: Mutex<Option<Box<ParkedTask>>>,
}

impl Default for Freezer {
    fn default() -> Self {
        Self(Arc::new(Shared {
            phase: watch::Sender::new(Phase::Running),
            frozen: AtomicBool::new(false),
            places: Mutex::default(),
            settled: Notify::new(),
        }))
    }
}

impl Freezer {
    /// Completes when connections may be accepted. Cancel-safe.
    pub async fn open(&self) {
        // The sender is here.
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase < Phase::Closing).await;
    }

    /// Returns whether nobody has asked the proxy to stand still.
    pub fn is_running(&self) -> bool {
        *self.0.phase.borrow() == Phase::Running
    }

    /// Returns whether another process has everything.
    pub fn is_given(&self) -> bool {
        *self.0.phase.borrow() == Phase::Given
    }

    /// Completes when relays may move, and others begin. Cancel-safe.
    pub async fn thawed(&self) {
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase < Phase::Frozen).await;
    }

    /// Completes when relays stand still. Cancel-safe.
    pub async fn frozen(&self) {
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase >= Phase::Frozen).await;
    }

    /// Completes when no connection may be accepted. Cancel-safe.
    pub async fn closed(&self) {
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase >= Phase::Closing).await;
    }

    /// Completes when requests are to come to their end. Cancel-safe.
    pub async fn winding_down(&self) {
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase >= Phase::WindingDown).await;
    }

    /// Completes when another process has everything but what stays in this one, which is to be reset.
    /// Cancel-safe.
    pub async fn given(&self) {
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase == Phase::Given).await;
    }

    /// Counts a connection whose state cannot become another process's, until the guard is dropped.
    pub fn stays(&self, kind: Stays) -> Staying {
        let mut places = self.0.places.lock();
        places.staying += 1;
        places.requests += usize::from(kind == Stays::Requests);
        Staying(Arc::clone(&self.0), kind)
    }

    /// Counts what is being set up, until the guard is dropped.
    pub fn setting_up(&self, kind: Setup) -> SettingUp {
        *self.0.places.lock().set_up(kind) += 1;
        SettingUp(Arc::clone(&self.0), kind)
    }

    /// Counts what is being set up as [`setting_up`](Self::setting_up) does, unless nothing is accepted any more: a
    /// [`close`](Self::close) waits for it or keeps it from beginning, and never misses it.
    pub fn setting_up_if_open(&self, kind: Setup) -> Option<SettingUp> {
        let mut places = self.0.places.lock();
        if *self.0.phase.borrow() >= Phase::Closing {
            return None;
        }
        *places.set_up(kind) += 1;
        Some(SettingUp(Arc::clone(&self.0), kind))
    }

    /// Does a part of a set-up; `None` where another process has everything before it is done, so that what is being
    /// set up is to be reset. Cancel-safe as `part` is.
    pub async fn unless_given<T>(&self, part: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = part => Some(done),
            () = self.given() => None,
        }
    }

    /// Returns a place for a relay as soon as relays may move: one that began while everything stands still would
    /// not be among those that are handed over. Cancel-safe.
    pub async fn enter(&self) -> Place {
        loop {
            self.thawed().await;
            let places = self.0.places.lock();
            // A freeze looks for places under the lock.
            if !self.0.frozen.load(Ordering::SeqCst) {
                return self.place_in(places);
            }
        }
    }

    /// Returns a place for a relay, which parks at once where everything stands still.
    pub fn place(&self) -> Place {
        self.place_in(self.0.places.lock())
    }

    fn place_in(&self, mut places: MutexGuard<'_, Places>) -> Place {
        let seat = Arc::new(Seat::default());
        let number = places.next;
        places.next += 1;
        places.moving += 1;
        places.of_relays.insert(number, Arc::clone(&seat));
        Place { shared: Arc::clone(&self.0), seat, number }
    }

    /// Has requests come to their end, and waits for them, for some seconds at most.
    pub async fn wind_down(&self) {
        self.0.phase.send_replace(Phase::WindingDown);
        let _ = timeout(REQUEST_PATIENCE, self.settled(|places| places.requests == 0)).await;
    }

    /// Has what stays, and what is being set up, reset; returns how many there were. A flow that is being set up
    /// for a peer is not among them: the other process begins it anew.
    pub async fn cut(&self) -> usize {
        let here = |places: &Places| places.staying + places.connections_set_up;
        // Counted before they hear of it: the first may be gone at once.
        let cut = here(&self.0.places.lock());
        self.0.phase.send_replace(Phase::Given);
        let _ = timeout(CUT_TIMEOUT, self.settled(|places| here(places) == 0)).await;
        cut
    }

    /// Accepts no connection any more, and waits for those that are being set up, and for requests that came
    /// last, for a second at most.
    pub async fn close(&self) {
        self.0.phase.send_replace(Phase::Closing);
        let under_way =
            |places: &Places| places.connections_set_up + places.flows_set_up + places.requests;
        let _ = timeout(SETUP_PATIENCE, self.settled(|places| under_way(places) == 0)).await;
    }

    /// Has every relay park; returns whether all did in time.
    pub async fn freeze(&self) -> bool {
        self.0.phase.send_replace(Phase::Frozen);
        let seats: Vec<_> = {
            let places = self.0.places.lock();
            self.0.frozen.store(true, Ordering::SeqCst);
            places.of_relays.values().cloned().collect()
        };
        for waker in seats.iter().filter_map(|seat| seat.waker.lock().take()) {
            waker.wake();
        }
        timeout(PARK_TIMEOUT, self.settled(|places| places.moving == 0)).await.is_ok()
    }

    /// Returns what each relay shows that is parked, in no order.
    pub fn parked(&self) -> Vec<ParkedTask> {
        let places = self.0.places.lock();
        places
            .of_relays
            .values()
            .filter_map(|seat| seat.parked.lock().as_deref().cloned())
            .collect()
    }

    /// Lets everything go on.
    pub fn thaw(&self) {
        self.0.frozen.store(false, Ordering::SeqCst);
        self.0.phase.send_replace(Phase::Running);
    }

    async fn settled(&self, check: impl Fn(&Places) -> bool) {
        loop {
            let settled = self.0.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if check(&self.0.places.lock()) {
                return;
            }
            settled.await;
        }
    }
}

impl Places {
    /// Returns how many of a kind are being set up.
    fn set_up(&mut self, kind: Setup) -> &mut usize {
        match kind {
            Setup::Connection => &mut self.connections_set_up,
            Setup::Flow => &mut self.flows_set_up,
        }
    }
}

/// What may be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// A connection of an application, which has no way out yet.
    Connection,
    /// A flow of a peer, which is not answered yet.
    Flow,
}

/// Something that is being set up; see [`Freezer::setting_up`].
#[derive(Debug)]
pub struct SettingUp(Arc<Shared>, Setup);

impl Drop for SettingUp {
    fn drop(&mut self) {
        *self.0.places.lock().set_up(self.1) -= 1;
        self.0.settled.notify_waiters();
    }
}

/// Why a connection cannot become another process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// It is one of HTTP, with requests that end.
    Requests,
    /// It is a tunnel of HTTP/2 that leads to its destination without a peer, and ends when it likes.
    Direct,
}

/// A connection that stays in this process; see [`Freezer::stays`].
#[derive(Debug)]
pub struct Staying(Arc<Shared>, Stays);

impl Drop for Staying {
    fn drop(&mut self) {
        let mut places = self.0.places.lock();
        places.staying -= 1;
        places.requests -= usize::from(self.1 == Stays::Requests);
        drop(places);
        self.0.settled.notify_waiters();
    }
}

/// The place of a relay; dropping it, with the relay, frees it.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    number: u64,
}

impl Place {
    /// Completes when the relay has to park. Cancel-safe.
    pub async fn frozen(&self) {
        poll_fn(|cx| {
            if self.shared.frozen.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            match &mut *self.seat.waker.lock() {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
            // The flag may have been set before the waker was there.
            match self.shared.frozen.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Shows what another process needs to go on, and waits until this one is to go on itself.
    pub async fn park(&self, standing: impl Into<ParkedTask>) {
        let mut phase = self.shared.phase.subscribe();
        *self.seat.parked.lock() = Some(Box::new(standing.into()));
        self.shared.places.lock().moving -= 1;
        self.shared.settled.notify_waiters();
        loop {
            let _ = phase.wait_for(|phase| *phase < Phase::Frozen).await;
            let mut places = self.shared.places.lock();
            // It may be frozen anew already: then it has never moved.
            if !self.shared.frozen.load(Ordering::SeqCst) {
                places.moving += 1;
                *self.seat.parked.lock() = None;
                return;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_parked = self.seat.parked.lock().is_some();
        let mut places = self.shared.places.lock();
        places.of_relays.remove(&self.number);
        places.moving -= usize::from(!is_parked);
        drop(places);
        self.shared.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
