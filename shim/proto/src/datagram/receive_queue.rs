//! The datagrams of a flow that have arrived and wait for the application.

use std::collections::VecDeque;

use bytes::Bytes;

use super::replay_window::{Arrival, ReplayWindow};
use super::send_queue::OVERHEAD;
use crate::types::{Datagram, TrafficClass};

/// Counts of what arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The bytes of the payloads that the application took.
    pub read_bytes: u64,
    /// The bytes of the payloads that came more than once.
    pub duplicate_bytes: u64,
    /// Datagrams that were too late to tell whether they had come before.
    pub too_late: u64,
    /// Datagrams that the application did not take in time.
    pub overflow: u64,
    /// Long datagrams that were given up before all of them had come.
    pub unfinished: u64,
}

/// The most bytes that wait: as many as a flow's window has at first.
const MAX_BYTES: usize = 256 * 1024;

/// The datagrams that wait for the application, in the order in which they arrived, each once.
#[derive(Debug)]
pub struct ReceiveQueue {
    window: ReplayWindow,
    waiting: VecDeque<Datagram>,
    /// The bytes that wait, with their overhead.
    bytes: usize,
    received: Received,
}

impl ReceiveQueue {
    /// Creates an empty queue, for which the numbers below `next` count as arrived.
    pub fn new(next: u64) -> Self {
        let window = ReplayWindow::new(next);
        Self { window, waiting: VecDeque::new(), bytes: 0, received: Received::default() }
    }

    /// Returns the lowest sequence number above all that have arrived.
    pub fn next(&self) -> u64 {
        self.window.next()
    }

    /// Takes a datagram that arrived; returns whether it is a new one that waits now. The oldest go where more than
    /// `most` bytes, or more than 256 KiB, would wait; the new one itself where it is longer.
    pub fn push(&mut self, seq: u64, payload: &[u8], class: TrafficClass, most: u64) -> bool {
        match self.window.arrived(seq) {
            Arrival::New => {}
            Arrival::Duplicate => {
                self.received.duplicate_bytes += payload.len() as u64;
                return false;
            }
            Arrival::TooLate => {
                self.received.too_late += 1;
                return false;
            }
        }
        self.bytes += payload.len() + OVERHEAD;
        // Copied: it is a slice of a buffer with all that came from the network at once, up to 64 KiB, which
        // would stay as long as it waits.
        let payload = Bytes::copy_from_slice(payload);
        self.waiting.push_back(Datagram { payload, class });
        let most = usize::try_from(most).map_or(MAX_BYTES, |most| most.min(MAX_BYTES));
        while self.bytes > most {
            if let Some(oldest) = self.waiting.pop_front() {
                self.bytes -= oldest.payload.len() + OVERHEAD;
                self.received.overflow += 1;
            }
        }
        !self.waiting.is_empty()
    }

    /// Returns the next datagram for the application.
    pub fn pop(&mut self) -> Option<Datagram> {
        let datagram = self.waiting.pop_front()?;
        self.bytes -= datagram.payload.len() + OVERHEAD;
        self.received.read_bytes += datagram.payload.len() as u64;
        Some(datagram)
    }

    /// Drops what waits: nobody is to take it.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }

    /// Returns the bytes that wait, with their overhead.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts a long datagram that was given up before all of it had come.
    pub fn count_unfinished(&mut self) {
        self.received.unfinished += 1;
    }

    /// Returns counts of what arrived.
    pub fn received(&self) -> Received {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: TrafficClass = TrafficClass::DEFAULT;

    #[test]
    fn one_that_is_longer_than_what_may_wait_does_not_wait() {
        let mut queue = ReceiveQueue::new(0);
        assert!(queue.push(0, &[0; 100], PLAIN, 1000));
        assert!(!queue.push(1, &[0; 2000], PLAIN, 1000));
        assert_eq!((queue.bytes(), queue.received().overflow), (0, 2));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn a_datagram_is_delivered_once_and_late_ones_as_they_come() {
        let mut queue = ReceiveQueue::new(0);
        for (seq, new) in [(1, true), (0, true), (1, false), (2, true)] {
            assert_eq!(
                queue.push(seq, &[seq as u8], TrafficClass::from_byte(seq as u8), 1000),
                new
            );
        }
        let next = || queue.pop().map(|datagram| (datagram.payload[0], datagram.class.to_byte()));
        let order: Vec<_> = std::iter::from_fn(next).collect();
        assert_eq!(order, [(1, 1), (0, 0), (2, 2)]);
        let received = Received { read_bytes: 3, duplicate_bytes: 1, ..Received::default() };
        assert_eq!(queue.received(), received);
    }

    #[test]
    fn the_oldest_go_where_the_application_does_not_read() {
        for most in [20_000, u64::MAX] {
            let mut queue = ReceiveQueue::new(0);
            for len in [1000, 0] {
                let from = queue.next();
                (from..from + 10_000).for_each(|seq| {
                    queue.push(seq, &vec![0; len], PLAIN, most);
                });
                assert!(queue.bytes <= MAX_BYTES.min(most as usize));
                assert_eq!(queue.received.overflow, queue.next() - queue.waiting.len() as u64);
            }
        }
    }
}
