//! A doubt that is soon withdrawn is forgiven: the flows that stepped aside come back.
//!
//! Where a machine is busy, or a radio link pauses, acknowledgements are late by some milliseconds
//! every now and then. A flow steps aside at once, since it may be a failure. But the lane that it
//! goes to is cold, and every such move costs a bulk flow some of its speed; one that came back has
//! as good as never left. A lane that wavers often is not well, though: there they stay away.

use std::time::{Duration, Instant};

/// A doubt that ends within this is brief. A failure is made good by other lanes in less; and events
/// tell only of doubts that last so long, so one that nobody hears of moves nothing either.
const BRIEF: Duration = Duration::from_millis(100);

/// So many doubts are forgiven ...
const PARDONS: usize = 3;

/// ... in so much time.
const WITHIN: Duration = Duration::from_secs(10);

/// The doubts in a lane, as far as they may be forgiven.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pardons {
    /// When the present doubt began.
    since: Option<Instant>,
    /// When doubts were forgiven.
    given: [Option<Instant>; PARDONS],
}

impl Pardons {
    /// The lane is in doubt, perhaps for long already.
    pub(super) fn doubted(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The lane has another path: how the doubt in the old one would have ended nobody knows.
    pub(super) fn moved(&mut self) {
        self.since = None;
    }

    /// It is no longer. Whether that is forgiven.
    pub(super) fn withdrawn(&mut self, now: Instant) -> bool {
        let Some(since) = self.since.take() else { return false };
        let Some(oldest) = self.given.iter_mut().min() else { return false };
        let spent = oldest.is_some_and(|at| now < at + WITHIN);
        if now >= since + BRIEF || spent {
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
    fn a_brief_doubt_is_forgiven_and_a_long_one_is_not() {
        let (t, mut pardons) = (Instant::now(), Pardons::default());
        assert!(!pardons.withdrawn(t), "there was none");
        pardons.doubted(t);
        pardons.doubted(t + 90 * MS);
        assert!(pardons.withdrawn(t + 99 * MS));
        pardons.doubted(t + 200 * MS);
        pardons.doubted(t + 290 * MS);
        assert!(!pardons.withdrawn(t + 300 * MS), "it began 100 ms ago");
    }

    #[test]
    fn a_doubt_that_a_move_ended_is_not_forgiven() {
        let (t, mut pardons) = (Instant::now(), Pardons::default());
        pardons.doubted(t);
        pardons.moved();
        assert!(!pardons.withdrawn(t + 10 * MS));
    }

    #[test]
    fn three_in_ten_seconds_are_forgiven() {
        let (t, mut pardons) = (Instant::now(), Pardons::default());
        let mut forgiven = |at| {
            pardons.doubted(t + at * MS);
            pardons.withdrawn(t + (at + 20) * MS)
        };
        let given = [0, 1_000, 2_000, 3_000, 9_999, 10_000, 10_500, 11_000].map(&mut forgiven);
        assert_eq!(given, [true, true, true, false, false, true, false, true]);
    }
}
