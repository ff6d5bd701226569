//! HyStart++ (RFC 9406): leaves slow start when the round-trip time rises, before the queue
//! overflows and the loss of half a window shows as a gap of tens of milliseconds.
//!
//! Rounds are told apart by send times, not packet numbers: a round ends when a packet is
//! acknowledged that was sent after the round began. Numbers of the handshake's packet number
//! spaces overlap with those of data; times do not.

use std::time::{Duration, Instant};

/// RFC 9406 §4.3: the least rise that counts; below it lies jitter.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
/// The rise that always counts, however long the path.
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
/// In between: an eighth of the last round's minimum.
const MIN_RTT_DIVISOR: u32 = 8;
/// Samples that a round's minimum must rest on.
const N_RTT_SAMPLE: u32 = 8;
/// Conservative slow start grows at a quarter of the rate.
pub(super) const CSS_GROWTH_DIVISOR: u64 = 4;
/// ... and ends after this many rounds.
const CSS_ROUNDS: u32 = 5;

/// What an acknowledged packet means for slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Grow by what was acknowledged.
    Full,
    /// Grow by a [`CSS_GROWTH_DIVISOR`]th of it.
    Conservative,
    /// Slow start is over.
    Done,
}

/// Slow start's observer.
#[derive(Clone, Debug, Default)]
pub(super) struct HyStart {
    round_began: Option<Instant>,
    last_min: Option<Duration>,
    min: Option<Duration>,
    samples: u32,
    /// In conservative slow start: the minimum it began with, and the rounds it has lasted.
    css: Option<(Duration, u32)>,
}

impl HyStart {
    /// Takes in the acknowledgement at `now` of a packet sent at `sent`.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant) -> Growth {
        if self.round_began.is_none_or(|began| sent >= began) && self.end_round(now) {
            return Growth::Done;
        }
        let sample = now.saturating_duration_since(sent);
        let min = self.min.map_or(sample, |min| min.min(sample));
        self.min = Some(min);
        self.samples += 1;
        if self.samples >= N_RTT_SAMPLE {
            self.css = match self.css {
                None => self.rose(min).then_some((min, 0)),
                // Jitter, not a queue: back to slow start (§4.2).
                Some((baseline, _)) if min < baseline => None,
                css => css,
            };
        }
        if self.css.is_some() { Growth::Conservative } else { Growth::Full }
    }

    fn rose(&self, min: Duration) -> bool {
        self.last_min.is_some_and(|last| {
            let threshold = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
            min >= last + threshold
        })
    }

    /// Begins the next round; true if the rounds of conservative slow start are over.
    fn end_round(&mut self, now: Instant) -> bool {
        self.round_began = Some(now);
        self.last_min = self.min.take().or(self.last_min);
        self.samples = 0;
        match &mut self.css {
            Some((_, rounds)) => {
                *rounds += 1;
                *rounds >= CSS_ROUNDS
            }
            None => false,
        }
    }
}
