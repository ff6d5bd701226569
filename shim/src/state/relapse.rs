//! A lane whose doubts follow one another closely is not well in between.
//!
//! A path that swallows what is large in one direction looks like that from the other end: what we
//! send is acknowledged, but late, since most acknowledgements travel in large packets; the peer's
//! word that it is not heard is lost in the same way. Each doubt ends, and a fresh dial that was to
//! replace the lane would be given up again and again. So such a lane stays in question for a while,
//! and gives way to a fresh one.

use std::time::{Duration, Instant};

/// A doubt that begins so soon after the last is a relapse.
const CLOSELY: Duration = Duration::from_millis(100);

/// A lane that was well for so long is well.
const WELL_AFTER: Duration = Duration::from_millis(500);

/// The doubts in a lane, as far as they follow one another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relapses {
    began: Option<Instant>,
    /// When the last doubt ended that lasted for a retransmission timeout. A briefer one is a
    /// machine's: of the host or of the peer, which had no time for us.
    ended: Option<Instant>,
    since: Option<Instant>,
}

impl Relapses {
    /// A doubt begins at `now`.
    pub fn begins(&mut self, now: Instant) {
        self.since = match self.ended {
            Some(ended) if now < ended + CLOSELY => self.since.or(Some(now)),
            _ => None,
        };
        self.began = Some(now);
    }

    /// It ends at `now`, on a lane with this retransmission timeout.
    pub fn ends(&mut self, now: Instant, rto: Duration) {
        if self.began.take().is_some_and(|began| now >= began + rto) {
            self.ended = Some(now);
        }
    }

    /// Since when the lane is in question, although it may answer at the moment.
    pub fn in_question(&self, now: Instant) -> Option<Instant> {
        let lately = || self.ended.is_some_and(|ended| now < ended + WELL_AFTER);
        self.since.filter(|_| self.began.is_some() || lately())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RTO: Duration = Duration::from_millis(35);

    /// In question at `at` after doubts that began and ended at these times.
    fn after(doubts: &[(u32, u32)], at: u32) -> Option<u32> {
        let (start, mut relapses) = (Instant::now(), Relapses::default());
        for (began, ended) in doubts {
            relapses.begins(start + *began * MS);
            relapses.ends(start + *ended * MS, RTO);
        }
        let since = relapses.in_question(start + at * MS)?;
        Some((since - start).as_millis() as u32)
    }

    #[test]
    fn a_lane_that_relapses_is_in_question_until_it_was_well_for_long() {
        assert_eq!(after(&[(0, 80)], 81), None);
        assert_eq!(after(&[(0, 80), (110, 190)], 200), Some(110));
        assert_eq!(after(&[(0, 80), (110, 190), (220, 300)], 799), Some(110));
        assert_eq!(after(&[(0, 80), (110, 190), (220, 300)], 800), None);
    }

    #[test]
    fn a_doubt_that_lasts_is_a_relapse_already() {
        let (start, mut relapses) = (Instant::now(), Relapses::default());
        relapses.begins(start);
        relapses.ends(start + 80 * MS, RTO);
        relapses.begins(start + 120 * MS);
        assert_eq!(relapses.in_question(start + 5000 * MS), Some(start + 120 * MS));
    }

    #[test]
    fn doubts_that_are_brief_or_far_apart_are_none() {
        assert_eq!(after(&[(0, 20), (40, 60), (80, 100)], 101), None);
        assert_eq!(after(&[(0, 80), (180, 260), (360, 440)], 441), None);
    }
}
