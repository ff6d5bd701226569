//! What changes of the peers: one stays who it is as long as it keeps a key.

use super::change::Change;
use crate::config::Peer;
use throughline::PeerId;

/// Returns the peer among `peers` that has a key of `peer`.
fn counterpart<'a>(peer: &Peer, peers: &'a [Peer]) -> Option<&'a Peer> {
    let shares =
        |other: &&Peer| other.config.keys().any(|key| peer.config.keys().any(|k| k == key));
    peers.iter().find(shares)
}

/// Returns what the key of a peer is in the new configuration, for lists that name peers.
pub(super) fn renaming<'a>(old: &'a [Peer], new: &'a [Peer]) -> impl Fn(PeerId) -> PeerId + 'a {
    |key| {
        let peer = old.iter().find(|peer| peer.config.id == key);
        peer.and_then(|peer| counterpart(peer, new)).map_or(key, |peer| peer.config.id)
    }
}

/// Returns what changes of the peers.
pub(super) fn changes(old: &[Peer], new: &[Peer]) -> Vec<Change> {
    let gone = old.iter().filter(|peer| counterpart(peer, new).is_none());
    let mut changes: Vec<_> =
        gone.map(|peer| Change::PeerRemoved(peer.config.name.clone())).collect();
    for peer in new {
        match counterpart(peer, old) {
            None => changes.push(Change::PeerAdded(peer.config.name.clone())),
            Some(before) => changes.extend(of_one(before, peer)),
        }
    }
    changes
}

fn of_one(old: &Peer, new: &Peer) -> Vec<Change> {
    let peer = || new.config.name.clone();
    let mut changes = Vec::new();
    if old.config.name != new.config.name {
        changes.push(Change::PeerRenamed { from: old.config.name.clone(), to: peer() });
    }
    let has = |config: &Peer, key: PeerId| config.config.keys().any(|k| k == key);
    let added = new.config.keys().filter(|key| !has(old, *key));
    changes.extend(added.map(|key| Change::KeyAdded { peer: peer(), key }));
    let removed = old.config.keys().filter(|key| !has(new, *key));
    changes.extend(removed.map(|key| Change::KeyRemoved { peer: peer(), key }));
    if old.config.id != new.config.id {
        changes.push(Change::FirstKey { peer: peer(), key: new.config.id });
    }
    if old.config.locators != new.config.locators {
        let to = new.config.locators.iter().map(ToString::to_string).collect();
        changes.push(Change::Locators { peer: peer(), to });
    }
    let beyond = |these: &Peer, those: &Peer| -> Vec<String> {
        let entries = these.acl.entries().iter().filter(|e| !those.acl.entries().contains(e));
        entries.map(ToString::to_string).collect()
    };
    let (added, removed) = (beyond(new, old), beyond(old, new));
    if !added.is_empty() || !removed.is_empty() {
        changes.push(Change::Allow { peer: peer(), added, removed });
    }
    changes
}
