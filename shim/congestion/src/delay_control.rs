//! Delay-based control of the window: keeps the queue that our own bulk makes short, so that it does
//! not hurt our own thin flows.
//!
//! The queue of a path is what its round trips take beyond the least one seen (the base). A window
//! that fills the path has a round trip in proportion to it (window = rate × round trip), which gives
//! the window for any target queue at once: window × (base + target) / (base + queue). Compare LEDBAT
//! (RFC 6817) and Copa (Arun and Balakrishnan, NSDI 2018), which move towards a target queue as well.
//!
//! Once per round trip:
//! * Below half the target: that formula. On an unused path it grows the window by an eighth to a
//!   quarter per round, so that a window that is too small recovers within some rounds.
//! * Above one and a half targets: the formula again, downwards, by a quarter at most, and then a
//!   round's wait until the effect shows. At once if our own window has just grown; otherwise after
//!   [`OTHERS_PROBE_ROUNDS`], because the queue may be another sender's probe.
//! * Between them: stay, a packet more per round, and now and then a probe (below).
//!
//! **Whose queue is it?** A round trip does not say: it holds the queue of the reverse direction, in
//! which our acknowledgements wait, and perhaps another sender's. Two answers:
//! * Pings that the peer's clock timed ([`one_way_delay`](crate::one_way_delay)) separate the
//!   directions. A queue in the reverse direction is no reason to shrink.
//! * Only the effect of a change of our own window separates our queue from another sender's, and
//!   every step is such a [`WindowProbe`]. Of a step up or down, the part stays that left the queue
//!   alone. A probe grows the window by what should make one target of queue; if the queue does not
//!   follow, it is not ours and the window grows on. As long as no step has confirmed that the path is
//!   full, probes are quick and bold, because jitter looks like a queue too.
//!
//! Why not control the queue of our own direction alone? Two windows that share a round trip cannot:
//! each one's queue shrinks as the other's grows, and they chase each other.
//!
//! **When shrinking does not help**, [`MAX_FUTILE_STEPS`] times in a row, the window is restored. If the
//! queue is longer than any delay-based sender leaves (four targets), a loss-based one keeps it full:
//! plain CUBIC competes for [`COMPETITION_PERIOD`], or until the queue is gone, and the base is taken
//! anew from what was seen meanwhile. If the queue is shorter, the base counts as too low (a longer
//! route, a lane that began in a queue of ours) and is raised for [`RAISED_BASE_TTL`].
//!
//! What it never does: judge a round that the application limited; shrink for less than 4.5 ms, which
//! on loopback is many round trips. It does not give lanes that share a path equal shares within
//! seconds.
//!
//! Pure: it takes rounds and returns windows.

use std::time::{Duration, Instant};

use crate::rounds::Round;
use crate::window_probe::{QueueDirection, WindowProbe};

/// The target queue as a part of the base: an idle path then fills by a sixth per round, ...
const TARGET_DIVISOR: u32 = 6;
/// ... but at least 3 ms: half of it is about the jitter of timers and schedulers (1–3 ms), and what
/// else looks like a queue is found out by probes, ...
const MIN_TARGET: Duration = Duration::from_millis(3);
/// ... and at most 10 ms, which is far beyond jitter on any path.
const MAX_TARGET: Duration = Duration::from_millis(10);

/// The least growth per round of an idle path, where the target is small against the base.
const MIN_GROWTH: f64 = 1.125;
/// The largest step either way: a wrong guess costs a quarter.
const MAX_STEP: f64 = 0.25;

/// Rounds with the target queue before a probe, whose own queue (one target) lasts for two.
const STEADY_ROUNDS: u32 = 7;
/// Up to this many rounds more, so that two senders do not probe in step.
const PROBE_JITTER_ROUNDS: u64 = 16;

/// Rounds before a probe as long as no step has confirmed that the queue is ours: what looks like a
/// queue may be jitter, and the window a tenth of what the path holds.
const UNCONFIRMED_ROUNDS: u32 = 2;
/// How much rarer probes are while the queue is in our direction: the path is full then, and a probe
/// can only show whether another lane gives way.
const OWN_QUEUE_FACTOR: u32 = 3;

/// A queue within this many rounds of our own growth counts as ours at once ...
const OWN_GROWTH_ROUNDS: u32 = 3;
/// ... otherwise only after as many as another lane's probe and its end take: shrinking for a probe's
/// sake would give up, each time, what our own probes gain.
const OTHERS_PROBE_ROUNDS: u32 = 8;

/// The part of the expected change from which on a queue is ours: from 1.2 ms of 3, about the jitter
/// of the least of some samples, to 4 of 10.
const OWN_SHARE: f64 = 0.4;

/// Steps down in a row, each over two rounds, that had no effect. Between two lanes of ours the
/// other one reacts within four rounds.
const MAX_FUTILE_STEPS: u32 = 3;

/// How long plain CUBIC competes before delay control is tried again: long against the rounds that a
/// trial costs (six of 20–100 ms), short against a bulk transfer.
pub(super) const COMPETITION_PERIOD: Duration = Duration::from_secs(10);

/// How long a base that probes have shown to be too low stays raised: so long that a probe of the
/// old one, which takes thirty rounds, costs little; so short that it does not add up where two
/// directions raise it in turn.
const RAISED_BASE_TTL: Duration = Duration::from_secs(5);

/// Rounds without a long queue in a row that end the competition early. A loss-based competitor keeps
/// the queue full but for a round or two.
const NO_COMPETITOR_ROUNDS: u32 = 10;

/// The delay control of one path.
#[derive(Clone, Debug, Default)]
pub(super) struct DelayControl {
    /// The least round trip of the path.
    base: Option<Duration>,
    /// Until when the base counts as raised, and to what.
    raised: Option<(Instant, Duration)>,
    /// Until when CUBIC competes, and the least round trip since it began.
    competing: Option<(Instant, Option<Duration>)>,
    probe: Option<WindowProbe>,
    /// The next round measures what was sent before the last step, and is skipped.
    skip_round: bool,
    /// Rounds with the target queue, and after how many the next probe comes.
    steady_rounds: u32,
    probe_after: u32,
    /// The window at which a step has confirmed that the queue is ours, and so the path full.
    confirmed_full: Option<u64>,
    /// Rounds since the window last grew by more than a packet.
    since_growth: u32,
    /// Rounds in a row with too long a queue.
    long_rounds: u32,
    futile_steps: u32,
    /// The window before the first futile step.
    window_before_steps: u64,
    /// The window that would have just filled the path when it last left a queue.
    full: Option<u64>,
}

impl DelayControl {
    /// Takes in a sample of the path's round trip.
    pub(super) fn on_sample(&mut self, now: Instant, sample: Duration) {
        let least = |before: Option<Duration>| Some(before.map_or(sample, |b| b.min(sample)));
        self.base = least(self.base);
        if let Some((until, base)) = &mut self.raised {
            *base = sample.min(*base);
            if now >= *until {
                self.raised = None;
            }
        }
        if let Some((until, seen)) = &mut self.competing {
            *seen = least(*seen);
            if now >= *until {
                self.base = *seen;
                self.resume();
            }
        }
    }

    /// Takes in a conclusive round while CUBIC competes: when the queue is gone, so is the competitor.
    pub(super) fn observe_competition(&mut self, rtt: Duration) {
        self.steady_rounds =
            if self.queue(rtt) <= self.max_queue() { self.steady_rounds + 1 } else { 0 };
        if self.steady_rounds >= NO_COMPETITOR_ROUNDS {
            self.resume();
        }
    }

    fn resume(&mut self) {
        self.competing = None;
        (self.futile_steps, self.steady_rounds, self.probe) = (0, 0, None);
    }

    /// Returns whether delay control sets the window; otherwise CUBIC does.
    pub(super) fn is_active(&self) -> bool {
        self.competing.is_none()
    }

    /// Returns the queue in a round trip of `rtt`.
    pub(super) fn queue(&self, rtt: Duration) -> Duration {
        rtt.saturating_sub(self.base().unwrap_or(rtt))
    }

    /// Returns the round trip with the target queue.
    pub(super) fn target_rtt(&self) -> Duration {
        self.base().unwrap_or_default() + self.target()
    }

    /// Returns the longest queue that is left alone.
    pub(super) fn max_queue(&self) -> Duration {
        self.target() * 3 / 2
    }

    /// Ends a probe because the window was reduced for another reason.
    pub(super) fn interrupt(&mut self) {
        self.probe = None;
        self.skip_round = true;
    }

    /// Takes in that growth ended in a queue of our own direction: `window` fills the path.
    pub(super) fn confirm_full(&mut self, window: u64) {
        self.confirmed_full = Some(window);
    }

    /// Returns the window after a conclusive round, where it is `window` now and packets are `mtu` bytes.
    pub(super) fn next_window(
        &mut self,
        now: Instant,
        round: &Round,
        window: u64,
        mtu: u64,
    ) -> u64 {
        let rtt = round.min;
        let queue = self.queue(rtt);
        let direction = self.direction(round);
        let low = self.target() / 2;
        self.since_growth = self.since_growth.saturating_add(1);
        self.long_rounds = if queue > self.max_queue() { self.long_rounds + 1 } else { 0 };
        if std::mem::take(&mut self.skip_round) && queue >= low {
            return window;
        }
        if queue >= low {
            let base = self.base().unwrap_or(rtt).as_secs_f64();
            self.full = Some(scale(window, base / rtt.as_secs_f64()));
        }
        match self.probe.take() {
            Some(probe) if probe.up => self.after_growth(&probe, round, window),
            Some(probe) => self.after_shrinking(&probe, now, round, window),
            None if queue > self.max_queue() && direction != QueueDirection::Reverse => {
                self.on_long_queue(queue, round, window)
            }
            None if queue < low
                || (direction == QueueDirection::Reverse && !self.is_full(window)) =>
            {
                (self.steady_rounds, self.futile_steps, self.since_growth) = (0, 0, 0);
                self.skip_round = self.full.is_some_and(|full| window * 5 > full * 4);
                scale(window, self.factor_to_target(rtt).clamp(MIN_GROWTH, 1.0 + MAX_STEP))
            }
            None => {
                (self.steady_rounds, self.futile_steps) = (self.steady_rounds + 1, 0);
                let factor =
                    if direction == QueueDirection::Forward { OWN_QUEUE_FACTOR } else { 1 };
                let wait = if self.is_full(window) {
                    factor * self.probe_after
                } else {
                    UNCONFIRMED_ROUNDS
                };
                if self.steady_rounds >= wait {
                    self.probe_up(round, window)
                } else if direction == QueueDirection::Reverse {
                    window
                } else {
                    window + mtu
                }
            }
        }
    }

    /// Returns whether it is confirmed that so large a window fills the path.
    fn is_full(&self, window: u64) -> bool {
        self.confirmed_full.is_some_and(|full| window * 5 >= full * 3)
    }

    /// Returns the direction of a round's queue.
    fn direction(&self, round: &Round) -> QueueDirection {
        match round.forward_queue {
            None => QueueDirection::Unknown,
            Some(forward) if forward >= self.target() / 2 => QueueDirection::Forward,
            Some(_) => QueueDirection::Reverse,
        }
    }

    /// Returns the window after a queue that is too long, with no probe under way.
    fn on_long_queue(&mut self, queue: Duration, round: &Round, window: u64) -> u64 {
        let ours = self.since_growth <= OWN_GROWTH_ROUNDS || queue >= self.competitor_queue();
        if ours || self.long_rounds >= OTHERS_PROBE_ROUNDS {
            self.step_down(round, window)
        } else {
            window
        }
    }

    /// Returns the window after the effect of a probe upwards.
    fn after_growth(&mut self, probe: &WindowProbe, round: &Round, window: u64) -> u64 {
        let ours = probe.share(round);
        let room = self.queue(round.min) <= self.max_queue()
            || self.direction(round) == QueueDirection::Reverse;
        if ours < OWN_SHARE && room {
            return self.probe_up(round, window);
        }
        self.end_probe();
        self.confirmed_full = (ours >= OWN_SHARE).then_some(probe.window);
        interpolate(probe.window, window, ours)
    }

    /// Returns the window after the effect of a step down.
    fn after_shrinking(
        &mut self,
        probe: &WindowProbe,
        now: Instant,
        round: &Round,
        window: u64,
    ) -> u64 {
        let rtt = round.min;
        let queue = self.queue(rtt);
        let ours = probe.share(round);
        if ours >= OWN_SHARE {
            self.confirmed_full = Some(window);
        }
        if queue <= self.max_queue() {
            self.futile_steps = 0;
            self.end_probe();
            return interpolate(window, probe.window, 1.0 - ours).min(window);
        }
        if ours >= OWN_SHARE {
            self.futile_steps = 0;
            return self.step_down(round, window);
        }
        self.futile_steps += 1;
        if self.futile_steps == 1 {
            self.window_before_steps = probe.window;
        }
        if self.futile_steps < MAX_FUTILE_STEPS {
            self.end_probe();
            return interpolate(window, probe.window, ours);
        }
        (self.futile_steps, self.steady_rounds) = (0, 0);
        if queue >= self.competitor_queue() {
            self.competing = Some((now + COMPETITION_PERIOD, None));
        } else {
            self.raised = Some((now + RAISED_BASE_TTL, rtt.saturating_sub(self.target())));
        }
        self.window_before_steps.max(probe.window)
    }

    /// Ends a probe; the next round is not judged by it.
    fn end_probe(&mut self) {
        (self.steady_rounds, self.long_rounds) = (0, 0);
        self.since_growth = OWN_GROWTH_ROUNDS + 1;
        self.skip_round = true;
    }

    /// Returns the queue from which on a loss-based competitor is assumed: no delay-based sender leaves it.
    fn competitor_queue(&self) -> Duration {
        4 * self.target()
    }

    fn base(&self) -> Option<Duration> {
        self.raised.map(|(_, base)| base).or(self.base)
    }

    /// Returns the target queue.
    pub(super) fn target(&self) -> Duration {
        (self.base().unwrap_or_default() / TARGET_DIVISOR).clamp(MIN_TARGET, MAX_TARGET)
    }

    fn factor_to_target(&self, rtt: Duration) -> f64 {
        self.target_rtt().as_secs_f64() / rtt.as_secs_f64().max(1e-6)
    }

    fn probe_up(&mut self, round: &Round, window: u64) -> u64 {
        let rtt = round.min;
        // Not in step with the other direction, whose window differs.
        let jitter = (window >> 5) + rtt.as_micros() as u64;
        self.probe_after = STEADY_ROUNDS + (jitter % PROBE_JITTER_ROUNDS) as u32;
        self.steady_rounds = 0;
        self.since_growth = 0;
        self.skip_round = true;
        let step = (self.target().as_secs_f64() / rtt.as_secs_f64().max(1e-6)).min(MAX_STEP);
        let step = if self.is_full(window) { step } else { MAX_STEP };
        self.probe = Some(WindowProbe::new(true, window, round, step));
        scale(window, 1.0 + step)
    }

    fn step_down(&mut self, round: &Round, window: u64) -> u64 {
        let factor = self.factor_to_target(round.min).max(1.0 - MAX_STEP);
        self.skip_round = true;
        self.probe = Some(WindowProbe::new(false, window, round, 1.0 - factor));
        scale(window, factor)
    }
}

/// Returns the window between `low` and `high` that keeps the part of a step which left the queue alone,
/// where `ours` of it did not. Losses during the step may have brought the window below `low`; then it
/// stays there.
fn interpolate(low: u64, high: u64, ours: f64) -> u64 {
    high.saturating_sub(scale(high.saturating_sub(low), ours.clamp(0.0, 1.0)))
}

fn scale(window: u64, factor: f64) -> u64 {
    (window as f64 * factor) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_step_is_within_it_and_a_window_that_losses_shrank_stays() {
        assert_eq!(interpolate(100, 200, 0.0), 200);
        assert_eq!(interpolate(100, 200, 0.25), 175);
        assert_eq!(interpolate(100, 200, 1.0), 100);
        for ours in [-1.0, 0.0, 0.5, 1.0, 2.0, f64::NAN] {
            assert!((100..=200).contains(&interpolate(100, 200, ours)), "{ours}");
            assert_eq!(interpolate(200, 50, ours), 50, "{ours}");
        }
    }
}
