//! How long a queue is wanted, and beyond which round trip a queue begins.

use std::time::{Duration, Instant};

use crate::delivery::Delivery;

/// The target queue as a part of the base: an idle path then fills by a sixth per round, ...
const TARGET_DIVISOR: u32 = 6;
/// ... but at least 3 ms: half of it is about the jitter of timers and schedulers (1–3 ms), and what
/// else looks like a queue is found out by probes, ...
const MIN_TARGET: Duration = Duration::from_millis(3);
/// ... and at most 10 ms, which is far beyond jitter on any path.
const MAX_TARGET: Duration = Duration::from_millis(10);

/// Rates vary by so much on a path that is ours.
const PEAK_TOLERANCE: f64 = 0.8;

/// How long a base that probes have shown to be too low stays raised: so long that a probe of the
/// old one, which takes thirty rounds, costs little; so short that it does not add up where two
/// directions raise it in turn.
const RAISED_BASE_TTL: Duration = Duration::from_secs(5);

/// How much longer the target becomes at most where the path delivers less than it did.
const MAX_TARGET_FACTOR: f64 = 3.0;

/// A rate that changes by less than the first from one half second to the next, on average, is steady; from
/// the second on the target queue is so much longer. A radio link that is given twice the rate for a
/// second uses it only if something waits: with the target of a steady path a download had 0.7 to 0.9 of
/// what CUBIC has on LTE, which keeps a queue ten times as long as this.
const STEADY_CHANGE: f64 = 0.1;
const UNSTEADY_CHANGE: f64 = 0.25;
const MAX_UNSTEADY_FACTOR: f64 = 4.0;

/// The queue that is wanted on a path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TargetQueue {
    /// The least round trip of the path.
    least: Option<Duration>,
    /// Until when the base counts as raised, and to what.
    raised: Option<(Instant, Duration)>,
    /// How much longer the target is than on a path that is ours.
    shared_factor: f64,
    /// How much longer the target is than on a path of a steady rate.
    unsteadiness_factor: f64,
}

impl TargetQueue {
    /// Takes in a sample of the path's round trip.
    pub(super) fn on_sample(&mut self, now: Instant, sample: Duration) {
        self.least = Some(self.least.map_or(sample, |least| least.min(sample)));
        if let Some((until, base)) = &mut self.raised {
            *base = sample.min(*base);
            if now >= *until {
                self.raised = None;
            }
        }
    }

    /// Takes in what the path delivers.
    pub(super) fn on_delivery(&mut self, delivery: &Delivery) {
        let factor = delivery.peak() * PEAK_TOLERANCE / delivery.recent().max(1.0);
        self.shared_factor = factor.clamp(1.0, MAX_TARGET_FACTOR);
        let unsteady =
            (delivery.unsteadiness() - STEADY_CHANGE) / (UNSTEADY_CHANGE - STEADY_CHANGE);
        self.unsteadiness_factor = 1.0 + unsteady.clamp(0.0, 1.0) * (MAX_UNSTEADY_FACTOR - 1.0);
    }

    /// Replaces the least round trip: the route is another one.
    pub(super) fn set_least(&mut self, least: Option<Duration>) {
        self.least = least;
    }

    /// Counts the base as this for a while: probes have shown that it is too low.
    pub(super) fn raise(&mut self, now: Instant, base: Duration) {
        self.raised = Some((now + RAISED_BASE_TTL, base));
    }

    /// Returns the least round trip that was seen.
    pub(super) fn least(&self) -> Option<Duration> {
        self.least
    }

    /// Returns the round trip of the path without a queue.
    pub(super) fn base(&self) -> Option<Duration> {
        self.raised.map(|(_, base)| base).or(self.least)
    }

    /// Returns the queue in a round trip of `rtt`.
    pub(super) fn excess(&self, rtt: Duration) -> Duration {
        rtt.saturating_sub(self.base().unwrap_or(rtt))
    }

    /// Returns the target queue.
    pub(super) fn wanted(&self) -> Duration {
        self.own().mul_f64(self.shared_factor.max(1.0))
    }

    /// Returns the target queue of a path that is ours.
    pub(super) fn own(&self) -> Duration {
        (self.base().unwrap_or_default() / TARGET_DIVISOR)
            .clamp(MIN_TARGET, MAX_TARGET)
            .mul_f64(self.unsteadiness_factor.max(1.0))
    }
}
