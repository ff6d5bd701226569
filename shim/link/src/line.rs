//! The line: it sends one packet after the other, and a bounded queue waits before it.

use std::time::{Duration, Instant};

use crate::codel::CoDelState;
use crate::drop_reason::DropReason;
use crate::profile::Queue;
use crate::rate::Rate;
use crate::trace::{Playback, Use};

/// A line that is busy until `free_at`; the time from now until then is its queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    free_at: Option<Instant>,
    /// The trace that it follows, if it does.
    playback: Option<Playback>,
    codel: CoDelState,
}

/// When a packet is sent, if the queue takes it.
#[derive(Clone, Copy, Debug)]
struct Slot {
    starts: Instant,
    leaves: Instant,
    /// Of a trace.
    used: Option<Use>,
}

impl Line {
    /// Returns how long a packet that comes at `at` waits before it is sent.
    pub(crate) fn waiting(&self, at: Instant) -> Duration {
        self.free_at.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(at))
    }

    /// Returns when the last byte of a packet that comes at `at` leaves, or why it is dropped.
    pub(crate) fn enqueue(
        &mut self,
        at: Instant,
        bytes: usize,
        rate: &Rate,
        queue: Queue,
    ) -> Result<Instant, DropReason> {
        let slot = self.slot(at, bytes as u64, rate);
        // A packet that finds an idle line is never dropped, however small the queue.
        let idle = self.waiting(at).is_zero();
        if !idle && self.exceeds(at, bytes as u64, &slot, rate, queue) {
            return Err(DropReason::QueueFull);
        }
        if let Queue::CoDel(codel) = queue {
            let (backlog, sojourn) = (self.backlog(at, rate), slot.starts - at);
            if self.codel.drops(codel, slot.starts, sojourn, backlog) {
                return Err(DropReason::QueueManagement);
            }
        }
        Ok(self.send(slot, bytes as u64))
    }

    /// The same for a sender that has seen that there is room.
    pub(crate) fn enqueue_unbounded(&mut self, at: Instant, bytes: usize, rate: &Rate) -> Instant {
        let slot = self.slot(at, bytes as u64, rate);
        self.send(slot, bytes as u64)
    }

    /// Returns whether a sender that waits for room may send at `now`.
    pub(crate) fn has_room(&self, now: Instant, rate: &Rate, queue: Queue) -> bool {
        let waiting = self.waiting(now);
        let in_bytes = |limit| self.backlog(now, rate) < limit;
        waiting.is_zero()
            || match (queue, rate) {
                (Queue::Time(time), _) => waiting < time,
                (Queue::Bytes(limit), Rate::Trace(_)) => in_bytes(limit),
                (Queue::Bytes(limit), _) => waiting < rate.send_time(limit),
                // A reliable sender has no packets that could be dropped: it holds back instead.
                (Queue::CoDel(codel), _) => waiting < codel.target && in_bytes(codel.limit),
            }
    }

    /// Returns whether a packet finds the queue full.
    fn exceeds(&self, at: Instant, bytes: u64, slot: &Slot, rate: &Rate, queue: Queue) -> bool {
        match (queue, rate) {
            (Queue::Time(time), _) => slot.leaves - at > time,
            (Queue::Bytes(limit), Rate::Trace(_)) => self.backlog(at, rate) + bytes > limit,
            (Queue::Bytes(limit), _) => slot.leaves - at > rate.send_time(limit),
            (Queue::CoDel(codel), _) => self.backlog(at, rate) + bytes > codel.limit,
        }
    }

    /// Returns how many bytes wait at `at`, those of the packet that is being sent with them.
    fn backlog(&self, at: Instant, rate: &Rate) -> u64 {
        match rate {
            Rate::Unlimited => 0,
            Rate::Fixed(rate) => {
                let bits = self.waiting(at).as_nanos() * u128::from(*rate) / 1_000_000_000;
                (bits / 8) as u64
            }
            Rate::Trace(_) => self.playback.as_ref().map_or(0, |playback| playback.backlog(at)),
        }
    }

    /// Returns when a packet would be sent after all that waits.
    fn slot(&mut self, at: Instant, bytes: u64, rate: &Rate) -> Slot {
        let free = at + self.waiting(at);
        let Rate::Trace(trace) = rate else {
            self.playback = None;
            return Slot { starts: free, leaves: free + rate.send_time(bytes), used: None };
        };
        let playback = self.playback.take().filter(|playback| playback.plays(trace));
        let playback =
            self.playback.insert(playback.unwrap_or_else(|| Playback::begin(trace, free)));
        playback.expire(at);
        let used = playback.offer(free, bytes);
        Slot { starts: used.starts, leaves: used.leaves, used: Some(used) }
    }

    fn send(&mut self, slot: Slot, bytes: u64) -> Instant {
        if let (Some(playback), Some(used)) = (&mut self.playback, slot.used) {
            playback.take(used, bytes);
        }
        self.free_at = Some(slot.leaves);
        slot.leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CoDel, Trace};

    const MS: Duration = Duration::from_millis(1);

    /// Opportunities at 2 (two of them), 5 and 10 ms, and so on every 10 ms.
    fn trace() -> Rate {
        Rate::Trace(Trace::parse("2\n2\n5\n10\n").unwrap())
    }

    /// When packets of so many bytes leave, in milliseconds, that come at 0 ms.
    fn departures(sizes: &[usize], rate: &Rate, queue: Queue) -> Vec<Option<u128>> {
        let (mut line, t0) = (Line::default(), Instant::now());
        let mut leave = |bytes| line.enqueue(t0, bytes, rate, queue).ok();
        sizes.iter().map(|bytes| leave(*bytes).map(|at| (at - t0).as_millis())).collect()
    }

    #[test]
    fn full_packets_leave_one_at_an_opportunity_and_the_trace_repeats() {
        let left = departures(&[1500; 6], &trace(), Queue::Bytes(1 << 20));
        assert_eq!(left, [2, 2, 5, 10, 12, 12].map(Some));
    }

    #[test]
    fn small_packets_share_an_opportunity_and_large_ones_wait_for_more() {
        let left = departures(&[500, 500, 500, 600], &trace(), Queue::Bytes(1 << 20));
        assert_eq!(left, [2, 2, 2, 2].map(Some));
        // The second begins in what the first leaves, and ends in the opportunity at 5 ms.
        let left = departures(&[1000, 2500, 1000], &trace(), Queue::Bytes(1 << 20));
        assert_eq!(left, [2, 5, 5].map(Some));
        assert_eq!(departures(&[4000], &trace(), Queue::Bytes(0)), [Some(5)]);
    }

    #[test]
    fn an_opportunity_at_which_nothing_waits_is_lost() {
        let (mut line, t0, rate) = (Line::default(), Instant::now(), trace());
        let queue = Queue::Bytes(1 << 20);
        let mut leave = |at| (line.enqueue(at, 100, &rate, queue).unwrap() - t0).as_millis();
        // The trace begins with the first packet.
        assert_eq!(leave(t0), 2);
        assert_eq!(leave(t0 + 2 * MS), 2, "there is room left in it");
        assert_eq!(leave(t0 + 3 * MS), 5);
        assert_eq!(leave(t0 + 5 * MS + MS / 2), 10);
        assert_eq!(leave(t0 + 1_000_006 * MS), 1_000_010);
    }

    #[test]
    fn a_queue_in_bytes_counts_what_waits_for_the_trace() {
        let rate = trace();
        let left = departures(&[1500; 4], &rate, Queue::Bytes(3000));
        assert_eq!(left, [Some(2), Some(2), None, None]);
        let (mut line, t0) = (Line::default(), Instant::now());
        let queue = Queue::Bytes(1500);
        line.enqueue(t0, 1500, &rate, queue).unwrap();
        assert_eq!(line.enqueue(t0 + MS, 1500, &rate, queue), Err(DropReason::QueueFull));
        assert!(!line.has_room(t0 + MS, &rate, queue));
        assert!(line.has_room(t0 + 2 * MS, &rate, queue));
        assert!(line.enqueue(t0 + 2 * MS, 1500, &rate, queue).is_ok());
    }

    #[test]
    fn a_queue_in_time_takes_what_leaves_within_it() {
        let left = departures(&[1500; 4], &trace(), Queue::Time(5 * MS));
        assert_eq!(left, [Some(2), Some(2), Some(5), None]);
    }

    #[test]
    fn links_of_one_trace_shifted_against_each_other_differ() {
        let Rate::Trace(trace) = trace() else { unreachable!() };
        let shifted = Rate::Trace(trace.shifted(4 * MS));
        let left = departures(&[1500; 5], &shifted, Queue::Bytes(1 << 20));
        assert_eq!(left, [1, 6, 8, 8, 11].map(Some));
        let whole = Rate::Trace(trace.shifted(10 * MS));
        let left = departures(&[1500; 2], &whole, Queue::Bytes(1 << 20));
        assert_eq!(left, [2, 2].map(Some), "a whole period later it is the same");
    }

    #[test]
    fn a_saturated_trace_carries_its_mean_rate() {
        let rate = trace();
        let (mut line, t0) = (Line::default(), Instant::now());
        let bytes: usize = (0..100_000)
            .map(|i| t0 + i * MS / 10)
            .map(|at| line.enqueue(at, 1200, &rate, Queue::Bytes(30_000)).map_or(0, |_| 1200))
            .sum();
        // 10 s at 4.8 Mbit/s, and what waits at the end.
        assert!((6_000_000..6_040_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_trace_that_comes_while_packets_wait_begins_after_them() {
        let (mut line, t0) = (Line::default(), Instant::now());
        let queue = Queue::Bytes(1 << 20);
        line.enqueue(t0, 10_000, &Rate::Fixed(8_000_000), queue).unwrap();
        let left = line.enqueue(t0, 1500, &trace(), queue).unwrap();
        assert_eq!(left - t0, 12 * MS);
        // And back again.
        let left = line.enqueue(t0, 1000, &Rate::Fixed(8_000_000), queue).unwrap();
        assert_eq!(left - t0, 13 * MS);
    }

    #[test]
    fn codel_works_on_a_trace_and_leaves_a_reliable_sender_alone() {
        let rate = trace();
        let (mut line, t0) = (Line::default(), Instant::now());
        let queue = Queue::CoDel(CoDel::default());
        let managed = (0..20_000)
            .map(|i| line.enqueue(t0 + i * MS, 1500, &rate, queue))
            .filter(|sent| *sent == Err(DropReason::QueueManagement))
            .count();
        // Every millisecond one comes, of which four in ten leave.
        assert!((5_000..13_000).contains(&managed), "{managed}");
        let before = line.free_at;
        assert!(!line.has_room(t0 + 19_990 * MS, &rate, queue));
        assert!(line.enqueue_unbounded(t0 + 19_990 * MS, 1500, &rate) >= before.unwrap());
    }
}
