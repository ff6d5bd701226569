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

/// What was sent, by its number of packets and their length together: quinn does not tell the length of each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) packets: u32,
    /// How many of them are full packets, if the others are short.
    pub(super) full: u32,
}

impl Size {
    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.packets = self.packets.saturating_add(other.packets);
        self.full = self.full.saturating_add(other.full);
    }

    /// Returns how many of the packets must be full ones of length `mtu`, if all others are of length `passes`.
    fn full_beside(self, passes: u64, mtu: u64) -> u32 {
        let (passes, more) = (passes.min(mtu), mtu.saturating_sub(passes).max(1));
        let beyond = self.bytes.saturating_sub(passes * u64::from(self.packets));
        let full = (beyond + more / FULL_MARGIN_DIVISOR) / more;
        self.full.min(u32::try_from(full).unwrap_or(u32::MAX))
    }
}

/// A packet is full that is shorter than the MTU by less than this part of it.
pub(super) const FULL_MARGIN_DIVISOR: u64 = 10;

/// Packets sent within [`MERGE_WINDOW`].
#[derive(Debug)]
struct Burst {
    first: Instant,
    last: Instant,
    last_number: u64,
    /// Empty once a full packet of them is acknowledged.
    size: Size,
}

/// What is acknowledged, of all that is outstanding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Removal {
    /// The greatest packet number.
    pub(super) largest: Option<u64>,
    /// When the newest packet was sent.
    pub(super) newest_sent: Option<Instant>,
    /// When the newest full packet was sent.
    pub(super) newest_full: Option<Instant>,
    /// The length of packets that pass, though they are not full.
    pub(super) passes: u64,
    /// The length of full packets.
    pub(super) mtu: u64,
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

    /// Takes in that packets up to number `last_number`, of that size together, were sent at `now`.
    pub(super) fn push(&mut self, now: Instant, last_number: u64, size: Size) {
        let at_bound = self.0.len() >= MAX_ENTRIES;
        match self.0.back_mut() {
            Some(back) if at_bound || now.saturating_duration_since(back.first) < MERGE_WINDOW => {
                back.last = now;
                back.last_number = last_number;
                back.size.add(size);
            }
            _ => self.0.push_back(Burst { first: now, last: now, last_number, size }),
        }
    }

    /// Removes what is acknowledged. Returns the send time of the newest entry that left by its packet numbers
    /// (while quinn validates a path it reports nothing else), and how many full packets left that were sent
    /// after the newest full packet that is acknowledged.
    ///
    /// Packets that *may* be of a length that passes are not among them: it was not their length that lost them.
    pub(super) fn remove_acked(&mut self, acked: Removal) -> (Option<Instant>, u32) {
        let (mut newest, mut full) = (None, 0_u32);
        while let Some(front) = self.0.front_mut() {
            if acked.largest.is_some_and(|largest| front.last_number <= largest) {
                newest = Some(front.last);
            } else if let Some(sent) = acked.newest_sent
                && front.first <= sent
            {
                if front.last >= sent {
                    // A part of the burst is acknowledged; the rest was sent then or later. Which of its full
                    // packets are in the rest is not known: none counts as overtaken later where one passed.
                    if acked.newest_full >= Some(front.first) {
                        front.size = Size::default();
                    }
                    front.first = sent;
                    break;
                }
            } else {
                break;
            }
            if Some(front.first) > acked.newest_full {
                full = full.saturating_add(front.size.full_beside(acked.passes, acked.mtu));
            }
            self.0.pop_front();
        }
        (newest, full)
    }
}
