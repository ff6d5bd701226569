//! The longest gap and the sums of a day, by quarters of an hour: whoever looks knows where his day begins, which no
//! time zone is further from than that.

use std::collections::VecDeque;

use serde::Serialize;

use super::time::Millis;

const QUARTER: Millis = 15 * 60_000;

/// Quarters of an hour that are kept: a day, and the one that has begun.
const MAX_QUARTERS: usize = 97;

/// The longest time in which nothing could move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Worst {
    /// How long it was.
    pub(super) gap: Millis,
    /// When it was over.
    pub(super) at: Millis,
    pub(super) uplink: String,
    pub(super) peer: String,
}

/// A quarter of an hour in which something failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Quarter {
    /// When it began.
    pub(super) from: Millis,
    pub(super) worst: Option<Worst>,
    pub(super) failures: u64,
    pub(super) survivors: u64,
}

/// Those of a day in which something failed, the oldest first.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Quarters(VecDeque<Quarter>);

impl Quarters {
    pub(super) fn add_failures(&mut self, at: Millis, count: u64) {
        self.at(at).failures += count;
    }

    pub(super) fn add_survivors(&mut self, at: Millis, count: u64) {
        self.at(at).survivors += count;
    }

    pub(super) fn add_gap(&mut self, at: Millis, worst: Worst) {
        let quarter = self.at(at);
        if quarter.worst.as_ref().is_none_or(|known| known.gap < worst.gap) {
            quarter.worst = Some(worst);
        }
    }

    /// Returns the quarter of that time. A clock that was set back goes on with the last one.
    fn at(&mut self, at: Millis) -> &mut Quarter {
        let from = at / QUARTER * QUARTER;
        let day = from.saturating_sub((MAX_QUARTERS as Millis - 1) * QUARTER);
        self.0.retain(|quarter| quarter.from >= day);
        if self.0.back().is_none_or(|last| last.from < from) {
            self.0.push_back(Quarter { from, ..Quarter::default() });
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}
