//! Tells false alarms from failures: flows return to a lane whose suspicion was spurious (cf.
//! F-RTO, RFC 5682).
//!
//! Where a machine is busy, or a radio link pauses, acknowledgements are late by some milliseconds
//! every now and then. A flow leaves the lane at once, since it may be a failure. But the lane that
//! it goes to has a cold congestion window, and every such change costs a bulk flow some of its
//! speed; a flow that returns has as good as never left. A lane that is suspected often is not well,
//! though: flows stay away from it.

use std::time::{Duration, Instant};

/// A suspicion that ends within this is brief. Other lanes make a failure good in less; and events
/// report only suspicions that last so long, so a suspicion that nobody hears of moves nothing.
const BRIEF: Duration = Duration::from_millis(100);

/// How many suspicions of a lane count as spurious within [`WITHIN`].
const LIMIT: usize = 3;

/// The window of [`LIMIT`].
const WITHIN: Duration = Duration::from_secs(10);

/// The spurious suspicions of a lane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SpuriousFilter {
    /// When the last suspicions that were spurious ended.
    ended: [Option<Instant>; LIMIT],
}

impl SpuriousFilter {
    /// Returns whether a suspicion was spurious that was raised at `suspected_since` and ends at
    /// `now`.
    pub(super) fn is_spurious(&mut self, now: Instant, suspected_since: Instant) -> bool {
        let Some(oldest) = self.ended.iter_mut().min() else { return false };
        let exhausted = oldest.is_some_and(|at| now < at + WITHIN);
        if now >= suspected_since + BRIEF || exhausted {
            return false;
        }
        *oldest = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_brief_suspicion_was_spurious_and_a_long_one_was_not() {
        let (t, mut filter) = (Instant::now(), SpuriousFilter::default());
        assert!(filter.is_spurious(t + 99 * MS, t));
        assert!(!filter.is_spurious(t + 300 * MS, t + 200 * MS), "it was raised 100 ms ago");
    }

    #[test]
    fn three_suspicions_in_ten_seconds_are_spurious() {
        let (t, mut filter) = (Instant::now(), SpuriousFilter::default());
        let mut spurious = |at| filter.is_spurious(t + (at + 20) * MS, t + at * MS);
        let seen = [0, 1_000, 2_000, 3_000, 9_999, 10_000, 10_500, 11_000].map(&mut spurious);
        assert_eq!(seen, [true, true, true, false, false, true, false, true]);
    }
}
