//! Which processes of each peer were seen.

use std::collections::{HashMap, VecDeque};

use throughline_proto::types::PeerId;

/// Processes remembered of each peer. Two that share a key by mistake, or one that takes over from
/// another, are known both: neither ends what the other creates.
const MAX_REMEMBERED: usize = 8;

/// The processes of each peer, by the number in their `Hello`.
#[derive(Debug, Default)]
pub(super) struct Instances(HashMap<PeerId, VecDeque<u64>>);

impl Instances {
    /// Forgets the processes of a peer.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.0.remove(&peer);
    }

    /// Notes a process; returns whether it is a new one.
    pub(super) fn note(&mut self, peer: PeerId, instance: u64) -> bool {
        let known = self.0.entry(peer).or_default();
        if known.contains(&instance) {
            return false;
        }
        if known.len() == MAX_REMEMBERED {
            known.pop_front();
        }
        known.push_back(instance);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_new_once_and_only_so_many_are_remembered() {
        let (mut instances, peer) = (Instances::default(), PeerId::from_bytes([7; 32]));
        assert!(instances.note(peer, 1) && instances.note(peer, 2));
        assert!(!instances.note(peer, 1) && !instances.note(peer, 2));
        assert!(instances.note(PeerId::from_bytes([8; 32]), 1));
        assert!((10..1000).all(|instance| instances.note(peer, instance)));
        assert_eq!(instances.0[&peer].len(), MAX_REMEMBERED);
    }
}
