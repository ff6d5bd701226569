//! Measures whether a lane loses so much that bulk had better go elsewhere.
//!
//! Random loss is no failure: acknowledgements keep coming, if fewer, and a lane that loses a tenth
//! of its packets is suspect only now and then. But no congestion controller gets far on it. So lost
//! bytes are compared with acknowledged ones, and a lane that lost much in three measurements on
//! end is *lossy* for a while. Three, because slow start's overshoot, or the bytes that a migration left on the
//! old path, may show in two. What is lost while a queue stands says nothing of the path: a
//! radio link whose rate fell drops what was sent for the rate before. But that passes within some round
//! trips, as the window shrinks; where the loss goes on, the path has grown longer and no queue stands, or
//! the queue is somebody else's, and bulk had better go elsewhere as well.

use std::time::{Duration, Instant};

use super::observation::SensorSnapshot;
use super::rules::{Rule, Rules};

/// The least time of a measurement.
const MIN_TIME: Duration = Duration::from_millis(250);

/// The least bytes of a measurement: some fifty packets, of which 5 % are three.
const MIN_BYTES: u64 = 64 * 1024;

/// A lane that does not send [`MIN_BYTES`] in this time carries little more than a thin flow, and is
/// not measured. (A loss of a tenth leaves 45 kB/s of a round trip of 120 ms.)
const MAX_TIME: Duration = Duration::from_secs(4);

/// The share of lost bytes from which a measurement is bad, in percent. A full queue costs a
/// controller like ours well under 1.
const BAD_PERCENT: u64 = 5;

/// A queue of this time, several times what a lane's own window leaves there, is what loses. It also has to be
/// this part of the round trip without it.
const MIN_QUEUE: Duration = Duration::from_millis(40);
const MIN_QUEUE_DIVISOR: u32 = 2;

/// For how long a queue excuses what is lost: so many round trips, in which a window shrinks to a fraction, and
/// no less than this.
const EXCUSED_ROUND_TRIPS: u32 = 4;
const MIN_EXCUSED: Duration = Duration::from_millis(500);

/// How many bad measurements on end make a lane lossy.
const BAD_ON_END: u8 = 3;

/// How long a lane stays lossy after the last bad measurement: nothing is measured there meanwhile.
pub(super) const LOSSY_FOR: Duration = Duration::from_secs(30);

/// The most that [`LOSSY_FOR`] doubles to, each time that the lane turns out to be lossy still: where
/// both lanes lose, flows would else go to and fro.
const MAX_LOSSY_FOR: Duration = Duration::from_secs(600);

/// The losses of a lane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossMeter {
    rules: Rules,
    /// How often the lane has migrated: a new path is measured anew.
    epoch: u64,
    /// When the present measurement began, and what had been acknowledged and lost then.
    from: Option<(Instant, u64, u64)>,
    bad: u8,
    /// A queue stood during the present measurement.
    queued: bool,
    /// Since when each measurement has been bad, and in a queue.
    queued_since: Option<Instant>,
    until: Option<Instant>,
    /// For how long the lane was lossy the last time; `None` once it was measured to be well.
    lossy_for: Option<Duration>,
}

impl LossMeter {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Returns the share that is lost, in percent, when the lane becomes lossy.
    pub(super) fn measure(&mut self, now: Instant, seen: &SensorSnapshot) -> Option<u64> {
        let (acked, lost) = (seen.acked_bytes, seen.lost_bytes);
        if self.epoch != seen.epoch {
            *self = Self { epoch: seen.epoch, ..Self::new(self.rules) };
        }
        let queue = seen.srtt.saturating_sub(seen.min_rtt);
        self.queued |= queue >= MIN_QUEUE && queue >= seen.min_rtt / MIN_QUEUE_DIVISOR;
        let (began, acked_then, lost_then) = *self.from.get_or_insert((now, acked, lost));
        let (acked_since, lost_since) =
            (acked.saturating_sub(acked_then), lost.saturating_sub(lost_then));
        let (elapsed, bytes) = (now.saturating_duration_since(began), acked_since + lost_since);
        if elapsed < MIN_TIME || bytes < MIN_BYTES {
            if elapsed >= MAX_TIME {
                (self.from, self.bad) = (Some((now, acked, lost)), 0);
                (self.queued, self.queued_since) = (false, None);
            }
            return None;
        }
        self.from = Some((now, acked, lost));
        let queued = std::mem::take(&mut self.queued);
        let percent = lost_since * 100 / bytes;
        // A lane on which nothing is acknowledged is silent, which is the detector's business.
        let is_bad = percent >= BAD_PERCENT && acked_since > 0;
        self.queued_since = match is_bad && queued {
            true => self.queued_since.or(Some(began)),
            false => None,
        };
        let excuse = MIN_EXCUSED.max(EXCUSED_ROUND_TRIPS * seen.srtt);
        let is_excused = self.queued_since.is_some_and(|since| now < since + excuse);
        if !is_bad || is_excused {
            self.bad = 0;
            if acked_since > 0 && !queued {
                self.lossy_for = None;
            }
            return None;
        }
        self.bad = (self.bad + 1).min(BAD_ON_END);
        if self.bad < BAD_ON_END || !self.rules.apply(Rule::LossIsMeasured) {
            return None;
        }
        let was_lossy = self.is_lossy(now);
        let lossy_for = match self.lossy_for {
            Some(before) if was_lossy => before,
            Some(before) => (2 * before).min(MAX_LOSSY_FOR),
            None => LOSSY_FOR,
        };
        (self.lossy_for, self.until) = (Some(lossy_for), Some(now + lossy_for));
        (!was_lossy).then_some(percent)
    }

    /// Returns until when the lane is lossy, if it is.
    pub(super) fn lossy_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// Returns whether the lane is lossy.
    pub(super) fn is_lossy(&self, now: Instant) -> bool {
        self.lossy_until(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What the sensor of a lane with a round trip of 20 ms has seen, of which so many ms are queue.
    fn seen(epoch: u64, acked_bytes: u64, lost_bytes: u64, queue: u32) -> SensorSnapshot {
        let (min_rtt, srtt) = (20 * MS, (20 + queue) * MS);
        SensorSnapshot {
            epoch,
            acked_bytes,
            lost_bytes,
            min_rtt,
            srtt,
            ..SensorSnapshot::default()
        }
    }

    /// Returns when a lane becomes lossy that is measured every 10 ms, is given `rate` bytes a millisecond and loses
    /// `share(ms)` percent of them.
    fn lossy(rate: u64, share: impl Fn(u64) -> u64) -> Option<u64> {
        lossy_with_queue(0, rate, share)
    }

    /// The same where the round trip is so many ms longer than the path alone would make it.
    fn lossy_with_queue(queue: u32, rate: u64, share: impl Fn(u64) -> u64) -> Option<u64> {
        let (start, mut meter) = (Instant::now(), LossMeter::default());
        let (mut acked, mut lost) = (0, 0);
        (0..10_000).step_by(10).find(|ms| {
            let lose = 10 * rate * share(*ms) / 100;
            (acked, lost) = (acked + 10 * rate - lose, lost + lose);
            meter.measure(start + *ms as u32 * MS, &seen(0, acked, lost, queue)).is_some()
        })
    }

    #[test]
    fn a_lane_that_loses_a_tenth_is_lossy_soon() {
        assert_eq!(lossy(1000, |_| 10), Some(750));
        assert_eq!(lossy(45, |_| 10), Some(4380), "a slow one takes longer");
        assert_eq!(lossy(1000, |ms| if ms < 3000 { 0 } else { 10 }), Some(3750));
    }

    #[test]
    fn little_brief_thin_or_total_loss_makes_no_lane_lossy() {
        assert_eq!(lossy(1000, |_| 2), None);
        assert_eq!(lossy(1000, |ms| if ms % 1000 < 250 { 50 } else { 0 }), None);
        assert_eq!(lossy(12, |_| 20), None);
        assert_eq!(lossy(1000, |_| 100), None);
    }

    #[test]
    fn what_a_queue_drops_while_the_window_shrinks_makes_no_lane_lossy() {
        assert_eq!(lossy_with_queue(400, 1000, |ms| if ms % 2500 < 1500 { 50 } else { 0 }), None);
        assert_eq!(lossy_with_queue(60, 1000, |ms| if ms % 1000 < 500 { 10 } else { 0 }), None);
        assert_eq!(lossy_with_queue(30, 1000, |_| 10), Some(750), "that is jitter");
    }

    #[test]
    fn a_lane_that_goes_on_losing_is_lossy_however_long_its_path_became() {
        assert_eq!(lossy_with_queue(100, 1000, |_| 10), Some(1000));
        assert_eq!(lossy_with_queue(480, 1000, |_| 10), Some(2500), "four round trips");
    }

    #[test]
    fn a_lossy_lane_is_reported_once_and_is_so_until_it_was_not_measured_to_be_for_long() {
        let (start, mut meter) = (Instant::now(), LossMeter::default());
        for step in 0..8 {
            let report = meter
                .measure(start + step * 250 * MS, &seen(0, 900_000, u64::from(step) * 200_000, 0));
            assert_eq!(report, None, "nothing acknowledged");
        }
        let (mut reports, start) = (0, start + 2000 * MS);
        for step in 0..8u32 {
            let sent = u64::from(step) * 200_000;
            let (acked, lost) = (900_000 + sent * 9 / 10, 1_400_000 + sent / 10);
            reports += usize::from(
                meter.measure(start + step * 250 * MS, &seen(0, acked, lost, 0)) == Some(10),
            );
        }
        assert_eq!(reports, 1);
        let last = start + 7 * 250 * MS;
        assert!(meter.is_lossy(last + LOSSY_FOR - MS) && !meter.is_lossy(last + LOSSY_FOR));
        meter.measure(last + MS, &seen(1, 3_000_000, 2_000_000, 0));
        assert!(!meter.is_lossy(last + MS), "another path");
    }

    #[test]
    fn a_lane_that_is_still_lossy_is_so_for_twice_as_long_until_it_is_measured_to_be_well() {
        let (start, mut meter) = (Instant::now(), LossMeter::default());
        let (mut now, mut acked, mut lost) = (start, 0, 0);
        let mut holds = |share: u64| {
            for _ in 0..=BAD_ON_END {
                now += MIN_TIME;
                (acked, lost) = (acked + 100_000, lost + 1000 * share);
                meter.measure(now, &seen(0, acked, lost, 0));
            }
            let Some(until) = meter.lossy_until(now) else { return 0 };
            let holds = (until - now).as_secs();
            now = until;
            holds
        };
        assert_eq!([10, 10, 10].map(&mut holds), [30, 60, 120]);
        assert_eq!([10, 10, 10, 10].map(&mut holds), [240, 480, 600, 600]);
        assert_eq!([0, 10].map(&mut holds), [0, 30]);
    }
}
