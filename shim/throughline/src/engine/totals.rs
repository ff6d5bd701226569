//! What went over each uplink since the node's start, and what failed on it.
//!
//! Counted at the very places where it happens: events may be suppressed, and lanes are gone after they end.
//! The lock is a leaf.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::status::UplinkTotals;

/// Uplinks that are counted apart; discovered ones come and go under ever new names. What goes over others is
/// counted as that of no known uplink.
const MAX_UPLINKS: usize = 64;

/// The totals by uplink; `None` where it is not known. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals(Arc<Mutex<BTreeMap<Option<String>, UplinkTotals>>>);

/// What has gone over a lane, and was added to the totals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accounted {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) suspicions: u64,
}

impl Totals {
    /// Counts a lane that was set up.
    pub(crate) fn lane_up(&self, uplink: Option<&str>) {
        self.of(uplink, |totals| totals.lanes += 1);
    }

    /// Counts a lane that failed, or was migrated away because its path had.
    pub(crate) fn lane_failed(&self, uplink: Option<&str>) {
        self.of(uplink, |totals| totals.failed_lanes += 1);
    }

    /// Counts the flows of a session that go on after a failure of a lane.
    pub(crate) fn flows_survived(&self, uplink: Option<&str>, flows: usize) {
        self.of(uplink, |totals| totals.surviving_flows += flows as u64);
    }

    /// Adds what went over a lane since `before`, and makes that what has gone over it by `now`.
    pub(crate) fn account(&self, uplink: Option<&str>, before: &mut Accounted, now: Accounted) {
        let before = std::mem::replace(before, now);
        self.of(uplink, |totals| {
            totals.sent += now.sent.saturating_sub(before.sent);
            totals.received += now.received.saturating_sub(before.received);
            totals.lost += now.lost.saturating_sub(before.lost);
            totals.suspicions += now.suspicions.saturating_sub(before.suspicions);
        });
    }

    /// Returns the totals, those of no known uplink last.
    pub(crate) fn get(&self) -> Vec<UplinkTotals> {
        let mut all: Vec<UplinkTotals> = self.0.lock().values().cloned().collect();
        all.sort_by_key(|totals| totals.uplink.is_none());
        all
    }

    fn of(&self, uplink: Option<&str>, count: impl FnOnce(&mut UplinkTotals)) {
        let mut all = self.0.lock();
        let key = uplink.map(str::to_owned);
        let key = if all.contains_key(&key) || all.len() < MAX_UPLINKS { key } else { None };
        let none_yet = UplinkTotals { uplink: key.clone(), ..UplinkTotals::default() };
        count(all.entry(key).or_insert(none_yet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uplinks_beyond_the_bound_are_counted_as_unknown() {
        let totals = Totals::default();
        for n in 0..2 * MAX_UPLINKS {
            totals.lane_up(Some(&n.to_string()));
            totals.lane_failed(Some(&n.to_string()));
            totals.flows_survived(Some(&n.to_string()), 3);
        }
        let all = totals.get();
        assert_eq!(all.len(), MAX_UPLINKS + 1);
        let unknown = all.last().unwrap();
        assert_eq!((unknown.uplink.as_deref(), unknown.lanes), (None, MAX_UPLINKS as u64));
        assert_eq!(unknown.surviving_flows, 3 * MAX_UPLINKS as u64);
        assert!(
            all[..MAX_UPLINKS].iter().all(|totals| (totals.lanes, totals.failed_lanes) == (1, 1))
        );
    }
}
