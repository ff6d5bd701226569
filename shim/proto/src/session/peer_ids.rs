//! Which of the peer's flow ids were used: one open, one dial, however often its segment arrives.

use std::collections::BTreeSet;

use crate::snapshot::RestoreError;
use crate::types::{FlowId, Side};
use crate::wire::codec::{get_varint, put_varint};

/// The most ids below the highest that may still be unseen. An honest peer gives ids out in
/// order, and sends each within moments: this is every flow of a large session opened at once, on
/// several lanes. It may cost half a megabyte.
pub const MAX_UNSEEN: usize = 32_768;

/// What a flow id of the peer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdStatus {
    /// The id was never used: it may create a flow.
    New,
    /// The id was used: its flow is live, or finished for good.
    Used,
    /// The id is so far above the highest that it would leave more than [`MAX_UNSEEN`] ids unseen.
    TooFar,
}

/// The flow ids that the peer used: a high-water mark and the unseen ids below it.
#[derive(Debug)]
pub struct PeerIds {
    /// The lowest id above all used ones.
    next: u64,
    unseen: BTreeSet<u64>,
}

impl PeerIds {
    /// Begins with no id of `peer` used.
    pub fn new(peer: Side) -> Self {
        Self { next: peer.first_flow().0, unseen: BTreeSet::new() }
    }

    /// Appends the ids to a snapshot.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.next);
        put_varint(out, self.unseen.len() as u64);
        self.unseen.iter().for_each(|id| put_varint(out, *id));
    }

    /// Reads what [`put`](Self::put) has written, of `peer`.
    pub(super) fn get(record: &mut &[u8], peer: Side) -> Result<Self, RestoreError> {
        let mut ids = Self { next: get_varint(record, "peer's next flow id")?, ..Self::new(peer) };
        for _ in 0..get_varint(record, "unseen flow ids")? {
            ids.unseen.insert(get_varint(record, "unseen flow id")?);
        }
        let is_peers = |id: u64| FlowId(id).opener() == peer;
        let fits = |id: &u64| *id < ids.next && is_peers(*id);
        match is_peers(ids.next) && ids.unseen.iter().all(fits) && ids.unseen.len() <= MAX_UNSEEN {
            true => Ok(ids),
            false => Err(RestoreError::Contradiction("flow ids of the peer")),
        }
    }

    /// Returns what the id means.
    pub fn status(&self, id: FlowId) -> IdStatus {
        if id.0 < self.next {
            return if self.unseen.contains(&id.0) { IdStatus::New } else { IdStatus::Used };
        }
        let skipped = (id.0 - self.next) / 2;
        if skipped + self.unseen.len() as u64 > MAX_UNSEEN as u64 {
            IdStatus::TooFar
        } else {
            IdStatus::New
        }
    }

    /// Marks a [`IdStatus::New`] id as used.
    pub fn mark_used(&mut self, id: FlowId) {
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
            assert_eq!(ids.status(id), IdStatus::New);
            ids.mark_used(id);
            assert_eq!(ids.status(id), IdStatus::Used);
        }
        assert!(ids.unseen.is_empty());
        assert_eq!(ids.status(FlowId(8)), IdStatus::New);
    }

    #[test]
    fn ids_cannot_be_skipped_without_bound() {
        let mut ids = PeerIds::new(Side::Acceptor);
        assert_eq!(ids.status(FlowId(u64::MAX >> 2 | 1)), IdStatus::TooFar);
        let last = FlowId(1 + 2 * MAX_UNSEEN as u64);
        assert_eq!(ids.status(last), IdStatus::New);
        ids.mark_used(last);
        assert_eq!(ids.status(FlowId(last.0 + 2)), IdStatus::New);
        assert_eq!(ids.status(FlowId(last.0 + 4)), IdStatus::TooFar);
        ids.mark_used(FlowId(1));
        assert_eq!(ids.status(FlowId(last.0 + 4)), IdStatus::New);
    }
}
