//! The packets without an acknowledgement, as a ring of send times.
//!
//! Quinn reports whole bursts, does not say which packets are acknowledgements only, and reports neither
//! lost path-MTU probes nor the packets of a discarded packet number space. So an entry leaves the ring
//! when anything sent after it is acknowledged, when its packet numbers are, or when quinn says that
//! nothing is in flight: it cannot stay for ever.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Sends closer together than this share an entry; no rule judges more finely.
const MERGE_WINDOW: Duration = Duration::from_millis(1);

/// Entries of the ring: a second of sends. A packet older than that has been suspect for long. Beyond
/// it, later sends share the last entry.
const MAX_ENTRIES: usize = 1024;

/// Packets sent within [`MERGE_WINDOW`].
#[derive(Debug)]
struct Burst {
    first: Instant,
    last: Instant,
    last_number: u64,
    /// How many of them are full packets; zero once one of them is acknowledged.
    full: u32,
}

/// The packets without an acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Outstanding(VecDeque<Burst>);

impl Outstanding {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns when the oldest of them was sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.0.front().map(|burst| burst.first)
    }

    /// Takes in that packets up to number `last_number`, of which so many are full, were sent at `now`.
    pub(super) fn push(&mut self, now: Instant, last_number: u64, full: u32) {
        let at_bound = self.0.len() >= MAX_ENTRIES;
        match self.0.back_mut() {
            Some(back) if at_bound || now.saturating_duration_since(back.first) < MERGE_WINDOW => {
                back.last = now;
                back.last_number = last_number;
                back.full = back.full.saturating_add(full);
            }
            _ => self.0.push_back(Burst { first: now, last: now, last_number, full }),
        }
    }

    /// Removes what is acknowledged: up to packet number `largest`, and what was sent up to
    /// `newest_sent`. Returns the send time of the newest entry that left by its packet numbers
    /// (while quinn validates a path it reports nothing else), and how many full packets left
    /// that were sent after `newest_full`.
    pub(super) fn remove_acked(
        &mut self,
        largest: Option<u64>,
        newest_sent: Option<Instant>,
        newest_full: Option<Instant>,
    ) -> (Option<Instant>, u32) {
        let (mut newest, mut full) = (None, 0_u32);
        while let Some(front) = self.0.front_mut() {
            if largest.is_some_and(|largest| front.last_number <= largest) {
                newest = Some(front.last);
            } else if let Some(sent) = newest_sent
                && front.first <= sent
            {
                if front.last >= sent {
                    // A part of the burst is acknowledged; the rest was sent then or later. Which of its full
                    // packets are in the rest is not known: none counts as overtaken later where one passed.
                    if newest_full >= Some(front.first) {
                        front.full = 0;
                    }
                    front.first = sent;
                    break;
                }
            } else {
                break;
            }
            if Some(front.first) > newest_full {
                full = full.saturating_add(front.full);
            }
            self.0.pop_front();
        }
        (newest, full)
    }
}
