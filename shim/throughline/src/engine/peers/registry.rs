//! Which configured peer is which known one, when peers are configured anew: a pure comparison.
//!
//! Within a node a peer is known by a number of its own ([`PeerId`]) that stays as long as the peer does:
//! its first key, as a rule. A peer *stays* where the new configuration has one with a key of the old one's
//! list; its name, its other keys and its locators may all be others.

use std::collections::HashSet;

use crate::config::PeerConfig;
use throughline_proto::types::PeerId;

/// A peer as it is known, and as it was configured.
pub(super) type Known<'a> = (PeerId, &'a PeerConfig);

/// Returns by which number each of the `new` peers is known from now on: that of the `old` one that it
/// continues, or one that nobody has.
pub(super) fn numbers(
    old: &[Known<'_>],
    new: &[PeerConfig],
    mint: impl Fn() -> PeerId,
) -> Vec<PeerId> {
    let mut taken: HashSet<PeerId> = old.iter().map(|(number, _)| *number).collect();
    let mut continued = HashSet::new();
    let mut number = |config: &PeerConfig| {
        let continues = |(number, old): &&Known<'_>| {
            !continued.contains(number) && old.keys().any(|key| config.keys().any(|k| k == key))
        };
        if let Some((number, _)) = old.iter().find(continues) {
            continued.insert(*number);
            return *number;
        }
        // A key that another peer had, and is still known by, is no number for this one.
        let number = if taken.contains(&config.id) { mint() } else { config.id };
        taken.insert(number);
        number
    };
    new.iter().map(&mut number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PeerId {
        PeerId::from_bytes([byte; 32])
    }

    fn peer(keys: &[u8]) -> PeerConfig {
        let others = keys[1..].iter().map(|byte| key(*byte));
        others.fold(PeerConfig::new(key(keys[0]), "p"), PeerConfig::other_key)
    }

    #[test]
    fn a_peer_keeps_its_number_as_long_as_any_of_its_keys_stays() {
        let mint = || key(200);
        for (old, new, expected) in [
            (&[(1, &[1][..])][..], &[&[1][..]][..], &[1][..]),
            // A key is added, made the first, and the old one removed.
            (&[(1, &[1])], &[&[1, 2]], &[1]),
            (&[(1, &[1, 2])], &[&[2, 1]], &[1]),
            (&[(1, &[1, 2])], &[&[2]], &[1]),
            // The next change of the same peer; its first key is somebody else's now.
            (&[(1, &[2])], &[&[2, 3], &[1]], &[1, 200]),
            // Another key altogether is another peer.
            (&[(1, &[1])], &[&[2]], &[2]),
            // Two peers that change places stay who they are.
            (&[(1, &[1]), (2, &[2])], &[&[2], &[1]], &[2, 1]),
            // One peer cannot become two.
            (&[(1, &[1, 2])], &[&[1], &[2]], &[1, 2]),
        ] {
            let configs: Vec<_> = old.iter().map(|(_, keys)| peer(keys)).collect();
            let known = old.iter().zip(&configs).map(|((number, _), c)| (key(*number), c));
            let new: Vec<_> = new.iter().map(|keys| peer(keys)).collect();
            let got = numbers(&known.collect::<Vec<_>>(), &new, mint);
            let expected: Vec<_> = expected.iter().map(|byte| key(*byte)).collect();
            assert_eq!(got, expected, "{old:?}");
        }
    }
}
