//! Pings under way, and the one-way delays that their answers measure.
//!
//! A round trip holds two queues: that of our direction, and the one in which acknowledgements wait. The
//! peer's clock at a ping's arrival separates them: its difference to our clock at the departure, less
//! the least such difference, is the queue of our direction, however the clocks differ.
//!
//! A ping is queued in quinn and leaves with the next packet; the controller reports when that was.

use std::collections::VecDeque;
use std::time::Instant;

/// How many pings without an answer are kept; older ones are forgotten. At one each 4 ms this is a
/// quarter of a second.
const MAX_PINGS: usize = 64;

/// How long a ping took to the peer, by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delay {
    /// When it was sent.
    pub(super) sent: Instant,
    /// The peer's clock at its arrival less ours at its departure, in microseconds; each began
    /// somewhere.
    pub(super) micros: i64,
}

/// The pings of a connection.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// Our clock begins with the first ping that is sent, so that a run in virtual time does not depend on when it is.
    clock: Option<Instant>,
    next: u64,
    /// Number, and when it was sent if it was.
    waiting: VecDeque<(u64, Option<Instant>)>,
    /// How many of them, at the end, have not been sent.
    queued: usize,
    delays: Vec<Delay>,
}

impl Pings {
    /// Registers a ping that is about to be queued; returns its number.
    pub(super) fn register(&mut self) -> u64 {
        self.next += 1;
        if self.waiting.len() >= MAX_PINGS {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.next, None));
        self.queued = (self.queued + 1).min(self.waiting.len());
        self.next
    }

    /// Takes in that a packet left at `now`, with the queued pings.
    pub(super) fn sent(&mut self, now: Instant) {
        if self.queued == 0 {
            return;
        }
        self.clock.get_or_insert(now);
        for (_, sent) in self.waiting.iter_mut().rev().take(std::mem::take(&mut self.queued)) {
            *sent = Some(now);
        }
    }

    /// Ping `seq` was answered: it came at `received` by the peer's clock, in microseconds.
    pub(super) fn answered(&mut self, seq: u64, received: u64) {
        let Some(index) = self.waiting.iter().position(|&(waiting, _)| waiting == seq) else {
            return;
        };
        self.queued = self.queued.min(self.waiting.len() - index - 1);
        // Answers come in order but for losses.
        let answered = self.waiting.drain(..=index).next_back();
        if let Some((_, Some(sent))) = answered
            && self.delays.len() < MAX_PINGS
        {
            let clock = self.clock.unwrap_or(sent);
            let ours = sent.saturating_duration_since(clock).as_micros() as i64;
            self.delays.push(Delay { sent, micros: (received as i64).saturating_sub(ours) });
        }
    }

    /// Takes the delays measured since the last call.
    pub(super) fn take(&mut self) -> Vec<Delay> {
        std::mem::take(&mut self.delays)
    }

    /// Forgets what is under way: the path has changed.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.delays.clear();
        self.queued = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_delay_is_from_the_packet_that_carried_the_ping_to_the_peers_clock() {
        let start = Instant::now();
        let mut pings = Pings::default();
        assert_eq!((pings.register(), pings.register()), (1, 2));
        pings.sent(start + 5 * MS);
        pings.sent(start + 6 * MS);
        pings.answered(1, 1_000_000);
        pings.answered(2, 1_002_000);
        pings.answered(2, 1_002_000);
        assert_eq!(pings.register(), 3);
        pings.sent(start + 8 * MS);
        pings.answered(3, 1_003_000);
        let delays: Vec<_> = pings.take().into_iter().map(|delay| delay.micros).collect();
        assert_eq!(delays, [1_000_000, 1_002_000, 1_000_000]);
        assert!(pings.take().is_empty());
    }

    #[test]
    fn an_answer_to_what_was_not_sent_or_not_asked_says_nothing() {
        let start = Instant::now();
        let mut pings = Pings::default();
        let seq = pings.register();
        pings.answered(seq, 7);
        pings.answered(99, 7);
        let next = pings.register();
        pings.sent(start + MS);
        pings.forget();
        pings.answered(next, 7);
        assert!(pings.take().is_empty());
    }

    #[test]
    fn what_is_never_answered_is_bounded() {
        let start = Instant::now();
        let mut pings = Pings::default();
        for _ in 0..1000 {
            pings.register();
            pings.sent(start);
        }
        for _ in 0..1000 {
            pings.register();
        }
        assert_eq!((pings.waiting.len(), pings.queued), (MAX_PINGS, MAX_PINGS));
        pings.sent(start + MS);
        for seq in 0..3000 {
            pings.answered(seq, u64::MAX >> 2);
        }
        assert_eq!(pings.take().len(), MAX_PINGS);
    }
}
