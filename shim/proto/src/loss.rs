//! Does a lane lose so much that bulk had better go elsewhere?
//!
//! Random loss is no failure: acknowledgements keep coming, if fewer, and a lane that loses a tenth
//! of its packets is in doubt only now and then. But no congestion controller gets far on it. So what
//! was lost is set against what was acknowledged, and a lane that lost much in two measurements on
//! end is *lossy* for a while. Two, because a single one may be slow start's overshoot, or what
//! was stranded by a move.

use std::time::{Duration, Instant};

/// A measurement takes so long at least ...
const LEAST_TIME: Duration = Duration::from_millis(250);

/// ... and so many bytes: some fifty packets, of which 5 % are three.
const LEAST_BYTES: u64 = 64 * 1024;

/// What does not come to so many bytes in this time is little more than a thin flow, and not judged.
/// (A loss of a tenth leaves 45 kB/s of a round trip of 120 ms.)
const MOST_TIME: Duration = Duration::from_secs(4);

/// From this share up a measurement is bad, in percent. A full queue costs a controller like ours
/// well under 1.
const BAD: u64 = 5;

/// So many bad measurements on end make a lane lossy.
const ON_END: u8 = 2;

/// A lane stays lossy for so long after the last of them: nothing is measured there meanwhile.
pub const HOLDS: Duration = Duration::from_secs(30);

/// ... and twice as long each time that it turns out to be lossy still: where both lanes lose, flows
/// would else go to and fro.
pub const MOST_HOLDS: Duration = Duration::from_secs(600);

/// What a lane has lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossMeter {
    /// The path: how often the lane has changed it.
    epoch: u64,
    /// When the present measurement began, and what had been acknowledged and lost then.
    from: Option<(Instant, u64, u64)>,
    bad: u8,
    until: Option<Instant>,
    /// For how long the lane was lossy the last time; forgotten once it was seen to be well.
    held: Option<Duration>,
}

impl LossMeter {
    /// At `now` so many bytes have been acknowledged and lost in the lane's life, and it has changed
    /// its path `epoch` times. The share that is lost, in percent, when the lane becomes lossy.
    pub fn look(&mut self, now: Instant, epoch: u64, acked: u64, lost: u64) -> Option<u64> {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        }
        let (began, acked_then, lost_then) = *self.from.get_or_insert((now, acked, lost));
        let (acked_since, lost_since) =
            (acked.saturating_sub(acked_then), lost.saturating_sub(lost_then));
        let (took, bytes) = (now.saturating_duration_since(began), acked_since + lost_since);
        if took < LEAST_TIME || bytes < LEAST_BYTES {
            if took >= MOST_TIME {
                (self.from, self.bad) = (Some((now, acked, lost)), 0);
            }
            return None;
        }
        self.from = Some((now, acked, lost));
        let share = lost_since * 100 / bytes;
        // Where nothing is acknowledged the lane is silent, which others judge.
        if share < BAD || acked_since == 0 {
            self.bad = 0;
            if acked_since > 0 {
                self.held = None;
            }
            return None;
        }
        self.bad = (self.bad + 1).min(ON_END);
        if self.bad < ON_END {
            return None;
        }
        let was = self.is_lossy(now);
        let holds = match self.held {
            Some(held) if was => held,
            Some(held) => (2 * held).min(MOST_HOLDS),
            None => HOLDS,
        };
        (self.held, self.until) = (Some(holds), Some(now + holds));
        (!was).then_some(share)
    }

    /// When the lane will no longer be lossy.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// Whether the lane is lossy.
    pub fn is_lossy(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Looks every 10 ms at a lane that is given `rate` bytes a millisecond and loses `share(ms)`
    /// percent of them; when it becomes lossy.
    fn lossy(rate: u64, share: impl Fn(u64) -> u64) -> Option<u64> {
        let (start, mut meter) = (Instant::now(), LossMeter::default());
        let (mut acked, mut lost) = (0, 0);
        (0..10_000).step_by(10).find(|ms| {
            let lose = 10 * rate * share(*ms) / 100;
            (acked, lost) = (acked + 10 * rate - lose, lost + lose);
            meter.look(start + *ms as u32 * MS, 0, acked, lost).is_some()
        })
    }

    #[test]
    fn a_lane_that_loses_a_tenth_is_lossy_soon() {
        assert_eq!(lossy(1000, |_| 10), Some(500));
        assert_eq!(lossy(45, |_| 10), Some(2920), "a slow one takes longer");
        assert_eq!(lossy(1000, |ms| if ms < 3000 { 0 } else { 10 }), Some(3500));
    }

    #[test]
    fn what_is_little_brief_thin_or_everything_makes_none() {
        assert_eq!(lossy(1000, |_| 2), None);
        assert_eq!(lossy(1000, |ms| if ms % 1000 < 250 { 50 } else { 0 }), None);
        assert_eq!(lossy(12, |_| 20), None);
        assert_eq!(lossy(1000, |_| 100), None);
    }

    #[test]
    fn a_lossy_lane_is_told_once_and_is_so_until_it_was_not_seen_to_be_for_long() {
        let (start, mut meter) = (Instant::now(), LossMeter::default());
        for step in 0..8 {
            let told = meter.look(start + step * 250 * MS, 0, 900_000, u64::from(step) * 200_000);
            assert_eq!(told, None, "nothing acknowledged");
        }
        let (mut told, start) = (0, start + 2000 * MS);
        for step in 0..8u32 {
            let sent = u64::from(step) * 200_000;
            let (acked, lost) = (900_000 + sent * 9 / 10, 1_400_000 + sent / 10);
            told += usize::from(meter.look(start + step * 250 * MS, 0, acked, lost) == Some(10));
        }
        assert_eq!(told, 1);
        let last = start + 7 * 250 * MS;
        assert!(meter.is_lossy(last + HOLDS - MS) && !meter.is_lossy(last + HOLDS));
        meter.look(last + MS, 1, 3_000_000, 2_000_000);
        assert!(!meter.is_lossy(last + MS), "another path");
    }

    #[test]
    fn a_lane_that_is_lossy_still_is_so_for_twice_as_long_until_it_is_seen_to_be_well() {
        let (start, mut meter) = (Instant::now(), LossMeter::default());
        let (mut now, mut acked, mut lost) = (start, 0, 0);
        let mut holds = |share: u64| {
            for _ in 0..3 {
                now += LEAST_TIME;
                (acked, lost) = (acked + 100_000, lost + 1000 * share);
                meter.look(now, 0, acked, lost);
            }
            let Some(until) = meter.until(now) else { return 0 };
            let holds = (until - now).as_secs();
            now = until;
            holds
        };
        assert_eq!([10, 10, 10].map(&mut holds), [30, 60, 120]);
        assert_eq!([10, 10, 10, 10].map(&mut holds), [240, 480, 600, 600]);
        assert_eq!([0, 10].map(&mut holds), [0, 30]);
    }
}
