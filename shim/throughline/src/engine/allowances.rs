//! How much of each uplink may be used, whatever it could carry: what an operator has paid for, for example.
//!
//! An uplink of which *nothing* may be used is left like a drained one, make before break; but a drained uplink is
//! better than none, and this one is not: no path leads over it, what peers dial over it is not answered, and lanes
//! that are left on it are closed after [`GRACE`] whatever becomes of their flows. One that is *for thin flows* is a
//! cold standby, and the cost of its lanes tells both ends that bulk has to wait.
//!
//! The lock is a leaf. A change is made first, and then the lanes are looked at, session by session under its lock; a
//! new lane looks here under that lock too. So none slips through.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// How long lanes over an uplink that may not be used have until they are closed. Thin flows leave at once, and bulk
/// within a second; the peer has to hear of it, and what it has sent must arrive.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// Why they are closed.
pub(crate) const USED_UP: &str = "nothing more may be sent over the uplink";

/// How much of an uplink may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allowance {
    /// All that it carries.
    #[default]
    Everything,
    /// What thin flows send, where no other uplink answers: bulk flows wait rather than use it.
    ThinFlows,
    /// Nothing: no lane goes over it, and none is dialed or accepted, even where no other uplink answers.
    Nothing,
}

/// What became of an uplink's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetReport {
    /// Most of it is spent.
    Low {
        /// The bytes that were used.
        used: u64,
        /// All bytes of the budget.
        budget: u64,
        /// When it is renewed, in words.
        resets: String,
    },
    /// It is spent.
    Spent {
        /// The bytes that were used.
        used: u64,
        /// All bytes of the budget.
        budget: u64,
        /// What may be used from now on.
        allowance: Allowance,
        /// When it is renewed, in words.
        resets: String,
    },
    /// It begins anew, or was raised.
    Renewed {
        /// All bytes of the budget.
        budget: u64,
    },
}

/// The allowances of the uplinks, by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowances {
    /// Those that are not everything.
    limited: Arc<Mutex<BTreeMap<String, Allowance>>>,
    changes: Arc<AtomicU64>,
}

impl Allowances {
    /// Returns how much of the uplink may be used.
    pub(crate) fn of(&self, uplink: &str) -> Allowance {
        self.limited.lock().get(uplink).copied().unwrap_or_default()
    }

    /// Returns whether the uplink may not be used at all.
    pub(crate) fn forbids(&self, uplink: &str) -> bool {
        self.of(uplink) == Allowance::Nothing
    }

    /// Sets how much of the uplink may be used; returns whether that is a change.
    pub(crate) fn set(&self, uplink: &str, allowance: Allowance) -> bool {
        let before = match allowance {
            Allowance::Everything => self.limited.lock().remove(uplink),
            _ => self.limited.lock().insert(uplink.to_owned(), allowance),
        };
        let is_change = before.unwrap_or_default() != allowance;
        if is_change {
            self.changes.fetch_add(1, Ordering::Release);
        }
        is_change
    }

    /// Returns how often they have changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_counts_as_one() {
        let allowances = Allowances::default();
        let steps = [
            (Allowance::Everything, false),
            (Allowance::ThinFlows, true),
            (Allowance::ThinFlows, false),
            (Allowance::Nothing, true),
            (Allowance::Everything, true),
        ];
        for (allowance, is_change) in steps {
            assert_eq!(allowances.set("lte", allowance), is_change, "{allowance:?}");
            assert_eq!(allowances.of("lte"), allowance);
            assert_eq!(allowances.forbids("lte"), allowance == Allowance::Nothing);
        }
        assert_eq!((allowances.changes(), allowances.of("other")), (3, Allowance::Everything));
    }
}
