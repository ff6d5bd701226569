//! What became of a link's packets, counted.

use crate::drop_reason::DropReason;

/// Packets and their bytes, headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What became of the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Delivered.
    pub delivered: Tally,
    /// Dropped because the queue was full.
    pub queue_full: Tally,
    /// Dropped by queue management.
    pub queue_managed: Tally,
    /// Dropped by a policer.
    pub policed: Tally,
    /// Dropped by loss that has nothing to do with the queue.
    pub lost: Tally,
    /// Dropped because they were larger than the MTU.
    pub too_large: Tally,
    /// Dropped by a blackhole.
    pub blackholed: Tally,
    /// Arrived, and refused by the far end: a device that is down, say.
    pub refused: Tally,
}

/// What became of the packets of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DuplexStats {
    /// From the site into the internet.
    pub up: LinkStats,
    /// From the internet to the site.
    pub down: LinkStats,
}

impl Tally {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    fn remove(&mut self, bytes: usize) {
        self.packets -= 1;
        self.bytes -= bytes as u64;
    }
}

impl LinkStats {
    pub(crate) fn dropped(&mut self, reason: DropReason, bytes: usize) {
        let tally = match reason {
            DropReason::Blackhole => &mut self.blackholed,
            DropReason::TooLarge { .. } | DropReason::PacketTooBig { .. } => &mut self.too_large,
            DropReason::Loss => &mut self.lost,
            DropReason::Policed => &mut self.policed,
            DropReason::QueueFull => &mut self.queue_full,
            DropReason::QueueManagement => &mut self.queue_managed,
        };
        tally.add(bytes);
    }

    pub(crate) fn refused(&mut self, bytes: usize) {
        self.delivered.remove(bytes);
        self.refused.add(bytes);
    }
}

impl DuplexStats {
    /// Returns the bytes delivered both ways.
    pub fn delivered_bytes(&self) -> u64 {
        self.up.delivered.bytes + self.down.delivered.bytes
    }
}
