//! Learns how a path pauses, so that a silence is judged by what is usual there.
//!
//! A radio link pauses for tens to hundreds of milliseconds and loses nothing by it; a fibre does
//! not. What tells a pause from a failure is therefore not the silence but how often *this* path
//! was silent for so long before (accrual failure detection: Hayashibara et al., *The φ Accrual
//! Failure Detector*, SRDS 2004). The φ of that paper assumes a normal distribution, whose tail says
//! that a silence of ten deviations never comes; the pauses of radio links have a heavy tail, and it
//! comes every minute. So the distribution is kept as it was seen, as Satzger et al. do (*A New
//! Adaptive Accrual Failure Detector for Dependable Distributed Systems*, SAC 2007): a histogram,
//! with buckets that grow by a fifth and counts that fade.
//!
//! What is counted is a *silence*: the time for which an acknowledgement was due and none came. One
//! counts only where packets that were under way then arrived after it, late: they waited. After an
//! outage they are lost, and that it was long is no reason to be slower at the next.
//!
//! Counts and not shares are compared with a limit, since what a wrong suspicion costs is counted per
//! minute: at a thousand acknowledgements a second a pause that comes three times a minute is one
//! in twenty thousand.

use std::time::{Duration, Instant};

/// "Much in flight": 16 full packets. Fewer make no clock.
pub(super) const BULK_IN_FLIGHT: u64 = 16 * 1200;

/// The shortest silence that is counted. The shortest that any rule judges is 10 ms.
const SHORTEST: Duration = Duration::from_millis(8);

/// Each bucket is longer than the one before it by a fourth root of two.
const BUCKETS_PER_DOUBLING: usize = 4;

/// The last bucket begins at 6.9 s: longer silences close lanes.
const BUCKETS: usize = 40;

/// The time in which a count fades to a half, as long as acknowledgements come: minutes, since the
/// weather of a radio link changes in minutes. A lane that carries nothing learns and forgets nothing.
const HALF_LIFE: Duration = Duration::from_secs(90);

/// Counts fade in steps of this; and so much of a time without acknowledgements counts as time.
const STEP: Duration = Duration::from_secs(1);

/// How often a pause comes that is usual: so many times a minute of memory, and so many times at least.
#[derive(Clone, Copy, Debug)]
struct Habit {
    per_minute: f32,
    at_least: f32,
}

/// A path is left at most this often for nothing: about once a minute. What came even once on a young
/// path comes oftener than that, as far as is known.
const USUAL: Habit = Habit { per_minute: 1.0, at_least: 0.9 };

/// The same for a pause below [`CHEAP`]. Two, because a fibre may have one while its ends are busy with
/// handshakes.
const USUAL_IF_CHEAP: Habit = Habit { per_minute: 5.0, at_least: 1.8 };

/// A suspicion that ends within this moves next to nothing: a bulk flow has sent as much again as one
/// cold window holds, and returns (`spurious`).
const CHEAP: Duration = Duration::from_millis(40);

/// A silence is unusual that exceeds what is usual by this factor, and by [`PER_ROOT`] divided by the root
/// of the number of pauses that are known: of a few pauses the longest says little of the next one. (On two
/// LTE traces, bulk and an echo: 8 to 14 suspicions in 140 s with factors of 1 and 0, 3 to 5 with these,
/// most of them in the first 17 s.)
const BEYOND_USUAL: f32 = 1.25;
const PER_ROOT: f32 = 1.5;

/// Pauses that are longer by a factor are rarer by so much of its power, as long as it is not known better: what
/// paused for 15 ms in its first second will pause for 100 ms within a minute. A path is known after a minute.
const TAIL: f32 = 1.5;
const KNOWN: Duration = Duration::from_secs(60);

/// The longest pause that is concluded from [`CHEAP`] ones.
const MAX_CONCLUDED: Duration = Duration::from_millis(100);

/// The longest pause is remembered until its count has faded to this: 2.6 minutes.
const REMEMBERED: f32 = 0.3;

/// A silence is taken for the end of the path that exceeds the longest pause by this factor, and what is
/// usual by [`END_BEYOND_USUAL`]: a heavy tail has longer ones yet. In the LTE traces of Winstein et al.
/// (NSDI 2013) 200 ms are usual, and each has one pause of 1.4 or 1.7 s in 140 s.
const END_BEYOND_LONGEST: f32 = 1.5;
const END_BEYOND_USUAL: f32 = 15.0;

/// Where pauses are usual no shorter silence is taken for the end of the path: radio links pause for 1.4 to
/// 1.7 s once in two minutes. Flows have left the lane by then.
const END_IF_PAUSING: Duration = Duration::from_secs(2);

/// No pause keeps bulk on a lane for longer, however usual it is: by then a cold lane has caught up.
const MAX_SUSPECT_AFTER: Duration = Duration::from_secs(1);

/// No pause keeps a lane from being replaced for longer, however long pauses were.
const MAX_FAIL_AFTER: Duration = Duration::from_millis(3_500);

/// So long acknowledgements must have come, none of them [`LULL`] after the other, until a path counts as one
/// that never pauses because it has not. Half of the wrong suspicions of radio links were in the first two
/// seconds of a lane.
const YOUNG: Duration = Duration::from_millis(600);

/// The same for acknowledgements of bulk, as long as there is bulk in flight: those of an echo each 20 ms do not show
/// pauses of 10 ms, for which bulk moves. (Three quarters of all moves without a failure in random weather were in the
/// first 1.5 s of bulk on a lane that had carried an echo for some time. As much would leave fewer of them; but all
/// that long a failure of a fibre would show to bulk after 100 ms.)
const YOUNG_BULK: Duration = YOUNG;

/// The longest time between acknowledgements that counts in full as a time in which they came.
const LULL: Duration = Duration::from_millis(100);

/// What is assumed of a path as long as it is young: most radio links pause for less.
const ASSUMED: Pauses = Pauses {
    usual: Duration::ZERO,
    suspect_after: Duration::from_millis(100),
    fail_after: Duration::from_millis(300),
    mean_wait: Duration::ZERO,
};

/// What is known of the pauses of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// A pause as long as this comes about once a minute. Zero where none does.
    pub usual: Duration,
    /// A silence that is longer is unusual: worth that bulk moves.
    pub suspect_after: Duration,
    /// A silence that is longer is hardly a pause: worth a dial.
    pub fail_after: Duration,
    /// How long a byte that comes at a random moment waits for the end of a pause, on average.
    pub mean_wait: Duration,
}

/// The silences of one path, in buckets.
#[derive(Clone, Debug)]
pub struct PauseHistogram {
    counts: [f32; BUCKETS],
    /// Seconds in which acknowledgements came, faded as the counts are.
    active: f32,
    /// Up to when counts have faded.
    faded_at: Option<Instant>,
    /// For how long acknowledgements have come, up to [`YOUNG`] and some more.
    heard: Duration,
    /// For how long those of bulk have, up to [`YOUNG_BULK`].
    heard_bulk: Duration,
    /// When the last one came.
    last: Option<Instant>,
    known: Pauses,
}

impl Default for PauseHistogram {
    fn default() -> Self {
        Self {
            counts: [0.0; BUCKETS],
            active: 0.0,
            faded_at: None,
            heard: Duration::ZERO,
            heard_bulk: Duration::ZERO,
            last: None,
            known: ASSUMED,
        }
    }
}

impl PauseHistogram {
    /// Returns what is known of the path's pauses where so many bytes are in flight.
    pub fn known(&self, in_flight: u64) -> Pauses {
        let Pauses { suspect_after, .. } = self.known;
        match Self::is_bulk(in_flight) && self.heard_bulk < YOUNG_BULK {
            true => {
                Pauses { suspect_after: suspect_after.max(ASSUMED.suspect_after), ..self.known }
            }
            false => self.known,
        }
    }

    /// Returns whether a silence is long enough to be counted.
    pub fn counts(silence: Duration) -> bool {
        silence >= SHORTEST
    }

    /// Returns whether so many bytes in flight are bulk.
    pub fn is_bulk(in_flight: u64) -> bool {
        in_flight >= BULK_IN_FLIGHT
    }

    /// Records an acknowledgement that arrived at `now` after a silence, with so many bytes in flight.
    pub fn record(&mut self, now: Instant, silence: Duration, in_flight: u64) {
        let faded = self.fade(now);
        let was_young = self.heard < YOUNG;
        if was_young || self.heard_bulk < YOUNG_BULK {
            let last = self.last.replace(now).unwrap_or(now);
            let passed = now.saturating_duration_since(last).min(LULL);
            self.heard += passed;
            self.heard_bulk += if Self::is_bulk(in_flight) { passed } else { Duration::ZERO };
        }
        if Self::counts(silence) {
            self.counts[bucket(silence)] += 1.0;
        }
        let grown = was_young && self.heard >= YOUNG;
        if faded || grown || Self::counts(silence) {
            self.known = self.judge();
        }
    }

    /// Lets the counts fade; returns whether it was time to.
    fn fade(&mut self, now: Instant) -> bool {
        let since = *self.faded_at.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed < STEP {
            return false;
        }
        self.faded_at = Some(now);
        let passed = passed.min(2 * STEP).as_secs_f32();
        let share = (-passed / HALF_LIFE.as_secs_f32()).exp2();
        self.counts.iter_mut().for_each(|count| *count *= share);
        self.active = self.active * share + passed;
        true
    }

    fn judge(&self) -> Pauses {
        let minutes = self.active / 60.0;
        let limit = |bucket| {
            let habit = if end(bucket) <= CHEAP { USUAL_IF_CHEAP } else { USUAL };
            (habit.per_minute * minutes).max(habit.at_least)
        };
        let usual = self.longest_above(limit);
        let longest = self.longest_above(|_| REMEMBERED);
        let end_beyond = |pause: Duration, factor| match pause > CHEAP {
            true => pause.mul_f32(factor),
            false => Duration::ZERO,
        };
        let assumed = if self.heard < YOUNG { ASSUMED } else { Pauses::default() };
        let suspect_after = self.unusual(usual).max(assumed.suspect_after);
        let end = end_beyond(longest, END_BEYOND_LONGEST)
            .max(end_beyond(usual, END_BEYOND_USUAL))
            .max(if usual > CHEAP { END_IF_PAUSING } else { Duration::ZERO });
        Pauses {
            usual,
            suspect_after,
            fail_after: end.min(MAX_FAIL_AFTER).max(assumed.fail_after),
            mean_wait: self.mean_wait(),
        }
    }

    /// Returns from when on a silence is unusual.
    fn unusual(&self, usual: Duration) -> Duration {
        let known = Duration::from_secs_f32(self.active).clamp(STEP, KNOWN);
        let to_come = (KNOWN.as_secs_f32() / known.as_secs_f32()).powf(1.0 / TAIL);
        if usual <= CHEAP {
            return usual.mul_f32(BEYOND_USUAL * to_come).min(MAX_CONCLUDED);
        }
        let pauses: f32 = self.counts[bucket(CHEAP)..].iter().sum();
        let few = BEYOND_USUAL + PER_ROOT / pauses.max(1.0).sqrt();
        usual.mul_f32(few.max(BEYOND_USUAL * to_come)).min(MAX_SUSPECT_AFTER)
    }

    /// Returns the end of the last bucket at which so many silences were as long or longer.
    fn longest_above(&self, limit: impl Fn(usize) -> f32) -> Duration {
        let mut as_long = 0.0;
        for (bucket, count) in self.counts.iter().enumerate().rev() {
            as_long += count;
            if as_long >= limit(bucket) {
                return end(bucket);
            }
        }
        Duration::ZERO
    }

    /// A byte that comes at a random moment meets a pause with a probability that is proportional to
    /// its length, and then waits for half of it.
    fn mean_wait(&self) -> Duration {
        if self.active == 0.0 {
            return Duration::ZERO;
        }
        let square = |(bucket, count): (usize, &f32)| count * end(bucket).as_secs_f32().powi(2);
        let sum: f32 = self.counts.iter().enumerate().map(square).sum();
        Duration::from_secs_f32(sum / 2.0 / self.active)
    }
}

/// Returns the bucket of a silence.
fn bucket(silence: Duration) -> usize {
    let doublings = (silence.as_secs_f32() / SHORTEST.as_secs_f32()).log2();
    ((doublings * BUCKETS_PER_DOUBLING as f32) as usize).min(BUCKETS - 1)
}

/// Returns the least silence that is too long for a bucket.
fn end(bucket: usize) -> Duration {
    SHORTEST.mul_f32(((bucket + 1) as f32 / BUCKETS_PER_DOUBLING as f32).exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Records a minute's acknowledgements, one each 2 ms, with these silences in milliseconds spread
    /// over it.
    fn minute(histogram: &mut PauseHistogram, start: Instant, silences: &[u32]) -> Instant {
        let mut now = start;
        let end = start + 60_000 * MS;
        let mut rest = silences.iter();
        while now < end {
            for _ in 0..30_000 / (silences.len() + 1) {
                now += 2 * MS;
                histogram.record(now, Duration::ZERO, 0);
            }
            if let Some(silence) = rest.next() {
                now += *silence * MS;
                histogram.record(now, *silence * MS, 0);
            }
        }
        now
    }

    #[test]
    fn a_path_that_never_pauses_has_no_usual_pause() {
        let (mut histogram, start) = (PauseHistogram::default(), Instant::now());
        minute(&mut histogram, start, &[]);
        assert_eq!(histogram.known(0), Pauses::default());
    }

    #[test]
    fn a_young_path_may_be_one_that_pauses_until_acknowledgements_came_for_a_while() {
        let (mut histogram, start) = (PauseHistogram::default(), Instant::now());
        assert_eq!(histogram.known(0), ASSUMED);
        for ms in (0..580).step_by(20) {
            histogram.record(start + ms * MS, Duration::ZERO, 0);
            assert_eq!(histogram.known(0).suspect_after, ASSUMED.suspect_after, "{ms}");
        }
        histogram.record(start + 5_000 * MS, Duration::ZERO, 0);
        assert_eq!(histogram.known(0), Pauses::default());
    }

    #[test]
    fn a_path_that_carried_an_echo_is_young_again_for_bulk() {
        let (mut histogram, start) = (PauseHistogram::default(), Instant::now());
        let now = minute(&mut histogram, start, &[]);
        assert_eq!(histogram.known(BULK_IN_FLIGHT - 1), Pauses::default());
        let assumed = Pauses { suspect_after: ASSUMED.suspect_after, ..Pauses::default() };
        for ms in (0..600).step_by(10) {
            assert_eq!(histogram.known(BULK_IN_FLIGHT), assumed, "{ms}");
            assert_eq!(histogram.known(0), Pauses::default(), "{ms}");
            histogram.record(now + (ms + 10) * MS, Duration::ZERO, BULK_IN_FLIGHT);
        }
        assert_eq!(histogram.known(BULK_IN_FLIGHT), Pauses::default());
    }

    #[test]
    fn a_pause_that_comes_several_times_a_minute_is_usual_and_a_longer_one_is_not() {
        let (mut histogram, start) = (PauseHistogram::default(), Instant::now());
        minute(&mut histogram, start, &[180, 170, 240, 178]);
        let usual = histogram.known(0).usual;
        assert!(usual >= 180 * MS && usual < 215 * MS, "{usual:?}");
    }

    #[test]
    fn the_fewer_pauses_are_known_the_longer_is_the_next_one_waited_for() {
        let (mut few, mut many, start) =
            (PauseHistogram::default(), PauseHistogram::default(), Instant::now());
        minute(&mut few, start, &[180; 2]);
        minute(&mut many, start, &[180; 50]);
        let [few, many] = [few.known(0), many.known(0)];
        assert_eq!(few.usual, many.usual);
        assert!(few.suspect_after > 380 * MS && few.suspect_after < 520 * MS, "{few:?}");
        assert!(many.suspect_after > 250 * MS && many.suspect_after < 320 * MS, "{many:?}");
    }

    #[test]
    fn a_long_pause_is_usual_for_a_minute_and_the_end_of_the_path_takes_longer_for_three() {
        let (mut histogram, start) = (PauseHistogram::default(), Instant::now());
        let now = minute(&mut histogram, start, &[]);
        let now = minute(&mut histogram, now, &[600]);
        assert_eq!(histogram.known(0).usual, Duration::ZERO, "once in two minutes");
        let end = histogram.known(0).fail_after;
        assert!(end >= 900 * MS && end < 1_100 * MS, "{end:?}");
        (0..3).fold(now, |now, _| minute(&mut histogram, now, &[]));
        assert_eq!(histogram.known(0).fail_after, Duration::ZERO);
    }

    #[test]
    fn short_pauses_are_usual_only_where_they_are_frequent() {
        let (mut histogram, start) = (PauseHistogram::default(), Instant::now());
        let now = minute(&mut histogram, start, &[25; 4]);
        assert!(histogram.known(0).fail_after.is_zero(), "a replacement does not wait for them");
        assert_eq!(histogram.known(0).usual, Duration::ZERO);
        minute(&mut histogram, now, &[25; 20]);
        let usual = histogram.known(0).usual;
        assert!(usual >= 25 * MS && usual < 32 * MS, "{usual:?}");
    }

    #[test]
    fn what_was_usual_is_forgotten_within_minutes_of_better_weather_and_kept_while_idle() {
        let (mut histogram, start) = (PauseHistogram::default(), Instant::now());
        let now = minute(&mut histogram, start, &[180; 6]);
        histogram.record(now + 3_600_000 * MS, Duration::ZERO, 0);
        assert!(histogram.known(0).usual > 180 * MS, "an hour later");
        let now = now + 3_600_000 * MS;
        (0..4).fold(now, |now, _| minute(&mut histogram, now, &[]));
        assert_eq!(histogram.known(0).usual, Duration::ZERO, "four minutes later");
    }

    #[test]
    fn no_pause_is_so_usual_that_nothing_ever_happens() {
        let (mut histogram, start) = (PauseHistogram::default(), Instant::now());
        minute(&mut histogram, start, &[8_000; 5]);
        let known = histogram.known(0);
        assert_eq!((known.suspect_after, known.fail_after), (MAX_SUSPECT_AFTER, MAX_FAIL_AFTER));
    }

    #[test]
    fn the_longest_pause_of_seconds_is_not_that_of_a_minute() {
        let (mut histogram, mut now) = (PauseHistogram::default(), Instant::now());
        let mut suspect_after = Vec::new();
        for _ in 0..60 {
            for _ in 0..49 {
                now += 20 * MS;
                histogram.record(now, Duration::ZERO, 0);
            }
            now += 20 * MS;
            histogram.record(now, 12 * MS, 0);
            suspect_after.push(histogram.known(0).suspect_after);
        }
        let at = |seconds: usize| suspect_after[seconds - 1];
        assert_eq!(at(3), MAX_CONCLUDED);
        assert!(at(15) > 30 * MS && at(15) < 60 * MS, "{:?}", at(15));
        assert!(at(60) > 12 * MS && at(60) < 25 * MS, "{:?}", at(60));
    }

    #[test]
    fn the_mean_wait_is_that_of_a_byte_at_a_random_moment() {
        let (mut histogram, start) = (PauseHistogram::default(), Instant::now());
        minute(&mut histogram, start, &[200; 30]);
        // A tenth of the time is pause, and the mean wait in one 100 ms: 10 ms.
        let mean = histogram.known(0).mean_wait;
        assert!(mean > 8 * MS && mean < 14 * MS, "{mean:?}");
    }

    #[test]
    fn buckets_meet() {
        for silence in 8..9_000 {
            let silence = silence * MS;
            let bucket = bucket(silence);
            let begin = if bucket == 0 { SHORTEST } else { end(bucket - 1) };
            assert!(begin <= silence + MS / 100, "{silence:?} {bucket}");
            assert!(bucket == BUCKETS - 1 || silence < end(bucket) + MS / 100, "{silence:?}");
        }
    }
}
