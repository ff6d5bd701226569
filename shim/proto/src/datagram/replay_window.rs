//! Finds datagrams that came before, by their sequence numbers (RFC 4303 §3.4.3, RFC 6479).

/// The numbers below the highest that are remembered. A datagram that is later than so many others is dropped, as
/// it may have been delivered: at 100,000 a second, two lanes may differ by 40 ms; a thin flow's by 20 s.
pub const REPLAY_WINDOW: u64 = 4096;

const BITS: u64 = u64::BITS as u64;

/// One block more than the window, as that of the highest number is filled bit by bit.
const BLOCKS: usize = (REPLAY_WINDOW / BITS) as usize + 1;

/// What a sequence number says of its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has not come before.
    New,
    /// It has come before.
    Duplicate,
    /// It is so late that nobody knows.
    TooLate,
}

/// The sequence numbers that have arrived.
#[derive(Debug)]
pub struct ReplayWindow {
    /// The lowest number above all that have arrived.
    next: u64,
    /// A bit for each of the last numbers, in a ring.
    seen: Box<[u64; BLOCKS]>,
}

impl ReplayWindow {
    /// Begins where all numbers below `next` count as arrived.
    pub fn new(next: u64) -> Self {
        Self { next, seen: Box::new([u64::MAX; BLOCKS]) }
    }

    /// Returns the lowest number above all that have arrived.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes note that a datagram of this number has arrived; returns whether it is a new one.
    pub fn arrived(&mut self, seq: u64) -> Arrival {
        if seq.saturating_add(REPLAY_WINDOW) < self.next {
            return Arrival::TooLate;
        }
        if seq >= self.next {
            self.advance(seq + 1);
        }
        let (block, bit) = (Self::block(seq), 1 << (seq % BITS));
        match self.seen[block] & bit == 0 {
            true => {
                self.seen[block] |= bit;
                Arrival::New
            }
            false => Arrival::Duplicate,
        }
    }

    /// Makes room for the numbers below `next`, none of which has arrived.
    fn advance(&mut self, next: u64) {
        let skipped = next - self.next;
        if skipped >= REPLAY_WINDOW {
            self.seen.fill(0);
        } else {
            // Block by block: a peer that skips numbers must not cost a step for each (RFC 6479).
            let mut from = self.next;
            while from < next {
                let end = next.min((from / BITS + 1) * BITS);
                let low = u64::MAX << (from % BITS);
                let high = u64::MAX >> ((BITS - end % BITS) % BITS);
                self.seen[Self::block(from)] &= !(low & high);
                from = end;
            }
        }
        self.next = next;
    }

    fn block(seq: u64) -> usize {
        ((seq / BITS) % BLOCKS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_number_is_new_once_in_any_order() {
        let mut window = ReplayWindow::new(0);
        for seq in [3, 0, 2, 1, 100, 99, 4] {
            assert_eq!(window.arrived(seq), Arrival::New, "{seq}");
            assert_eq!(window.arrived(seq), Arrival::Duplicate, "{seq}");
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_too_late_whether_it_came_or_not() {
        let mut window = ReplayWindow::new(0);
        assert_eq!(window.arrived(REPLAY_WINDOW + 10), Arrival::New);
        assert_eq!(window.arrived(10), Arrival::TooLate);
        assert_eq!(window.arrived(11), Arrival::New);
        assert_eq!(window.arrived(1 << 60), Arrival::New);
        assert_eq!(window.arrived((1 << 60) - 1), Arrival::New);
        assert_eq!(window.arrived(REPLAY_WINDOW + 10), Arrival::TooLate);
    }

    #[test]
    fn what_was_counted_as_arrived_at_the_beginning_is_no_new_one() {
        let mut window = ReplayWindow::new(1000);
        assert_eq!(window.arrived(999), Arrival::Duplicate);
        assert_eq!(window.arrived(1000), Arrival::New);
    }

    #[test]
    fn it_agrees_with_a_set_of_all_that_came() {
        for seed in 0..50u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = |most: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % most
            };
            let (mut window, mut known, mut highest) = (ReplayWindow::new(0), BTreeSet::new(), 0);
            for _ in 0..5000 {
                let seq = (highest + next(200)).saturating_sub(next(5) * next(1500));
                let expected = match seq + REPLAY_WINDOW < window.next() {
                    true => Arrival::TooLate,
                    false if known.insert(seq) => Arrival::New,
                    false => Arrival::Duplicate,
                };
                assert_eq!(window.arrived(seq), expected, "seed {seed}, {seq}");
                highest = highest.max(seq);
            }
        }
    }
}
