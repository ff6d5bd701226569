//! The datagrams of a flow that wait for its lanes.
//!
//! One queue for all lanes: each lane takes from its own place in it, so that a thin flow's datagrams go out once on
//! each of two lanes, and what no lane has taken goes to whichever the flow uses next. What the flow's lanes have
//! taken is gone; nothing is sent again.
//!
//! **Bounds.** [`MAX_BYTES`] and [`MAX_AGE`]; the oldest goes first, as the network's own queues do at their end:
//! whoever sends datagrams has more use for the newest.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::types::{Datagram, LaneId};

/// The most bytes that wait: 50 ms at 160 Mbit/s. A lane's window shrinks for a round trip or two, a flow moves to a
/// lane whose window has to grow, and a busy machine lets nobody send for tens of milliseconds; with 13 ms each of
/// these lost datagrams of a flow that needed no more than its path has.
pub const MAX_BYTES: usize = 1 << 20;

/// The most bytes while memory is scarce: a dozen packets.
const MAX_BYTES_IF_SCARCE: usize = 16 * 1024;

/// How long a datagram waits at the most: longer than the change to another lane takes, shorter than it takes a
/// resolver or a handshake to ask again.
pub const MAX_AGE: Duration = Duration::from_secs(1);

/// What each datagram counts beside its payload.
pub(crate) const OVERHEAD: usize = 64;

/// The place of a lane in the queue.
#[derive(Debug)]
struct Cursor {
    lane: LaneId,
    /// The number of the datagram that it takes next.
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    datagram: Datagram,
}

/// Datagrams that were not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The queue was full.
    pub overflow: u64,
    /// They had waited for too long.
    pub expired: u64,
    /// They were longer than a datagram may be.
    pub too_long: u64,
    /// They are long, and did not arrive in time on any lane.
    pub late: u64,
}

/// What a lane takes from the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A datagram with its number.
    Datagram(u64, Datagram),
    /// The next one has to wait until the lane has room for it.
    NoRoom,
    /// There is none.
    Nothing,
}

/// The datagrams of a flow that wait for its lanes.
#[derive(Debug)]
pub struct SendQueue {
    waiting: VecDeque<Waiting>,
    /// The number of the first that waits.
    first: u64,
    /// The lowest number that no lane has taken.
    untaken: u64,
    /// The bytes that wait, with their overhead.
    bytes: usize,
    lanes: SmallVec<[Cursor; 2]>,
    dropped: Dropped,
    sent_bytes: u64,
}

impl SendQueue {
    /// Creates an empty queue; the next datagram has the number `next`.
    pub fn new(next: u64) -> Self {
        Self {
            waiting: VecDeque::new(),
            first: next,
            untaken: next,
            bytes: 0,
            lanes: SmallVec::new(),
            dropped: Dropped::default(),
            sent_bytes: 0,
        }
    }

    /// Returns the number of the next datagram.
    pub fn next(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    /// Returns the bytes that wait, with their overhead.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the bytes of the payloads that a lane has taken, each once.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Returns how many were dropped.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Returns whether a datagram waits that no lane has taken.
    pub fn has_untaken(&self) -> bool {
        self.untaken < self.next()
    }

    /// Adds a datagram; the oldest go where there is no room.
    pub fn push(&mut self, now: Instant, datagram: Datagram, scarce: bool) {
        self.expire(now);
        self.bytes += datagram.payload.len() + OVERHEAD;
        self.waiting.push_back(Waiting { since: now, datagram });
        let most = if scarce { MAX_BYTES_IF_SCARCE } else { MAX_BYTES };
        while self.bytes > most && self.waiting.len() > 1 {
            self.dropped.overflow += u64::from(self.pop());
        }
    }

    /// Counts a datagram that is longer than one may be.
    pub fn refuse_too_long(&mut self) {
        self.dropped.too_long += 1;
    }

    /// Counts a long datagram that did not arrive in time.
    pub fn count_late(&mut self) {
        self.dropped.late += 1;
    }

    /// Sets the lanes that take from the queue. A new one begins with what no lane has taken.
    pub fn set_lanes(&mut self, lanes: impl Iterator<Item = LaneId> + Clone) {
        self.lanes.retain(|cursor| lanes.clone().any(|lane| lane == cursor.lane));
        for lane in lanes {
            if !self.lanes.iter().any(|cursor| cursor.lane == lane) {
                self.lanes.push(Cursor { lane, next: self.untaken });
            }
        }
        self.trim();
    }

    /// Returns the lanes that have something to take.
    pub fn waiting_lanes(&self) -> SmallVec<[LaneId; 2]> {
        let end = self.next();
        self.lanes.iter().filter(|cursor| cursor.next < end).map(|cursor| cursor.lane).collect()
    }

    /// Returns the next datagram for a lane, unless `has_room` says of its number and of itself that it has to wait.
    pub fn take(
        &mut self,
        now: Instant,
        lane: LaneId,
        has_room: impl FnOnce(u64, &Datagram) -> bool,
    ) -> Taken {
        self.expire(now);
        let first = self.first;
        let Some(cursor) = self.lanes.iter_mut().find(|cursor| cursor.lane == lane) else {
            return Taken::Nothing;
        };
        cursor.next = cursor.next.max(first);
        let seq = cursor.next;
        let Some(waiting) = self.waiting.get((seq - first) as usize) else { return Taken::Nothing };
        let datagram = waiting.datagram.clone();
        if !has_room(seq, &datagram) {
            return Taken::NoRoom;
        }
        cursor.next += 1;
        if seq >= self.untaken {
            self.sent_bytes += datagram.payload.len() as u64;
            self.untaken = seq + 1;
        }
        self.trim();
        Taken::Datagram(seq, datagram)
    }

    /// Drops all that waits.
    pub fn clear(&mut self) {
        while !self.waiting.is_empty() {
            self.pop();
        }
        self.lanes.clear();
    }

    /// Returns when the oldest datagram will have waited for too long.
    pub fn expires_at(&self) -> Option<Instant> {
        self.waiting.front().map(|oldest| oldest.since + MAX_AGE)
    }

    /// Drops what has waited for too long.
    pub fn expire(&mut self, now: Instant) {
        while self
            .waiting
            .front()
            .is_some_and(|w| now.saturating_duration_since(w.since) >= MAX_AGE)
        {
            self.dropped.expired += u64::from(self.pop());
        }
    }

    /// Forgets what every lane of the flow has taken.
    fn trim(&mut self) {
        let Some(taken) = self.lanes.iter().map(|cursor| cursor.next).min() else { return };
        while self.first < taken && !self.waiting.is_empty() {
            self.pop();
        }
    }

    /// Removes the first; returns whether no lane had taken it.
    fn pop(&mut self) -> bool {
        let Some(Waiting { datagram, .. }) = self.waiting.pop_front() else { return false };
        self.bytes -= datagram.payload.len() + OVERHEAD;
        let untaken = self.first >= self.untaken;
        self.first += 1;
        self.untaken = self.untaken.max(self.first);
        untaken
    }
}

#[cfg(test)]
#[path = "send_queue/tests.rs"]
mod tests;
