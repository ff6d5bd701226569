//! Where a line is in its trace.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{OPPORTUNITY_BYTES, Trace};

/// A trace that a line has begun, and what of it is used up.
#[derive(Clone, Debug)]
pub(crate) struct Playback {
    trace: Trace,
    begun: Instant,
    next: Opportunity,
    /// When each packet that waits leaves, and its bytes.
    waiting: VecDeque<(Instant, u64)>,
    waiting_bytes: u64,
}

/// An opportunity, counted over all repetitions, and what is left of it: never nothing.
#[derive(Clone, Copy, Debug)]
struct Opportunity {
    number: u64,
    left: u64,
}

/// What a packet would use up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// When its first byte is sent.
    pub(crate) starts: Instant,
    /// When its last one is.
    pub(crate) leaves: Instant,
    next: Opportunity,
}

impl Playback {
    /// Begins `trace` at `at`.
    pub(crate) fn begin(trace: &Trace, at: Instant) -> Self {
        let mut playback = Self {
            trace: trace.clone(),
            begun: at,
            next: Opportunity { number: 0, left: OPPORTUNITY_BYTES },
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        };
        playback.next.number = playback.first_at(at);
        playback
    }

    /// Returns whether this plays `trace`.
    pub(crate) fn plays(&self, trace: &Trace) -> bool {
        self.trace.is_same(trace)
    }

    /// Returns what a packet of `bytes` that comes at `at`, after all before it, would use up.
    pub(crate) fn offer(&self, at: Instant, bytes: u64) -> Use {
        let mut next = self.next;
        if self.time(next.number) < at {
            next = Opportunity { number: self.first_at(at), left: OPPORTUNITY_BYTES };
        }
        let starts = self.time(next.number);
        // The opportunity in which the last byte is sent.
        let beyond = bytes.saturating_sub(next.left).div_ceil(OPPORTUNITY_BYTES);
        next.left = (next.left + beyond * OPPORTUNITY_BYTES).saturating_sub(bytes);
        next.number += beyond;
        let leaves = self.time(next.number);
        if next.left == 0 {
            next = Opportunity { number: next.number + 1, left: OPPORTUNITY_BYTES };
        }
        Use { starts, leaves, next }
    }

    /// Has the packet of an offer wait for its opportunities.
    pub(crate) fn take(&mut self, taken: Use, bytes: u64) {
        self.next = taken.next;
        self.waiting.push_back((taken.leaves, bytes));
        self.waiting_bytes += bytes;
    }

    /// Forgets packets that have left by `at`.
    pub(crate) fn expire(&mut self, at: Instant) {
        while let Some((leaves, bytes)) = self.waiting.front()
            && *leaves <= at
        {
            self.waiting_bytes -= bytes;
            self.waiting.pop_front();
        }
    }

    /// Returns how many bytes wait at `at`.
    pub(crate) fn backlog(&self, at: Instant) -> u64 {
        let gone = self.waiting.iter().take_while(|(leaves, _)| *leaves <= at);
        self.waiting_bytes - gone.map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// Returns when opportunity `number` is.
    fn time(&self, number: u64) -> Instant {
        let length = self.trace.opportunities.len() as u64;
        let within = self.trace.opportunities[(number % length) as usize];
        let since = number / length * u64::from(self.trace.period_ms()) + u64::from(within);
        // Those before the point where it was begun are never asked for.
        (self.begun + Duration::from_millis(since)) - self.trace.phase
    }

    /// Returns the first opportunity at `at` or after it.
    fn first_at(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.begun) + self.trace.phase;
        let period = self.trace.period();
        let repetition = (since.as_nanos() / period.as_nanos()) as u64;
        let within = Duration::from_nanos((since.as_nanos() % period.as_nanos()) as u64);
        let is_before = |time: &u32| Duration::from_millis(u64::from(*time)) < within;
        let index = self.trace.opportunities.partition_point(is_before);
        repetition * self.trace.opportunities.len() as u64 + index as u64
    }
}
