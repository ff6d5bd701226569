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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    /// The least sample of the later half: what no delayed acknowledgement and no burst explains.
    /// The earlier half still shows what the window was before it last changed.
    pub(super) min: Duration,
    /// The least queue that pings showed in our direction, also of the later half.
    pub(super) forward_queue: Option<Duration>,
    /// Whether conclusions may be drawn: enough samples, most of them with the window in use.
    pub(super) conclusive: bool,
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
    /// Samples with the window in use since some milliseconds, and those of a while before.
    fresh: Option<Batch>,
    recent: Option<Duration>,
}

impl Rounds {
    /// Takes in the acknowledgement at `now` of a packet sent at `sent`; returns the round that it
    /// ends, if any. `limited`: the application, not the window, bounds what is in flight.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, limited: bool) -> Option<Round> {
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
                });
                self.began = Some(now);
                self.middle = began.map(|began| began + now.saturating_duration_since(began) / 2);
                (self.samples, self.limited) = (0, 0);
                round
            }
        };
        if self.middle.is_none_or(|middle| sent >= middle) {
            self.min = Some(self.min.map_or(sample, |min| min.min(sample)));
        }
        self.samples += 1;
        if limited {
            self.limited += 1;
            (self.fresh, self.recent) = (None, None);
        } else {
            self.accumulate(now, sample);
        }
        ended
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
        assert_eq!(rounds.on_ack(at(20), at(0), false), None);
        for ms in 1..=19 {
            assert_eq!(rounds.on_ack(at(20 + ms), at(ms), false), None);
        }
        let round = rounds.on_ack(at(42), at(20), false).unwrap();
        assert_eq!(round, Round { min: 20 * MS, forward_queue: None, conclusive: true });
        assert_eq!(rounds.on_ack(at(43), at(21), false), None);
        assert_eq!(rounds.on_ack(at(57), at(35), false), None);
        rounds.on_forward_queue(at(30), 3 * MS);
        rounds.on_forward_queue(at(36), 5 * MS);
        rounds.on_forward_queue(at(40), 4 * MS);
        assert_eq!(rounds.recent_forward_queue(), Some(4 * MS));
        let round = rounds.on_ack(at(64), at(42), false).unwrap();
        let few = Round { min: 22 * MS, forward_queue: Some(4 * MS), conclusive: false };
        assert_eq!(round, few, "three samples tell little");
    }

    #[test]
    fn a_round_that_the_application_limits_tells_nothing() {
        let (mut rounds, start) = (Rounds::default(), Instant::now());
        for ms in 0..20 {
            rounds.on_ack(start + (ms + 20) * MS, start + ms * MS, ms % 3 != 0);
        }
        let round = rounds.on_ack(start + 40 * MS, start + 20 * MS, false).unwrap();
        assert!(!round.conclusive);
    }

    #[test]
    fn the_last_samples_show_a_rise_before_the_round_ends() {
        let (mut rounds, start) = (Rounds::default(), Instant::now());
        for ms in 0..20 {
            rounds.on_ack(start + (20 + 2 * ms) * MS, start + ms * MS, false);
        }
        assert_eq!(rounds.recent_min(), Some(28 * MS));
        rounds.on_ack(start + 60 * MS, start + 20 * MS, true);
        assert_eq!(rounds.recent_min(), None);
    }
}
