//! Round trips, as the acknowledgements of one path show them.
//!
//! Rounds are separated by send times, not packet numbers: a round ends when a packet is
//! acknowledged that was sent after the round began. Numbers of the handshake's packet number
//! spaces overlap with those of data; times do not. So what a round measures is what was sent in
//! the round before it.

use std::time::{Duration, Instant};

/// Samples that a minimum must rest on (`N_RTT_SAMPLE`, RFC 9406 §4.3): two acknowledgements of
/// four packets at least, so that one held back does not count as a queue.
pub(super) const MIN_SAMPLES: usize = 8;

/// One round trip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// The least sample of the later half: what no delayed acknowledgement and no burst explains.
    /// The earlier half still shows what the window was before it last changed.
    pub(super) min: Duration,
    /// The least queue that pings showed in our direction, also of the later half.
    pub(super) forward_queue: Option<Duration>,
    /// Whether conclusions may be drawn: enough samples, most of them with the window in use.
    pub(super) conclusive: bool,
    /// Whether most samples were with the window in use.
    pub(super) in_use: bool,
    /// How long it took.
    pub(super) duration: Duration,
    /// Bytes that were acknowledged and lost in it.
    pub(super) delivered: u64,
    pub(super) lost: u64,
}

impl Round {
    /// Returns the bytes per second that were acknowledged.
    pub(super) fn rate(&self) -> f64 {
        self.delivered as f64 / self.duration.as_secs_f64().max(1e-3)
    }

    /// Returns the part that was lost.
    pub(super) fn loss(&self) -> f64 {
        self.lost as f64 / ((self.lost + self.delivered) as f64).max(1.0)
    }
}

/// How long the least of some samples must cover: acknowledgements that a busy host handles late
/// come together, and all but the last of them look like a queue.
const MIN_BATCH_SPAN: Duration = Duration::from_millis(2);

/// Samples taken together.
#[derive(Clone, Copy, Debug)]
struct Batch {
    since: Instant,
    samples: usize,
    min: Duration,
}

/// Follows the rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    began: Option<Instant>,
    /// The middle of the round before: what was sent later is this round's later half.
    middle: Option<Instant>,
    min: Option<Duration>,
    forward_queue: Option<Duration>,
    /// The last two pings.
    last: [Option<Duration>; 2],
    samples: u32,
    limited: u32,
    delivered: u64,
    lost: u64,
    /// Samples with the window in use since some milliseconds, and those of a while before.
    fresh: Option<Batch>,
    recent: Option<Duration>,
}

impl Rounds {
    /// Takes in the acknowledgement at `now` of a packet of `bytes` sent at `sent`; returns the round
    /// that it ends, if any. `limited`: the application, not the window, bounds what is in flight.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        limited: bool,
    ) -> Option<Round> {
        let sample = now.saturating_duration_since(sent);
        let ended = match self.began {
            Some(began) if sent < began => None,
            began => {
                let forward_queue = self.forward_queue.take();
                let round = self.min.take().map(|min| Round {
                    min,
                    forward_queue,
                    conclusive: self.samples as usize >= MIN_SAMPLES
                        && self.limited * 2 < self.samples,
                    in_use: self.limited * 2 < self.samples,
                    duration: began.map_or(sample, |began| now.saturating_duration_since(began)),
                    delivered: self.delivered,
                    lost: self.lost,
                });
                self.began = Some(now);
                self.middle = began.map(|began| began + now.saturating_duration_since(began) / 2);
                (self.samples, self.limited) = (0, 0);
                (self.delivered, self.lost) = (0, 0);
                round
            }
        };
        if self.middle.is_none_or(|middle| sent >= middle) {
            self.min = Some(self.min.map_or(sample, |min| min.min(sample)));
        }
        self.samples += 1;
        self.delivered += bytes;
        if limited {
            self.limited += 1;
            (self.fresh, self.recent) = (None, None);
        } else {
            self.accumulate(now, sample);
        }
        ended
    }

    /// Takes in that `bytes` were found to be lost.
    pub(super) fn on_lost(&mut self, bytes: u64) {
        self.lost += bytes;
    }

    /// Takes in that a ping sent at `sent` waited for `queue` in our direction.
    pub(super) fn on_forward_queue(&mut self, sent: Instant, queue: Duration) {
        self.last = [Some(queue), self.last[0]];
        if self.middle.is_none_or(|middle| sent >= middle) {
            self.forward_queue = Some(self.forward_queue.map_or(queue, |least| least.min(queue)));
        }
    }

    /// Returns the lesser queue of the last two pings: one may have been handled late.
    pub(super) fn recent_forward_queue(&self) -> Option<Duration> {
        let [last, before] = self.last;
        Some(last?.min(before?))
    }

    /// Returns the least of the last samples with the window in use: at least [`MIN_SAMPLES`] of them, over at
    /// least [`MIN_BATCH_SPAN`]. It sees a queue grow within a round, whose own minimum is from before.
    pub(super) fn recent_min(&self) -> Option<Duration> {
        self.recent
    }

    fn accumulate(&mut self, now: Instant, sample: Duration) {
        let batch = self.fresh.get_or_insert(Batch { since: now, samples: 0, min: sample });
        batch.samples += 1;
        batch.min = batch.min.min(sample);
        if batch.samples >= MIN_SAMPLES
            && now.saturating_duration_since(batch.since) >= MIN_BATCH_SPAN
        {
            self.recent = Some(batch.min);
            self.fresh = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_round_ends_with_the_first_packet_that_was_sent_in_it() {
        let (mut rounds, start) = (Rounds::default(), Instant::now());
        let at = |ms: u32| start + ms * MS;
        assert_eq!(rounds.on_ack(at(20), at(0), 1200, false), None);
        for ms in 1..=19 {
            assert_eq!(rounds.on_ack(at(20 + ms), at(ms), 1200, false), None);
        }
        let round = rounds.on_ack(at(42), at(20), 1200, false).unwrap();
        assert_eq!((round.min, round.forward_queue, round.conclusive), (20 * MS, None, true));
        assert_eq!((round.duration, round.delivered, round.lost), (22 * MS, 20 * 1200, 0));
        assert_eq!(rounds.on_ack(at(43), at(21), 1200, false), None);
        assert_eq!(rounds.on_ack(at(57), at(35), 1200, false), None);
        rounds.on_forward_queue(at(30), 3 * MS);
        rounds.on_forward_queue(at(36), 5 * MS);
        rounds.on_forward_queue(at(40), 4 * MS);
        assert_eq!(rounds.recent_forward_queue(), Some(4 * MS));
        let round = rounds.on_ack(at(64), at(42), 1200, false).unwrap();
        let found = (round.min, round.forward_queue, round.conclusive);
        assert_eq!(found, (22 * MS, Some(4 * MS), false), "three samples tell little");
    }

    #[test]
    fn a_round_that_the_application_limits_tells_nothing() {
        let (mut rounds, start) = (Rounds::default(), Instant::now());
        for ms in 0..20 {
            rounds.on_ack(start + (ms + 20) * MS, start + ms * MS, 1200, ms % 3 != 0);
        }
        let round = rounds.on_ack(start + 40 * MS, start + 20 * MS, 1200, false).unwrap();
        assert!(!round.conclusive);
    }

    #[test]
    fn the_last_samples_show_a_rise_before_the_round_ends() {
        let (mut rounds, start) = (Rounds::default(), Instant::now());
        for ms in 0..20 {
            rounds.on_ack(start + (20 + 2 * ms) * MS, start + ms * MS, 1200, false);
        }
        assert_eq!(rounds.recent_min(), Some(28 * MS));
        rounds.on_ack(start + 60 * MS, start + 20 * MS, 1200, true);
        assert_eq!(rounds.recent_min(), None);
    }
}
