//! Measures what a lane delivers while bulk waits for it.
//!
//! Measurements are of 100 ms. Only those count during which the lane never ran out of bulk: others
//! show the application's rate. What a lane delivered stays known for 15 s after it ran out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::lane::SensorSnapshot;
use crate::selection::Evidence;

/// The least time of a measurement: some acknowledgements of any lane that carries bulk.
const MEASUREMENT: Duration = Duration::from_millis(100);

/// The measurements that are kept: 10 s, in which what wanders on a radio link averages out.
const KEPT: usize = 100;

/// The measurements that are recent: they are longer than a pause of a radio link.
const RECENT: usize = 8;

/// The least measurements for a rate; the last so many show a window that grows.
const LEAST: usize = 3;

/// For so many measurements the window may still be growing.
const GROWING: usize = 20;

/// Loss is that of the last measurements, which are forgotten by this part with each further one.
const FORGETS: f64 = 32.0;

/// The least bytes that a share of lost ones rests on: thirty packets.
const MIN_SENT: f64 = 40_000.0;

/// Measurements on end without bulk waiting all the time, after which the lane is not full: the
/// application's own pauses are shorter.
const MAX_BREAK: u32 = 3;

/// A lane has collapsed when its recent rate is so much less than before.
const COLLAPSE: u64 = 4;

/// How long a collapse is remembered after flows left the lane: what it carries of them comes late.
const COLLAPSED_FOR: Duration = Duration::from_secs(2);

/// How long it counts what a lane once delivered.
const REMEMBERED_FOR: Duration = Duration::from_secs(15);

/// What a lane delivers.
#[derive(Debug, Default)]
pub(in crate::session) struct DeliveryMeter {
    /// How often the lane has migrated: a new path is measured anew.
    epoch: u64,
    /// When the present measurement began, what had been acknowledged then, and whether bulk has
    /// waited ever since.
    present: Option<(Instant, u64, bool)>,
    /// The bytes that were acknowledged and lost, forgotten by a part with each measurement.
    recent: (f64, f64),
    /// The bytes that had been lost by the end of the last measurement.
    lost: u64,
    /// The measured rates, latest last, in bytes a second.
    rates: VecDeque<u64>,
    breaks: u32,
    full_since: Option<Instant>,
    collapsed_until: Option<Instant>,
    remembered: Option<(Instant, u64)>,
    evidence: Evidence,
}

impl DeliveryMeter {
    /// Takes what the lane's sensor saw; `waits` says whether bulk has waited for the lane all the
    /// time since the last call.
    pub(in crate::session) fn observe(&mut self, now: Instant, seen: &SensorSnapshot, waits: bool) {
        if self.epoch != seen.epoch {
            *self = Self { epoch: seen.epoch, lost: seen.lost_bytes, ..Self::default() };
        }
        let (began, acked, full) = *self.present.get_or_insert((now, seen.acked_bytes, waits));
        let full = full && waits;
        let elapsed = now.saturating_duration_since(began);
        self.present = Some((began, acked, full));
        if elapsed >= MEASUREMENT {
            let bytes = seen.acked_bytes.saturating_sub(acked);
            self.count(bytes, seen.lost_bytes);
            self.measured(now, began, (bytes as f64 / elapsed.as_secs_f64()) as u64, full);
            self.present = Some((now, seen.acked_bytes, waits));
        }
        let since = self.full_since.filter(|_| !self.rates.is_empty());
        self.evidence = Evidence {
            rate: self.rate(now),
            full_for: since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            collapsed: self.collapsed_until.is_some_and(|until| now < until),
            bulk_flows: self.evidence.bulk_flows,
            cwnd: seen.cwnd,
            rttvar: seen.rttvar,
            loss: self.loss(),
            mean_wait: seen.pauses.mean_wait,
        };
    }

    /// Returns what the measurements show.
    pub(in crate::session) fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// Takes how many bulk flows have the lane as their primary one.
    pub(in crate::session) fn set_bulk_flows(&mut self, count: u32) {
        self.evidence.bulk_flows = count;
    }

    /// Takes how many bytes were acknowledged in a measurement, and how many have been lost by its end.
    fn count(&mut self, acked: u64, lost: u64) {
        let lost = lost.saturating_sub(std::mem::replace(&mut self.lost, lost));
        let (acks, losses) = self.recent;
        let adds = |sum: f64, more: u64| sum - sum / FORGETS + more as f64;
        self.recent = (adds(acks, acked), adds(losses, lost));
    }

    /// Returns how many of a thousand bytes are lost.
    fn loss(&self) -> u16 {
        let (acked, lost) = self.recent;
        (1000.0 * lost / (acked + lost).max(MIN_SENT)) as u16
    }

    fn measured(&mut self, now: Instant, began: Instant, rate: u64, full: bool) {
        if !full {
            self.breaks += 1;
            if self.breaks >= MAX_BREAK {
                self.rates.clear();
                self.full_since = None;
            }
            return;
        }
        self.breaks = 0;
        self.full_since.get_or_insert(began);
        self.rates.push_back(rate);
        if self.rates.len() > KEPT {
            self.rates.pop_front();
        }
        if self.has_collapsed() {
            self.collapsed_until = Some(now + COLLAPSED_FOR);
        }
        if let Some(rate) = self.present_rate() {
            self.remembered = Some((now, rate));
        }
    }

    fn has_collapsed(&self) -> bool {
        let before = self.rates.len().saturating_sub(RECENT);
        before >= RECENT / 2
            && COLLAPSE * mean(self.rates.iter().skip(before))
                < mean(self.rates.iter().take(before))
    }

    /// Returns the mean of what was measured; that of the last measurements where they tell another
    /// story: a window that still grows, or a lane that broke down.
    fn present_rate(&self) -> Option<u64> {
        if self.rates.len() < LEAST {
            return None;
        }
        let all = mean(self.rates.iter());
        let last = |count| mean(self.rates.iter().skip(self.rates.len().saturating_sub(count)));
        let grows = self.rates.len() <= GROWING && last(LEAST) > all;
        Some(match () {
            () if COLLAPSE * last(RECENT) < all => last(RECENT),
            () if grows => last(LEAST),
            () => all,
        })
    }

    fn rate(&self, now: Instant) -> Option<u64> {
        let (at, rate) = self.remembered?;
        (now.saturating_duration_since(at) < REMEMBERED_FOR).then_some(rate)
    }
}

fn mean<'a>(rates: impl ExactSizeIterator<Item = &'a u64>) -> u64 {
    let count = rates.len().max(1) as u64;
    rates.sum::<u64>() / count
}

#[cfg(test)]
mod tests;
