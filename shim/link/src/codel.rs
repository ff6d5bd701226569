//! Controlled Delay Active Queue Management (RFC 8289): it drops at dequeue while packets have waited
//! too long for too long.
//!
//! A first-in, first-out line knows when a packet that comes now will be dequeued, so the law runs then;
//! drops come in the order of the queue, as they would at dequeue. The one difference to RFC 8289 §5.5:
//! "the queue holds no more than one packet" is judged by what waits before the packet when it comes,
//! not by what waits behind it when it is dequeued, which is not known yet. In a standing queue, the
//! only place where CoDel drops, the two are alike.

use std::time::{Duration, Instant};

/// The settings of CoDel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoDel {
    /// The acceptable standing delay.
    pub target: Duration,
    /// How long packets must wait longer than that before any is dropped.
    pub interval: Duration,
    /// What the queue holds at most, in bytes; what comes to a full one is dropped at once.
    pub limit: u64,
}

/// The largest packet: a queue of no more is never too long (`maxpacket` of RFC 8289).
const MAX_PACKET: u64 = 1500;

impl Default for CoDel {
    /// Returns the values of RFC 8289 §4.2 and §4.3, 5 and 100 ms, and 1,000 full packets as Linux has.
    fn default() -> Self {
        Self {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            limit: 1_500_000,
        }
    }
}

/// What the law remembers; the names are those of RFC 8289 §5.
#[derive(Clone, Debug, Default)]
pub(crate) struct CoDelState {
    first_above: Option<Instant>,
    drop_next: Option<Instant>,
    count: u32,
    last_count: u32,
    dropping: bool,
    /// What the packet before this one leaves to be done at the same dequeue.
    after_drop: Option<AfterDrop>,
}

#[derive(Clone, Copy, Debug)]
enum AfterDrop {
    /// The first drop: the next packet passes.
    First,
    /// One more: the next packet may be dropped, too.
    More,
}

impl CoDelState {
    /// Returns whether the packet that is dequeued at `now`, after `sojourn` in the queue and with
    /// `backlog` bytes beside it, is dropped.
    pub(crate) fn drops(
        &mut self,
        codel: CoDel,
        now: Instant,
        sojourn: Duration,
        backlog: u64,
    ) -> bool {
        let may_drop = self.may_drop(codel, now, sojourn, backlog);
        match self.after_drop.take() {
            Some(AfterDrop::First) => return false,
            Some(AfterDrop::More) if may_drop => {
                self.drop_next = self.drop_next.map(|at| at + self.control_law(codel));
            }
            _ => {}
        }
        if self.dropping {
            self.dropping = may_drop;
            let due = may_drop && self.drop_next.is_some_and(|at| now >= at);
            if due {
                self.count += 1;
                self.after_drop = Some(AfterDrop::More);
            }
            return due;
        }
        if may_drop {
            self.enter(codel, now);
        }
        may_drop
    }

    /// Begins to drop: with the rate that did when it last dropped, if that was lately.
    fn enter(&mut self, codel: CoDel, now: Instant) {
        let delta = self.count.saturating_sub(self.last_count);
        let lately = self
            .drop_next
            .is_some_and(|at| now.saturating_duration_since(at) < 16 * codel.interval);
        self.count = if delta > 1 && lately { delta } else { 1 };
        self.last_count = self.count;
        self.drop_next = Some(now + self.control_law(codel));
        self.dropping = true;
        self.after_drop = Some(AfterDrop::First);
    }

    /// `dodequeue` of RFC 8289 §5.5: whether packets have waited too long for an interval.
    fn may_drop(&mut self, codel: CoDel, now: Instant, sojourn: Duration, backlog: u64) -> bool {
        if sojourn < codel.target || backlog <= MAX_PACKET {
            self.first_above = None;
            return false;
        }
        now >= *self.first_above.get_or_insert(now + codel.interval)
    }

    fn control_law(&self, codel: CoDel) -> Duration {
        codel.interval.div_f64(f64::from(self.count.max(1)).sqrt())
    }
}

#[cfg(test)]
mod tests;
