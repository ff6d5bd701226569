//! The places of connections that are being set up: unknown peers' [`Slots`], and so many of each peer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::slots::{Slots, Verdict};
use throughline_proto::path::Prefix;
use throughline_proto::types::PeerId;

/// Connections of one peer between TLS and its lane at once: as many as it may have lanes.
const MAX_SETUPS_OF_PEER: usize = 32;

/// Connections of one peer that are not to become lanes and may stay silent for a while: four silences on four
/// paths at once. They take no place of those that are being set up.
const MAX_SILENT_OF_PEER: usize = 16;

/// The places at one listening address. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    slots: Slots,
    /// Dropping one tells the set-up of that number that it is displaced.
    displacing: HashMap<u64, oneshot::Sender<()>>,
    of_peers: HashMap<(PeerId, Phase), usize>,
}

/// What a connection of a peer is waiting for that is no lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    SettingUp,
    Silent,
}

impl Phase {
    const fn most(self) -> usize {
        match self {
            Self::SettingUp => MAX_SETUPS_OF_PEER,
            Self::Silent => MAX_SILENT_OF_PEER,
        }
    }
}

/// What is to be done with a newcomer.
pub(super) enum Admission {
    Accept(Place),
    Retry,
    Drop,
}

/// An unknown peer's place; dropping it frees the slot.
pub(super) struct Place {
    places: Places,
    number: u64,
    prefix: Prefix,
    displaced: oneshot::Receiver<()>,
}

/// A place of a peer that has no lane yet; dropping it frees it.
pub(super) struct PeerPlace {
    places: Places,
    peer: PeerId,
    phase: Phase,
}

impl Places {
    /// Judges a newcomer.
    pub(super) fn admit(&self, prefix: Prefix, validated: bool) -> Admission {
        let mut inner = self.0.lock();
        let (number, displaced) = match inner.slots.admit(Instant::now(), prefix, validated) {
            Verdict::Accept { number, displaced } => (number, displaced),
            Verdict::Retry => return Admission::Retry,
            Verdict::Drop => return Admission::Drop,
        };
        displaced.map(|displaced| inner.displacing.remove(&displaced));
        let (sender, displaced) = oneshot::channel();
        inner.displacing.insert(number, sender);
        drop(inner);
        Admission::Accept(Place { places: self.clone(), number, prefix, displaced })
    }
}

impl Place {
    /// Completes when a newcomer takes the slot. Cancel-safe.
    pub(super) async fn displaced(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.displaced).await;
    }

    /// Exchanges an unknown peer's place for a peer's, as it has shown its key; `None` where that peer has
    /// too many already.
    pub(super) fn let_in(self, peer: PeerId) -> Option<PeerPlace> {
        let mut inner = self.places.0.lock();
        inner.slots.let_in(Instant::now(), self.prefix);
        drop(inner);
        PeerPlace::take(&self.places, peer, Phase::SettingUp)
    }
}

impl PeerPlace {
    fn take(places: &Places, peer: PeerId, phase: Phase) -> Option<Self> {
        let mut inner = places.0.lock();
        let count = inner.of_peers.entry((peer, phase)).or_default();
        if *count >= phase.most() {
            return None;
        }
        *count += 1;
        drop(inner);
        Some(Self { places: places.clone(), peer, phase })
    }

    /// Exchanges the place for one of a connection that may stay silent, where it is one and the peer has not too many of
    /// them; else the place stays as it is.
    pub(super) fn fall_silent_if(self, is_one: bool) -> Result<Self, Self> {
        let idle = is_one.then(|| Self::take(&self.places, self.peer, Phase::Silent));
        idle.flatten().ok_or(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.places.0.lock();
        inner.slots.release(self.number);
        inner.displacing.remove(&self.number);
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let (mut inner, key) = (self.places.0.lock(), (self.peer, self.phase));
        if let Some(count) = inner.of_peers.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                inner.of_peers.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(places: &Places) -> Place {
        let prefix = Prefix::of("203.0.113.1:0".parse().unwrap());
        match places.admit(prefix, true) {
            Admission::Accept(place) => place,
            _ => panic!("no place"),
        }
    }

    #[tokio::test]
    async fn a_displaced_set_up_is_told_and_a_peer_has_so_many_places() {
        let places = Places::default();
        let mut held: Vec<_> = (0..64).map(|_| place(&places)).collect();
        // The rate of one prefix lets another one in after a moment.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        held.push(place(&places));
        held[0].displaced().await;
        let peer = PeerId::from_bytes([1; 32]);
        let mut of_peer: Vec<_> =
            held.drain(1..=MAX_SETUPS_OF_PEER).map(|place| place.let_in(peer)).collect();
        assert!(of_peer.iter().all(Option::is_some));
        assert!(held.pop().unwrap().let_in(peer).is_none());
        let mut idle: Vec<_> = Vec::new();
        for _ in 0..MAX_SILENT_OF_PEER {
            idle.push(of_peer.pop().unwrap().unwrap().fall_silent_if(true).ok().unwrap());
        }
        assert!(of_peer.pop().unwrap().unwrap().fall_silent_if(true).is_err());
        assert!(of_peer.pop().unwrap().unwrap().fall_silent_if(false).is_err());
        assert!(held.pop().unwrap().let_in(peer).is_some());
        drop((held, of_peer, idle));
        let inner = places.0.lock();
        assert!(inner.displacing.is_empty() && inner.of_peers.is_empty());
    }
}
