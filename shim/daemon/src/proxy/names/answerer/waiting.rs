//! Who waits for an answer: so many at once, of whom one client is a part.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Queries that wait for the system's resolver; and connections: in all, and of a client, so that one that asks
/// without end leaves others their part. Beyond it a query fails at once, and a connection is closed; and so it is where
/// there is no descriptor for it.
const MAX_WAITING: usize = 256;
const MAX_OF_CLIENT: usize = 64;

/// Counts who waits, by client. The lock is a leaf.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place among those who wait; dropping it leaves.
#[derive(Debug)]
pub(super) struct Place(Waiting, IpAddr);

impl Waiting {
    /// Returns a place for a client; none where it has its part, or all are taken.
    pub(super) fn enter(&self, client: IpAddr) -> Option<Place> {
        let mut by_client = self.0.lock();
        let of_client = by_client.get(&client).copied().unwrap_or(0);
        if of_client >= MAX_OF_CLIENT || by_client.values().sum::<usize>() >= MAX_WAITING {
            return None;
        }
        by_client.insert(client, of_client + 1);
        Some(Place(self.clone(), client))
    }
}

#[cfg(test)]
impl Waiting {
    /// Returns whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_client = self.0.0.lock();
        match by_client.get_mut(&self.1) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(by_client.remove(&self.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_part_of_those_who_wait_and_all_together_have_a_bound() {
        let waiting = Waiting::default();
        let client = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut places = Vec::new();
        for last in 1..=5 {
            places.extend((0..=MAX_OF_CLIENT).filter_map(|_| waiting.enter(client(last))));
        }
        assert_eq!(places.len(), MAX_WAITING);
        let of_first = places.iter().filter(|place| place.1 == client(1)).count();
        assert_eq!(of_first, MAX_OF_CLIENT);
        places.pop();
        assert!(waiting.enter(client(1)).is_none());
        assert!(waiting.enter(client(5)).is_some());
        places.clear();
        assert!(waiting.0.lock().is_empty());
    }
}
