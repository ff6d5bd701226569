//! What all parts of a soak know.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

/// A flow that carries nothing for so long stands still: the longest trouble takes 40 s of one ISP and
/// 15 s of both, and daemons that were stopped come back with everything at once.
pub(super) const STILL: Duration = Duration::from_secs(60);

/// Most faults that are kept: the first ones say what is wrong.
const MAX_FAULTS: usize = 50;

/// How a soak is run.
#[derive(Clone, Debug)]
pub struct Soak {
    /// For how long there is trouble, in all.
    pub time: Duration,
    /// The time between two rests.
    pub rest_every: Duration,
    /// How long the daemons have to come to rest: what failed is dialed again, and idle segments end.
    pub settle: Duration,
    /// The rate of either ISP in bit/s: two flows of bulk fill it all the time.
    pub rate: u64,
    /// Decides when what fails, and what applications do.
    pub seed: u64,
    /// Connections that live as long as the soak, and are used now and then.
    pub lasting: usize,
    /// Connections that come and go, at a time.
    pub passing: usize,
}

/// What applications did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Bytes that arrived, each compared.
    pub bytes: u64,
    /// Connections that did what they were made for.
    pub connections: u64,
    /// Connections that the application gave up in the middle.
    pub given_up: u64,
    /// Messages that came back.
    pub messages: u64,
    /// Failures.
    pub troubles: u64,
    /// The longest time that a message took.
    pub worst: Duration,
}

/// What all parts of a soak share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) counts: Mutex<Counts>,
    pub(super) faults: Mutex<Vec<String>>,
    /// How many bytes of an upload have come, by its seed.
    arrived: Mutex<HashMap<u64, u64>>,
}

impl Shared {
    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock());
    }

    pub(super) fn arrive(&self, seed: u64, bytes: u64) {
        self.arrived.lock().insert(seed, bytes);
    }

    pub(super) fn arrived(&self, seed: u64) -> u64 {
        self.arrived.lock().get(&seed).copied().unwrap_or_default()
    }

    /// Forgets an upload that is over.
    pub(super) fn forget(&self, seed: u64) {
        self.arrived.lock().remove(&seed);
    }

    pub(super) fn fault(&self, what: String) {
        let mut faults = self.faults.lock();
        if faults.len() < MAX_FAULTS {
            faults.push(what);
        }
    }
}

/// What there is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Trouble,
    Rest,
}
