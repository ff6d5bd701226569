//! What each peer may reach through this host, while that may change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;

use super::acl::Acl;
use crate::proxy::connections::{Gate, Lookups};
use crate::proxy::refusals::RefusalLog;
use throughline::PeerId;

/// The peers of the egress. The lock is a leaf.
#[derive(Debug)]
pub(super) struct Peers(RwLock<Arc<Known>>);

/// The peers as they are configured at one time.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By each of their keys.
    of_key: HashMap<PeerId, Arc<PeerState>>,
    /// By the keys that they had the time before, and no more: a flow may have come then that is opened now.
    of_former_key: HashMap<PeerId, Arc<PeerState>>,
}

/// A peer, as long as it keeps one of its keys: its live flows share it, whatever key they came with.
#[derive(Debug, Default)]
pub(super) struct PeerState {
    /// What it may reach now: nothing once it is no peer any more. The lock is a leaf.
    acl: RwLock<Arc<Acl>>,
    pub(super) dials: Gate,
    pub(super) lookups: Lookups,
    /// Its sockets of UDP.
    pub(super) udp_sockets: Gate,
    pub(super) refusals: RefusalLog,
}

/// The keys of a peer, and what it may reach.
pub type PeerAcl = (Vec<PeerId>, Acl);

impl PeerState {
    /// Returns what the peer may reach now.
    pub(super) fn acl(&self) -> Arc<Acl> {
        self.acl.read().clone()
    }
}

impl Peers {
    pub(super) fn new(acls: impl IntoIterator<Item = PeerAcl>) -> Self {
        let peers = Self(RwLock::default());
        peers.set(acls);
        peers
    }

    /// Returns the peers as they are now.
    pub(super) fn now(&self) -> Arc<Known> {
        self.0.read().clone()
    }

    /// Sets what each peer may reach from now on. A peer stays where it keeps a key; where several have keys
    /// of one, the first of them stays.
    pub(super) fn set(&self, acls: impl IntoIterator<Item = PeerAcl>) {
        let before = self.now();
        let (mut of_key, mut staying) = (HashMap::new(), HashSet::new());
        for (keys, acl) in acls {
            let mut states = keys.iter().filter_map(|key| before.of_key.get(key));
            let state = states.find(|state| staying.insert(Arc::as_ptr(state)));
            let state = state.cloned().unwrap_or_default();
            *state.acl.write() = Arc::new(acl);
            of_key.extend(keys.into_iter().map(|key| (key, state.clone())));
        }
        let mut of_former_key = HashMap::new();
        for (key, state) in &before.of_key {
            if !staying.contains(&Arc::as_ptr(state)) {
                *state.acl.write() = Arc::default();
            } else if !of_key.contains_key(key) {
                of_former_key.insert(*key, state.clone());
            }
        }
        *self.0.write() = Arc::new(Known { of_key, of_former_key });
    }
}

impl Known {
    /// Returns the peer that has this key, or had it the time before.
    pub(super) fn state(&self, key: PeerId) -> Option<Arc<PeerState>> {
        self.of_key.get(&key).or_else(|| self.of_former_key.get(&key)).cloned()
    }

    /// Returns what a live flow may lead to that came with this key of a peer: where another peer has the key
    /// by now, what that one may reach.
    pub(super) fn acl_of_flow(&self, key: PeerId, peer: &PeerState) -> Arc<Acl> {
        self.of_key.get(&key).map_or_else(|| peer.acl(), |holder| holder.acl())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> PeerId {
        PeerId::from_bytes([number; 32])
    }

    fn acl(entry: &str) -> Acl {
        Acl::new(vec![entry.parse().unwrap()])
    }

    #[test]
    fn a_peer_that_changes_its_key_often_stays_and_leaves_no_keys_behind() {
        let peers = Peers::new([(vec![key(0)], acl("10.0.0.0/8:*"))]);
        let state = peers.now().state(key(0)).unwrap();
        for number in 1..100 {
            peers.set([(vec![key(number), key(number - 1)], acl("10.0.0.0/8:*"))]);
            peers.set([(vec![key(number)], acl("10.0.0.0/8:1"))]);
            let now = peers.now();
            assert!(now.of_key.len() + now.of_former_key.len() <= 2, "{number}: {now:?}");
            for key in [key(number), key(number - 1)] {
                assert!(Arc::ptr_eq(&now.state(key).unwrap(), &state), "{number}");
            }
        }
        // A flow that came with the first key still leads to what its peer may reach now.
        assert_eq!(*peers.now().acl_of_flow(key(0), &state), acl("10.0.0.0/8:1"));
        peers.set([]);
        assert_eq!(*peers.now().acl_of_flow(key(0), &state), Acl::default());
    }

    #[test]
    fn two_peers_that_had_been_one_do_not_share_what_they_may_reach() {
        let peers = Peers::new([(vec![key(1), key(2)], acl("10.0.0.0/8:*"))]);
        let state = peers.now().state(key(1)).unwrap();
        peers.set([(vec![key(1)], acl("10.0.0.1:1")), (vec![key(2)], acl("10.0.0.2:2"))]);
        let now = peers.now();
        assert_eq!(*now.acl_of_flow(key(1), &state), acl("10.0.0.1:1"));
        assert_eq!(*now.acl_of_flow(key(2), &state), acl("10.0.0.2:2"));
        assert_eq!(*now.state(key(2)).unwrap().acl(), acl("10.0.0.2:2"));
    }
}
