//! A link with its packets in flight.

use std::collections::VecDeque;
use std::time::Instant;

use crate::drop_reason::DropReason;
use crate::model::{Fate, LinkModel};
use crate::profile::Profile;
use crate::stats::LinkStats;

/// One direction of a link, carrying packets of type `T`.
#[derive(Clone, Debug)]
pub struct Link<T> {
    model: LinkModel,
    /// In the order in which they are due.
    in_flight: VecDeque<InFlight<T>>,
    stats: LinkStats,
}

#[derive(Clone, Debug)]
struct InFlight<T> {
    due: Instant,
    bytes: usize,
    packet: T,
}

/// What a link does with a packet that comes.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<T> {
    /// It is under way.
    Accepted,
    /// It is gone, and returned so that its buffer can be used again.
    Dropped(T, DropReason),
}

/// What comes out of a link.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<T> {
    /// Delivered at this time.
    Delivered(Instant, T),
    /// Lost to a blackhole that opened while it was under way.
    Blackholed(T),
}

impl<T> Link<T> {
    /// Returns an idle link; `seed` decides what it draws.
    pub fn new(profile: Profile, seed: u64) -> Self {
        let (in_flight, stats) = (VecDeque::new(), LinkStats::default());
        Self { model: LinkModel::new(profile, seed), in_flight, stats }
    }

    /// Returns what decides about packets.
    pub fn model(&self) -> &LinkModel {
        &self.model
    }

    /// Returns the same, to be changed.
    pub fn model_mut(&mut self) -> &mut LinkModel {
        &mut self.model
    }

    /// Returns what became of the packets so far.
    pub fn stats(&self) -> &LinkStats {
        &self.stats
    }

    /// Returns whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Returns when a packet is due next.
    pub fn next_due(&self) -> Option<Instant> {
        self.in_flight.front().map(|first| first.due)
    }

    /// Takes a packet of `bytes` that comes at `at`.
    pub fn admit(&mut self, at: Instant, bytes: usize, packet: T) -> Admission<T>
    where
        T: Clone,
    {
        match self.model.transmit(at, bytes) {
            Fate::Arrives { at, duplicate } => {
                if let Some(due) = duplicate {
                    self.carry(InFlight { due, bytes, packet: packet.clone() });
                }
                self.carry(InFlight { due: at, bytes, packet });
                Admission::Accepted
            }
            Fate::Dropped(reason) => self.dropped(bytes, packet, reason),
        }
    }

    /// Takes a chunk of a reliable stream; see [`LinkModel::transmit_reliably`].
    pub fn admit_reliably(&mut self, at: Instant, bytes: usize, packet: T) -> Admission<T> {
        match self.model.transmit_reliably(at, bytes) {
            Fate::Arrives { at, .. } => {
                self.carry(InFlight { due: at, bytes, packet });
                Admission::Accepted
            }
            Fate::Dropped(reason) => self.dropped(bytes, packet, reason),
        }
    }

    /// Returns the next packet that is due at `now`.
    pub fn release(&mut self, now: Instant) -> Option<Arrival<T>> {
        if self.next_due()? > now {
            return None;
        }
        let InFlight { due, bytes, packet } = self.in_flight.pop_front()?;
        if self.model.is_blackhole() {
            self.stats.dropped(DropReason::Blackhole, bytes);
            return Some(Arrival::Blackholed(packet));
        }
        self.stats.delivered.add(bytes);
        Some(Arrival::Delivered(due, packet))
    }

    /// Counts a packet of `bytes` that was delivered as refused by the far end.
    pub fn count_refused(&mut self, bytes: usize) {
        self.stats.refused(bytes);
    }

    fn dropped(&mut self, bytes: usize, packet: T, reason: DropReason) -> Admission<T> {
        self.stats.dropped(reason, bytes);
        Admission::Dropped(packet, reason)
    }

    fn carry(&mut self, packet: InFlight<T>) {
        // Nearly always at the end: only what is held up on purpose is due after later ones.
        let later = self.in_flight.iter().rev().take_while(|other| other.due > packet.due).count();
        self.in_flight.insert(self.in_flight.len() - later, packet);
    }
}

#[cfg(test)]
mod tests;
