//! What happened within a day, as the status page shows it: pure, and of a size that nobody else decides.
//!
//! ```text
//! totals of the uplinks, every 5 s ─▸ series: an hour in steps of 5 s, a day in minutes
//! events of the node ───────────────▸ outages: what failed, from when to when; the last 256
//!                                 └─▸ today: the longest gap and the sums, by quarters of an hour, for a day
//! ```
//!
//! Times are milliseconds of the wall clock, and are given. A peer can make none of it grow: there are so many steps,
//! at most [`MAX_UPLINKS`] uplinks, so many outages, and texts are cut off.

mod outages;
mod series;
mod time;
mod today;

use serde::Serialize;

pub(super) use self::outages::{Happened, LaneNow, Occurrence};
use self::outages::{Outage, Outages};
use self::series::Series;
pub(super) use self::series::{MAX_UPLINKS, Reading, SLOT, SlotRow, UplinkReading};
pub(super) use self::time::Millis;
use self::today::{Quarters, Worst};

/// The last day.
#[derive(Debug)]
pub(super) struct History {
    series: Series,
    outages: Outages,
    quarters: Quarters,
    /// When it began.
    since: Millis,
}

/// The failures of the last day, for the page.
#[derive(Debug, Serialize)]
pub(super) struct Failures<'a> {
    outages: Vec<&'a Outage>,
    quarters: &'a Quarters,
    since: Millis,
}

impl History {
    /// Begins.
    pub(super) fn new(now: Millis) -> Self {
        Self {
            series: Series::default(),
            outages: Outages::default(),
            quarters: Quarters::default(),
            since: now,
        }
    }

    /// Takes an event into account.
    pub(super) fn handle(&mut self, occurrence: &Occurrence<'_>) {
        let seen = self.outages.handle(occurrence);
        let at = occurrence.at;
        if seen.failures > 0 {
            self.quarters.add_failures(at, seen.failures);
        }
        if let Some(gap) = seen.gap {
            let what = occurrence.uplink.unwrap_or_default();
            let (uplink, peer) = (what.to_owned(), occurrence.peer.unwrap_or_default().to_owned());
            self.quarters.add_gap(at, Worst { gap, at, uplink, peer });
        }
    }

    /// Goes on with the lanes that there are, where events are not known: they came before, or were missed.
    pub(super) fn resync(&mut self, at: Millis, lanes: &[LaneNow<'_>]) {
        self.outages.resync(at, lanes);
    }

    /// Takes a reading of the totals into account; one that comes too early is not. Returns whether the failures are
    /// shown otherwise now.
    pub(super) fn read(&mut self, reading: &Reading) -> bool {
        let survivors = self.series.read(reading);
        for (uplink, flows) in &survivors {
            self.outages.add_survivors(uplink, *flows);
            self.quarters.add_survivors(reading.at, *flows);
        }
        !survivors.is_empty()
    }

    /// Returns whether a reading is due.
    pub(super) fn wants_reading(&self, now: Millis) -> bool {
        self.series.wants_reading(now)
    }

    /// Returns the rates and delays.
    pub(super) fn series(&self) -> &Series {
        &self.series
    }

    /// Returns the failures.
    pub(super) fn failures(&self) -> Failures<'_> {
        let outages = self.outages.all().collect();
        Failures { outages, quarters: &self.quarters, since: self.since }
    }
}

#[cfg(test)]
mod tests;
