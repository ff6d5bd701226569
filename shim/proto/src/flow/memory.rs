//! The budget of bytes that flows may hold, shared by all sessions of a node, and each peer's share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many flows that are opened one after the other find much the same room for their first windows.
const EARLY_FLOWS: u64 = 128;

/// A bound on granted windows and on bytes kept for sending.
///
/// A window has two parts. What `Hello` promises for each flow, and what a lane begins with, is set aside
/// whatever is left; the former is bounded by refusing flows ([`may_promise`](Self::may_promise)). Beyond that windows
/// grow, only while the bound allows. The two are counted apart: however many flows are promised their
/// little, the others may grow. A node has one bound for all, and in it one for each peer
/// ([`for_peer`](Self::for_peer)), which may always have its part of half of all: what one peer holds,
/// however idle, does not stop another's windows from growing.
#[derive(Debug)]
pub struct Memory {
    limit: AtomicU64,
    promised: AtomicU64,
    /// What of it lanes began with.
    of_lanes: AtomicU64,
    grown: AtomicU64,
    /// Bytes kept for sending.
    buffered: AtomicU64,
    /// Peers to which anything is promised.
    peers: AtomicU64,
    /// What this one is a part of.
    whole: Option<Arc<Self>>,
}

impl Memory {
    /// Creates a bound of `limit` bytes.
    pub const fn new(limit: u64) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            promised: AtomicU64::new(0),
            of_lanes: AtomicU64::new(0),
            grown: AtomicU64::new(0),
            buffered: AtomicU64::new(0),
            peers: AtomicU64::new(0),
            whole: None,
        }
    }

    /// Creates a peer's part of `whole`, for all its sessions.
    pub fn for_peer(whole: Arc<Self>, limit: u64) -> Self {
        Self { whole: Some(whole), ..Self::new(limit) }
    }

    /// Returns the bound.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets another bound. What is held already stays: below it nothing grows until enough was given back.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Returns how many bytes are set aside now.
    pub fn used(&self) -> u64 {
        self.promised.load(Ordering::Relaxed) + self.grown()
    }

    fn grown(&self) -> u64 {
        self.grown.load(Ordering::Relaxed)
    }

    /// Sets promised bytes aside, whatever the bound.
    pub fn promise(&self, bytes: u64) {
        let before = self.promised.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            if before == 0 && bytes > 0 {
                whole.peers.fetch_add(1, Ordering::Relaxed);
            }
            whole.promise(bytes);
        }
    }

    /// Returns whether a flow with this window may be promised: the promises to all sessions of a peer
    /// are as much as their windows may grow by.
    pub fn may_promise(&self, window: u64) -> bool {
        let of_lanes = self.of_lanes.load(Ordering::Relaxed);
        let of_flows = self.promised.load(Ordering::Relaxed).saturating_sub(of_lanes);
        self.whole.is_none() || of_flows.saturating_add(window) <= self.limit()
    }

    /// Sets aside what a window grows by if the bound allows; returns whether it does.
    pub fn try_grow(&self, bytes: u64) -> bool {
        let Some(whole) = &self.whole else {
            return add_within(&self.grown, bytes, self.limit());
        };
        let total = whole.grown().saturating_add(bytes);
        let own = self.grown().saturating_add(bytes);
        let fits = (total <= whole.limit() && own <= self.limit()) || own <= whole.part();
        if fits {
            self.grown.fetch_add(bytes, Ordering::Relaxed);
            whole.grown.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Returns whether windows may grow beyond what their flows need just now: half of the bound is free. So those
    /// that come first, while all of a fast path is theirs, leave the flows of the next second what these need.
    pub fn is_plentiful(&self) -> bool {
        let bound = self.whole.as_deref().unwrap_or(self).limit().min(self.limit());
        self.free() >= bound / 2
    }

    /// Returns what windows may still grow by.
    fn free(&self) -> u64 {
        let left = |memory: &Self| memory.limit().saturating_sub(memory.grown());
        let Some(whole) = &self.whole else { return left(self) };
        left(whole).min(left(self)).max(whole.part().saturating_sub(self.grown()))
    }

    /// Sets aside what a window grew by before, whatever the bound: it was granted in another process.
    pub fn grow_anyway(&self, bytes: u64) {
        self.grown.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.grow_anyway(bytes);
        }
    }

    /// Sets aside what the window of a new flow grows by before anything is read: `wanted`, and less the
    /// more windows have grown. So a thousand idle flows leave half of all to those that need it.
    pub fn grow_early(&self, wanted: u64) -> u64 {
        let left = |memory: &Self| (memory.limit() / 2).saturating_sub(memory.grown());
        let left = self.whole.as_deref().map_or(u64::MAX, left).min(left(self));
        let growth = wanted.min(left / EARLY_FLOWS);
        if growth > 0 && self.try_grow(growth) { growth } else { 0 }
    }

    /// Sets aside what a lane's window begins with, whatever the bound, and returns it. It takes nothing
    /// of what flows may be promised, however many lanes there are.
    pub fn promise_to_lane(&self) -> u64 {
        let window = self.first_lane_window();
        self.of_lanes.fetch_add(window, Ordering::Relaxed);
        self.promise(window);
        window
    }

    /// Gives back a lane's window that began with `first` bytes and grew by `grown`.
    pub fn release_lane(&self, first: u64, grown: u64) {
        // In this order nobody takes what the lane had for a flow's, and refuses one.
        self.release(first, grown);
        self.of_lanes.fetch_sub(first, Ordering::Relaxed);
    }

    /// Gives back a window that began with `promised` bytes and grew by `grown`.
    pub fn release(&self, promised: u64, grown: u64) {
        self.grown.fetch_sub(grown, Ordering::Relaxed);
        let before = self.promised.fetch_sub(promised, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            if before == promised && promised > 0 {
                whole.peers.fetch_sub(1, Ordering::Relaxed);
            }
            whole.release(promised, grown);
        }
    }

    /// Returns the window with which a lane begins: enough for 200 Mbit/s at 80 ms, less where there
    /// is little memory.
    pub fn first_lane_window(&self) -> u64 {
        (self.limit() / 128).clamp(256 << 10, 2 << 20)
    }

    /// Counts bytes that are kept for sending: `now` instead of `before`.
    pub fn count_buffered(&self, before: u64, now: u64) {
        self.buffered.fetch_add(now, Ordering::Relaxed);
        self.buffered.fetch_sub(before, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.count_buffered(before, now);
        }
    }

    /// Returns whether the bytes kept for sending fill half of the bound, and of a peer also its part:
    /// the other half is for windows.
    pub fn is_scarce(&self) -> bool {
        let buffered = self.buffered.load(Ordering::Relaxed);
        match &self.whole {
            None => buffered >= self.limit() / 2,
            Some(whole) => whole.is_scarce() && buffered >= whole.part(),
        }
    }

    /// Returns what each peer may always have: its part of half of all.
    fn part(&self) -> u64 {
        self.limit() / 2 / self.peers.load(Ordering::Relaxed).max(1)
    }
}

fn add_within(used: &AtomicU64, bytes: u64, limit: u64) -> bool {
    let added = |used: u64| used.checked_add(bytes).filter(|total| *total <= limit);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_stops_at_the_bound_whatever_is_promised() {
        let memory = Memory::new(100);
        assert!(memory.try_grow(60));
        memory.promise(500);
        assert!(!memory.try_grow(41));
        assert_eq!(memory.used(), 560);
        memory.release(500, 60);
        assert!(memory.try_grow(100));
    }

    fn peers(limit: u64) -> (Arc<Memory>, Memory, Memory) {
        let whole = Arc::new(Memory::new(limit));
        let peer = || Memory::for_peer(whole.clone(), limit);
        let (one, other) = (peer(), peer());
        (whole, one, other)
    }

    #[test]
    fn a_peer_that_holds_everything_does_not_stop_anothers_windows_from_growing() {
        let (whole, idle, busy) = peers(1000);
        idle.promise(10);
        busy.promise(10);
        assert!(idle.try_grow(1000));
        assert!(busy.try_grow(250), "its quarter");
        assert!(!busy.try_grow(1), "and no more while all is taken");
        assert!(!idle.try_grow(1));
        idle.release(10, 1000);
        assert!(busy.try_grow(750), "all that is left");
        busy.release(10, 1000);
        assert_eq!((whole.used(), whole.peers.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn there_is_plenty_while_half_of_all_is_free() {
        let (_, peer, other) = peers(1000);
        peer.promise(10);
        other.promise(10);
        assert!(peer.try_grow(500) && peer.is_plentiful());
        assert!(peer.try_grow(1) && !peer.is_plentiful());
        assert!(!other.is_plentiful(), "all peers have one bound");
        peer.release(0, 501);
        assert!(peer.is_plentiful() && other.is_plentiful());
    }

    #[test]
    fn what_idle_flows_begin_with_leaves_half_of_all_to_others() {
        let (_, idle, busy) = peers(256 << 20);
        idle.promise(1);
        busy.promise(1);
        let first: Vec<u64> = (0..20_000).map(|_| idle.grow_early(240 << 10)).collect();
        assert_eq!(first[..300], [240 << 10; 300]);
        assert!(first.is_sorted_by(|a, b| a >= b), "less for each after that");
        assert!(first.iter().sum::<u64>() <= 128 << 20);
        assert!(busy.try_grow(128 << 20));
    }

    #[test]
    fn the_flows_of_a_peer_are_refused_at_the_bound_in_all_its_sessions() {
        let (_, peer, other) = peers(1000);
        let promised = (0..1000).take_while(|_| {
            let may = peer.may_promise(10);
            peer.promise(10);
            may
        });
        assert_eq!(promised.count(), 100);
        assert!(other.may_promise(10));
    }

    #[test]
    fn lanes_take_nothing_of_what_flows_may_be_promised() {
        let (whole, peer, _) = peers(100 << 20);
        let first = [peer.promise_to_lane(), peer.promise_to_lane()];
        assert!(peer.may_promise(100 << 20));
        assert_eq!(whole.used(), first.iter().sum::<u64>());
        first.iter().for_each(|first| peer.release_lane(*first, 0));
        assert_eq!((peer.used(), whole.used()), (0, 0));
    }

    #[test]
    fn a_lane_gives_back_what_it_began_with_whatever_lanes_begin_with_by_now() {
        let (whole, peer, _) = peers(16 << 20);
        let first = peer.promise_to_lane();
        whole.set_limit(1 << 30);
        peer.set_limit(1 << 30);
        assert_ne!(peer.first_lane_window(), first);
        peer.release_lane(first, 0);
        assert_eq!((peer.used(), whole.used()), (0, 0));
    }

    #[test]
    fn bytes_kept_for_sending_are_scarce_for_the_node_and_a_peer_always_has_its_part() {
        let (whole, one, other) = peers(1000);
        one.promise(1);
        other.promise(1);
        one.count_buffered(0, 600);
        assert!(whole.is_scarce() && one.is_scarce() && !other.is_scarce());
        other.count_buffered(0, 250);
        assert!(other.is_scarce());
        one.count_buffered(600, 0);
        assert!(!other.is_scarce());
    }
}
