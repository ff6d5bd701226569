//! Which of the peer's flow ids were seen: one open, one dial, however often its segment comes.

use std::collections::BTreeSet;

use crate::types::{FlowId, Side};

/// The most ids below the highest that may still be unseen. An honest peer gives ids out in
/// order, and sends each within moments: a thousand opens in flight on several lanes.
pub const MAX_UNSEEN: usize = 4096;

/// What an id of the peer's means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Never seen: it may create a flow.
    New,
    /// Seen: it is live, or finished for good.
    Before,
    /// So far above the highest that it would leave more than [`MAX_UNSEEN`] ids unseen.
    TooFar,
}

/// The ids that the peer gave out: a high-water mark and the unseen ones below it.
#[derive(Debug)]
pub struct PeerIds {
    /// The lowest id above all seen.
    next: u64,
    unseen: BTreeSet<u64>,
}

impl PeerIds {
    /// No id of `peer`'s was seen.
    pub fn new(peer: Side) -> Self {
        Self { next: peer.first_flow().0, unseen: BTreeSet::new() }
    }

    /// What the id means; nothing changes.
    pub fn classify(&self, id: FlowId) -> Seen {
        if id.0 < self.next {
            return if self.unseen.contains(&id.0) { Seen::New } else { Seen::Before };
        }
        let skipped = (id.0 - self.next) / 2;
        if skipped + self.unseen.len() as u64 > MAX_UNSEEN as u64 {
            Seen::TooFar
        } else {
            Seen::New
        }
    }

    /// Marks a [`Seen::New`] id as seen.
    pub fn mark(&mut self, id: FlowId) {
        if id.0 < self.next {
            self.unseen.remove(&id.0);
            return;
        }
        self.unseen.extend((self.next..id.0).step_by(2));
        self.next = id.0 + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_exactly_once_in_any_order() {
        let mut ids = PeerIds::new(Side::Initiator);
        for id in [4, 0, 6, 2].map(FlowId) {
            assert_eq!(ids.classify(id), Seen::New);
            ids.mark(id);
            assert_eq!(ids.classify(id), Seen::Before);
        }
        assert!(ids.unseen.is_empty());
        assert_eq!(ids.classify(FlowId(8)), Seen::New);
    }

    #[test]
    fn ids_cannot_be_skipped_without_bound() {
        let mut ids = PeerIds::new(Side::Acceptor);
        assert_eq!(ids.classify(FlowId(u64::MAX >> 2 | 1)), Seen::TooFar);
        let last = FlowId(1 + 2 * MAX_UNSEEN as u64);
        assert_eq!(ids.classify(last), Seen::New);
        ids.mark(last);
        assert_eq!(ids.classify(FlowId(last.0 + 2)), Seen::New);
        assert_eq!(ids.classify(FlowId(last.0 + 4)), Seen::TooFar);
        ids.mark(FlowId(1));
        assert_eq!(ids.classify(FlowId(last.0 + 4)), Seen::New);
    }
}
