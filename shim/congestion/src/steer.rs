//! Steers the window by the queue that it makes, so that our bulk does not hurt our own thin flows.
//!
//! The queue of a path is what its round trips take beyond the least one seen. A window that fills
//! the path has a round trip in proportion to it (window = rate × round trip), which gives the
//! window for any wanted queue at once: window × (base + target) / (base + queue).
//!
//! * Below half the target: that formula, which for an unused path is growth by an eighth to a
//!   quarter per round. A window that is too small for whatever reason is whole within some rounds.
//! * Above one and a half targets: the formula again, downwards, at most by a quarter, and then a
//!   round's wait until the effect can be seen. At once if we have just grown; otherwise after
//!   [`PATIENCE`], because it may be another's experiment.
//! * Between them: stay, a packet more per round, and now and then an experiment (below).
//!
//! **Whose queue is it?** A round trip does not tell: it holds the queue of the other direction as
//! well, in which our acknowledgements wait, and perhaps another sender's. Two answers:
//! * Pings that the peer's clock timed ([`forward`](super::forward)) tell the directions apart. A
//!   queue that is not in ours is no reason to shrink.
//! * Only the answer to a change of our own window tells our queue from another sender's, and every
//!   step is such a [`Trial`]. Of a step up or down, the part stays that left the queue alone. An
//!   experiment grows the window by what should make one target of queue; if the queue does not
//!   follow, it is not ours and we grow on. So long as no step has proven that the path is full,
//!   experiments are quick and bold, because jitter looks like a queue too.
//!
//! Why not steer the queue of our direction alone? Two windows that share a round trip cannot: each
//! one's queue shrinks as the other's grows, and they chase each other.
//!
//! **When shrinking does not help**, [`VAIN_STEPS`] times in a row, the window is given back. If the
//! queue is longer than any steering leaves (four targets), somebody who minds losses only keeps it
//! full: plain CUBIC competes for [`TIME_OUT`], or until the queue is gone, and the base is taken
//! anew from what was seen meanwhile. If it is shorter, the base counts as too low (a longer route,
//! a lane that began in a queue of ours) and is raised for [`RAISED`].
//!
//! What it does not do: judge a round that the application limited; shrink for less than 4.5 ms,
//! which on loopback is many round trips; give lanes that share a path equal shares within seconds.
//!
//! Pure: it sees rounds and says windows.

mod trial;

use std::time::{Duration, Instant};

use super::rounds::Round;
use trial::{Place, Trial};

/// The wanted queue: a sixth of the base, so that an idle path is filled by a sixth per round, ...
const TARGET_DIVISOR: u32 = 6;
/// ... but at least 3 ms: half of it is about the jitter of timers and schedulers (1–3 ms), and what
/// more that looks like is found out by experiments, ...
const LEAST_TARGET: Duration = Duration::from_millis(3);
/// ... and at most 10 ms, which is far beyond jitter on any path.
const MOST_TARGET: Duration = Duration::from_millis(10);

/// The least growth per round of an idle path, where the target is small against the base.
const LEAST_GROWTH: f64 = 1.125;
/// The largest step either way: a wrong guess costs a quarter.
const STEP: f64 = 0.25;

/// Rounds with the wanted queue before an experiment, whose own queue (one target) is there for two.
const CALM_ROUNDS: u32 = 7;
/// Up to so many more, so that two do not experiment in step.
const UNEVEN: u64 = 16;

/// As long as no step has shown that the queue is ours, an experiment comes after so many rounds:
/// what looks like a queue may be jitter, and the window a tenth of what the path holds.
const UNPROVEN_ROUNDS: u32 = 2;
/// A queue that is ours says that the path is full; an experiment can only show whether another
/// lane gives way, and comes so much more rarely.
const OURS_RARER: u32 = 3;

/// A queue within this many rounds of our own growth is taken for ours at once ...
const OWN_ROUNDS: u32 = 3;
/// ... but otherwise only after as many as another lane's experiment and its end take: to shrink
/// for its sake would be to give up, each time, what our own experiments gain.
const PATIENCE: u32 = 8;

/// The part of the expected change from which on a queue is ours: from 1.2 ms of 3, about the jitter
/// of the least of some samples, to 4 of 10.
const OURS: f64 = 0.4;

/// Steps down in a row, each over two rounds, that had no effect. Between two lanes of ours the
/// other one reacts within four rounds.
const VAIN_STEPS: u32 = 3;

/// How long plain CUBIC competes before the next try: long against the rounds that a try costs (six
/// of 20–100 ms), short against a bulk transfer.
pub(super) const TIME_OUT: Duration = Duration::from_secs(10);

/// How long a base that trials have shown to be too low stays raised: so long that a trial of the
/// old one, which takes thirty rounds, costs little; so short that it does not add up where two
/// directions raise it in turn.
const RAISED: Duration = Duration::from_secs(5);

/// Rounds without a long queue in a row that end CUBIC's time early. A competitor that is driven by
/// losses leaves the queue full but for a round or two.
const QUIET_ROUNDS: u32 = 10;

/// The steering of one path.
#[derive(Clone, Debug, Default)]
pub(super) struct Steer {
    /// The least round trip of the path.
    base: Option<Duration>,
    /// Until then the base is taken for this, or less.
    raised: Option<(Instant, Duration)>,
    /// Not steering until then, and the least round trip since.
    out: Option<(Instant, Option<Duration>)>,
    trial: Option<Trial>,
    /// The next round measures what was sent before the last step.
    settling: bool,
    /// Rounds with the wanted queue, until the next experiment.
    calm: u32,
    calm_until: u32,
    /// The window at which a step has shown that the queue is ours, and so the path full.
    proven: Option<u64>,
    /// Rounds since we last grew by more than a packet.
    since_growth: u32,
    /// Rounds of too long a queue.
    over: u32,
    vain: u32,
    /// The window before the first vain step.
    whole: u64,
    /// The window that last left a queue, and would without it just fill the path.
    full: Option<u64>,
}

impl Steer {
    /// A sample of the path's round trip.
    pub(super) fn on_sample(&mut self, now: Instant, sample: Duration) {
        let least = |before: Option<Duration>| Some(before.map_or(sample, |b| b.min(sample)));
        self.base = least(self.base);
        if let Some((until, base)) = &mut self.raised {
            *base = sample.min(*base);
            if now >= *until {
                self.raised = None;
            }
        }
        if let Some((until, seen)) = &mut self.out {
            *seen = least(*seen);
            if now >= *until {
                self.base = *seen;
                self.resume();
            }
        }
    }

    /// A telling round while the window is CUBIC's: when the queue has gone, there is no competitor.
    pub(super) fn watch(&mut self, rtt: Duration) {
        self.calm = if self.queue(rtt) <= self.high() { self.calm + 1 } else { 0 };
        if self.calm >= QUIET_ROUNDS {
            self.resume();
        }
    }

    fn resume(&mut self) {
        self.out = None;
        (self.vain, self.calm, self.trial) = (0, 0, None);
    }

    /// Whether the window is steered; otherwise it is CUBIC's.
    pub(super) fn steers(&self) -> bool {
        self.out.is_none()
    }

    /// The queue in a round trip of `rtt`.
    pub(super) fn queue(&self, rtt: Duration) -> Duration {
        rtt.saturating_sub(self.base().unwrap_or(rtt))
    }

    /// The wanted round trip.
    pub(super) fn wanted(&self) -> Duration {
        self.base().unwrap_or_default() + self.target()
    }

    /// The queue that is too long.
    pub(super) fn high(&self) -> Duration {
        self.target() * 3 / 2
    }

    /// The window was reduced for another reason: no trial is of use.
    pub(super) fn interrupt(&mut self) {
        self.trial = None;
        self.settling = true;
    }

    /// Growth ended in a queue of our own direction, which such a `window` leaves as it should be.
    pub(super) fn proves_full(&mut self, window: u64) {
        self.proven = Some(window);
    }

    /// The window after a telling round, where it is `window` now and packets are `mtu` bytes.
    pub(super) fn judge(&mut self, now: Instant, round: &Round, window: u64, mtu: u64) -> u64 {
        let rtt = round.min;
        let queue = self.queue(rtt);
        let place = self.place(round);
        let low = self.target() / 2;
        self.since_growth = self.since_growth.saturating_add(1);
        self.over = if queue > self.high() { self.over + 1 } else { 0 };
        if std::mem::take(&mut self.settling) && queue >= low {
            return window;
        }
        if queue >= low {
            let base = self.base().unwrap_or(rtt).as_secs_f64();
            self.full = Some(scale(window, base / rtt.as_secs_f64()));
        }
        match self.trial.take() {
            Some(trial) if trial.up => self.judge_growth(&trial, round, window),
            Some(trial) => self.judge_shrinking(&trial, now, round, window),
            None if queue > self.high() && place != Place::Theirs => {
                self.too_long(queue, round, window)
            }
            None if queue < low || (place == Place::Theirs && !self.proven(window)) => {
                (self.calm, self.vain, self.since_growth) = (0, 0, 0);
                self.settling = self.full.is_some_and(|full| window * 5 > full * 4);
                scale(window, self.towards_wanted(rtt).clamp(LEAST_GROWTH, 1.0 + STEP))
            }
            None => {
                (self.calm, self.vain) = (self.calm + 1, 0);
                let patience = if place == Place::Ours { OURS_RARER } else { 1 };
                let wait =
                    if self.proven(window) { patience * self.calm_until } else { UNPROVEN_ROUNDS };
                if self.calm >= wait {
                    self.experiment(round, window)
                } else if place == Place::Theirs {
                    window
                } else {
                    window + mtu
                }
            }
        }
    }

    /// Whether it is proven that so large a window fills the path.
    fn proven(&self, window: u64) -> bool {
        self.proven.is_some_and(|full| window * 5 >= full * 3)
    }

    /// Where the queue of a round is.
    fn place(&self, round: &Round) -> Place {
        match round.forward {
            None => Place::Unknown,
            Some(forward) if forward >= self.target() / 2 => Place::Ours,
            Some(_) => Place::Theirs,
        }
    }

    /// A queue that is too long, and no trial under way.
    fn too_long(&mut self, queue: Duration, round: &Round, window: u64) -> u64 {
        let ours = self.since_growth <= OWN_ROUNDS || queue >= self.huge();
        if ours || self.over >= PATIENCE { self.step_down(round, window) } else { window }
    }

    /// After an experiment.
    fn judge_growth(&mut self, trial: &Trial, round: &Round, window: u64) -> u64 {
        let ours = trial.share(round);
        let room = self.queue(round.min) <= self.high() || self.place(round) == Place::Theirs;
        if ours < OURS && room {
            return self.experiment(round, window);
        }
        self.done();
        self.proven = (ours >= OURS).then_some(trial.window);
        keep(trial.window, window, ours)
    }

    /// After a step down.
    fn judge_shrinking(&mut self, trial: &Trial, now: Instant, round: &Round, window: u64) -> u64 {
        let rtt = round.min;
        let queue = self.queue(rtt);
        let ours = trial.share(round);
        if ours >= OURS {
            self.proven = Some(window);
        }
        if queue <= self.high() {
            self.vain = 0;
            self.done();
            return keep(window, trial.window, 1.0 - ours).min(window);
        }
        if ours >= OURS {
            self.vain = 0;
            return self.step_down(round, window);
        }
        self.vain += 1;
        if self.vain == 1 {
            self.whole = trial.window;
        }
        if self.vain < VAIN_STEPS {
            self.done();
            return keep(window, trial.window, ours);
        }
        (self.vain, self.calm) = (0, 0);
        if queue >= self.huge() {
            self.out = Some((now + TIME_OUT, None));
        } else {
            self.raised = Some((now + RAISED, rtt.saturating_sub(self.target())));
        }
        self.whole.max(trial.window)
    }

    /// A trial has ended: the next round is not judged by it.
    fn done(&mut self) {
        (self.calm, self.over) = (0, 0);
        self.since_growth = OWN_ROUNDS + 1;
        self.settling = true;
    }

    /// A queue that no steering of ours or our likes leaves.
    fn huge(&self) -> Duration {
        4 * self.target()
    }

    fn base(&self) -> Option<Duration> {
        self.raised.map(|(_, base)| base).or(self.base)
    }

    /// The wanted queue.
    pub(super) fn target(&self) -> Duration {
        (self.base().unwrap_or_default() / TARGET_DIVISOR).clamp(LEAST_TARGET, MOST_TARGET)
    }

    fn towards_wanted(&self, rtt: Duration) -> f64 {
        self.wanted().as_secs_f64() / rtt.as_secs_f64().max(1e-6)
    }

    fn experiment(&mut self, round: &Round, window: u64) -> u64 {
        let rtt = round.min;
        // Not in step with the other direction, whose window is another.
        let uneven = (window >> 5) + rtt.as_micros() as u64;
        self.calm_until = CALM_ROUNDS + (uneven % UNEVEN) as u32;
        self.calm = 0;
        self.since_growth = 0;
        self.settling = true;
        let step = (self.target().as_secs_f64() / rtt.as_secs_f64().max(1e-6)).min(STEP);
        let step = if self.proven(window) { step } else { STEP };
        self.trial = Some(Trial::new(true, window, round, step));
        scale(window, 1.0 + step)
    }

    fn step_down(&mut self, round: &Round, window: u64) -> u64 {
        let factor = self.towards_wanted(round.min).max(1.0 - STEP);
        self.settling = true;
        self.trial = Some(Trial::new(false, window, round, 1.0 - factor));
        scale(window, factor)
    }
}

/// The part of a step from `low` to `high` that left the queue alone, where `ours` of it did not.
/// Losses during the step may have brought the window below `low`; then it stays there.
fn keep(low: u64, high: u64, ours: f64) -> u64 {
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
        assert_eq!(keep(100, 200, 0.0), 200);
        assert_eq!(keep(100, 200, 0.25), 175);
        assert_eq!(keep(100, 200, 1.0), 100);
        for ours in [-1.0, 0.0, 0.5, 1.0, 2.0, f64::NAN] {
            assert!((100..=200).contains(&keep(100, 200, ours)), "{ours}");
            assert_eq!(keep(200, 50, ours), 50, "{ours}");
        }
    }
}
