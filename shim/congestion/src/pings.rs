//! Pings on their way, and what their answers say of the path's delay in our direction.
//!
//! A round trip holds two queues: ours, and the one in which the acknowledgements wait. The peer's
//! clock at a ping's arrival tells them apart: what it shows beyond the clock at which we sent,
//! less the least that it ever showed, is our own queue, whatever the clocks' difference.
//!
//! A ping is queued in quinn and leaves with the next packet; when that was, the controller says.

use std::collections::VecDeque;
use std::time::Instant;

/// Pings without an answer that are kept; older ones are forgotten. At one each 4 ms this is a
/// quarter of a second.
const KEPT: usize = 64;

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
#[derive(Debug)]
pub(super) struct Pings {
    clock: Instant,
    next: u64,
    /// Number, and when it was sent if it was.
    waiting: VecDeque<(u64, Option<Instant>)>,
    /// How many of them, at the end, have not been sent.
    queued: usize,
    delays: Vec<Delay>,
}

impl Pings {
    pub(super) fn new(clock: Instant) -> Self {
        Self { clock, next: 0, waiting: VecDeque::new(), queued: 0, delays: vec![] }
    }

    /// A ping is about to be queued; its number.
    pub(super) fn queue(&mut self) -> u64 {
        self.next += 1;
        if self.waiting.len() >= KEPT {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.next, None));
        self.queued = (self.queued + 1).min(self.waiting.len());
        self.next
    }

    /// A packet left at `now`, and with it what was queued.
    pub(super) fn sent(&mut self, now: Instant) {
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
            && self.delays.len() < KEPT
        {
            let ours = sent.saturating_duration_since(self.clock).as_micros() as i64;
            self.delays.push(Delay { sent, micros: (received as i64).saturating_sub(ours) });
        }
    }

    /// The delays measured since this was last asked.
    pub(super) fn take(&mut self) -> Vec<Delay> {
        std::mem::take(&mut self.delays)
    }

    /// The path is another one: what is under way says nothing of it.
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
        let mut pings = Pings::new(start);
        assert_eq!((pings.queue(), pings.queue()), (1, 2));
        pings.sent(start + 5 * MS);
        pings.sent(start + 6 * MS);
        pings.answered(1, 1_000_000);
        pings.answered(2, 1_002_000);
        pings.answered(2, 1_002_000);
        let delays: Vec<_> = pings.take().into_iter().map(|delay| delay.micros).collect();
        assert_eq!(delays, [995_000, 997_000]);
        assert!(pings.take().is_empty());
    }

    #[test]
    fn an_answer_to_what_was_not_sent_or_not_asked_says_nothing() {
        let start = Instant::now();
        let mut pings = Pings::new(start);
        let seq = pings.queue();
        pings.answered(seq, 7);
        pings.answered(99, 7);
        let next = pings.queue();
        pings.sent(start + MS);
        pings.forget();
        pings.answered(next, 7);
        assert!(pings.take().is_empty());
    }

    #[test]
    fn what_is_never_answered_is_bounded() {
        let start = Instant::now();
        let mut pings = Pings::new(start);
        for _ in 0..1000 {
            pings.queue();
            pings.sent(start);
        }
        for _ in 0..1000 {
            pings.queue();
        }
        assert_eq!((pings.waiting.len(), pings.queued), (KEPT, KEPT));
        pings.sent(start + MS);
        for seq in 0..3000 {
            pings.answered(seq, u64::MAX >> 2);
        }
        assert_eq!(pings.take().len(), KEPT);
    }
}
