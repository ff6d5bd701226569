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
//!   `OTHERS_PROBE_ROUNDS`, because the queue may be another sender's probe.
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
//! queue is longer than any delay-based sender leaves (four targets), or overflowed although we did not grow, a
//! loss-based sender keeps it full, and a [`Competition`] begins: CUBIC within bounds, until steps show that
//! nobody else is there (Copa's competitive mode, and Nimbus' elasticity by experiment: Goyal et al., SIGCOMM
//! 2022). It also begins where losses, round after round, come with much less than the path's capacity
//! ([`CROWDED`]): a sender that ignores losses has taken a queue that is too short to show. If the queue is
//! shorter, the base counts as too low (a longer route, a lane that began in a queue of ours) and is raised for
//! some seconds.
//!
//! What it never does: judge a round that the application limited; shrink for less than 4.5 ms, which
//! on loopback is many round trips. It does not give lanes that share a path equal shares within
//! seconds.
//!
//! How long the target is, `target` says; the steps and what their effects show are in `steps`.
//!
//! Pure: it takes rounds and returns windows.

mod steps;
mod target;

use std::time::{Duration, Instant};

use self::target::TargetQueue;
use crate::competition::{Competition, Outcome};
use crate::delivery::Delivery;
use crate::rounds::Round;
use crate::window_probe::{QueueDirection, WindowProbe};

/// The least growth per round of an idle path, where the target is small against the base.
const MIN_GROWTH: f64 = 1.125;
/// The largest step either way: a wrong guess costs a quarter.
const MAX_STEP: f64 = 0.25;

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

/// Steps down in a row, each over two rounds, that had no effect. Between two lanes of ours the
/// other one reacts within four rounds.
const MAX_FUTILE_STEPS: u32 = 3;

/// A path that delivers less than this part of what it did is not ours alone, or is another one ...
const SQUEEZED: f64 = 0.75;
/// ... and a queue is ours only if nearly all of a step down shows in it.
const SQUEEZED_OWN_SHARE: f64 = 0.7;

/// The part of the expected change from which on nobody else uses the path, if so many steps in a row show
/// it: one may be noise, and a capacity that is too low would be competed for with half of it.
const ALONE_SHARE: f64 = 0.7;
const ALONE_STEPS: u32 = 2;

/// A path that loses packets for so many rounds in a row, and delivers less than this part of its capacity
/// meanwhile, has a sender on it that does not yield to losses: one that does ends them.
const CROWDED: f64 = 0.6;
const CROWDED_ROUNDS: u32 = 4;

/// How long after another sender showed a queue that does not follow our window is taken for a competitor's,
/// however short it is: a longer route loses nothing.
const EVIDENCE_TTL: Duration = Duration::from_secs(6);

/// The delay control of one path.
#[derive(Clone, Debug, Default)]
pub(super) struct DelayControl {
    target: TargetQueue,
    /// CUBIC competes.
    competing: Option<Competition>,
    /// When another sender last showed: by a loss that we did not cause, or because the least round trip
    /// became less by more than a lane of ours leaves in the queue.
    others_seen: Option<Instant>,
    /// The base when the last round ended.
    stable_base: Option<Duration>,
    /// The capacity of the path, if steps have shown that it was ours.
    capacity: Option<f64>,
    /// The path's rate wanders.
    is_unsteady: bool,
    probe: Option<WindowProbe>,
    /// The next round measures what was sent before the last step, and is skipped.
    skip_round: bool,
    /// Rounds with the target queue, and after how many the next probe comes.
    steady_rounds: u32,
    probe_after: u32,
    /// The window at which a step has confirmed that the queue is ours, and so the path full.
    confirmed_full: Option<u64>,
    /// Steps in a row that have shown the path to be ours alone.
    alone: u32,
    /// The path has been found to be ours, and to deliver less than it did.
    peak_is_stale: bool,
    /// Rounds in a row that lost packets and delivered much less than the capacity.
    crowded_rounds: u32,
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
        self.target.on_sample(now, sample);
        if self.stable_base.is_some_and(|stable| sample + 2 * self.own_target() < stable) {
            self.stable_base = Some(sample);
            self.others_seen = Some(now);
        }
        if let Some(competition) = &mut self.competing {
            competition.on_sample(sample);
        }
    }

    /// Takes in a conclusive round while CUBIC competes; returns the window.
    pub(super) fn compete(
        &mut self,
        now: Instant,
        round: &Round,
        delivery: &Delivery,
        window: u64,
        rtt: Duration,
    ) -> u64 {
        let short = self.queue(round.min) <= self.max_queue();
        let Some(competition) = &mut self.competing else { return window };
        match competition.on_round(now, round, short, delivery, window, rtt) {
            Outcome::Window(window) => return window,
            Outcome::Quiet | Outcome::Alone => {}
            Outcome::Narrower => (self.peak_is_stale, self.alone) = (true, 0),
            Outcome::LongerRoute => self.target.set_least(competition.least()),
        }
        self.resume();
        self.on_delivery(delivery);
        window
    }

    /// Returns the least window while CUBIC competes.
    pub(super) fn least_window(&self, delivery: &Delivery, rtt: Duration) -> u64 {
        self.competing.as_ref().map_or(0, |competition| competition.bounds(delivery, rtt)[0])
    }

    /// Takes in what the path delivers.
    pub(super) fn on_delivery(&mut self, delivery: &Delivery) {
        self.target.on_delivery(delivery);
        self.is_unsteady = delivery.is_unsteady();
        let known = self.alone >= ALONE_STEPS && !self.is_unsteady;
        self.capacity = known.then(|| delivery.peak());
        self.stable_base = self.target.least();
    }

    /// Returns whether what the path delivered before says nothing of it any more; once.
    pub(super) fn take_stale_peak(&mut self) -> bool {
        std::mem::take(&mut self.peak_is_stale)
    }

    /// Begins to compete where a sender that does not yield to losses has taken most of a short queue's path;
    /// returns whether it does.
    pub(super) fn compete_if_crowded(&mut self, now: Instant, round: &Round) -> bool {
        let crowded = round.lost > 0
            && self.capacity.is_some_and(|capacity| round.rate() < capacity * CROWDED);
        self.crowded_rounds = if crowded { self.crowded_rounds + 1 } else { 0 };
        if self.crowded_rounds < CROWDED_ROUNDS {
            return false;
        }
        self.crowded_rounds = 0;
        self.competing = Some(self.competition(now));
        true
    }

    /// Takes in a round that says nothing of whether the path is crowded: those in a row end.
    pub(super) fn skip_crowded(&mut self) {
        self.crowded_rounds = 0;
    }

    fn competition(&self, now: Instant) -> Competition {
        Competition::new(now, self.capacity, self.path_rtt(), self.is_unsteady)
    }

    fn resume(&mut self) {
        self.competing = None;
        (self.futile_steps, self.steady_rounds, self.probe) = (0, 0, None);
    }

    /// Returns whether delay control sets the window; otherwise CUBIC does.
    pub(super) fn is_active(&self) -> bool {
        self.competing.is_none()
    }

    /// Returns whether the next round shows what a step of a competition did, and not the path.
    pub(super) fn is_stepping(&self) -> bool {
        self.competing.as_ref().is_some_and(Competition::is_stepping)
    }

    /// Returns the queue in a round trip of `rtt`.
    pub(super) fn queue(&self, rtt: Duration) -> Duration {
        self.target.excess(rtt)
    }

    /// Returns the round trip with the target queue.
    pub(super) fn target_rtt(&self) -> Duration {
        self.path_rtt() + self.target()
    }

    /// Returns the least round trip of the path.
    pub(super) fn path_rtt(&self) -> Duration {
        self.target.base().unwrap_or_default()
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

    /// Takes in that packets were lost at `now`, and the window was reduced from `before` to `window`. A
    /// loss in a long queue, when the window has not grown, is another sender's doing, if the cut shows that.
    pub(super) fn on_loss(&mut self, now: Instant, last: &Round, before: u64, window: u64) {
        self.interrupt();
        let long = self.queue(last.min) > self.own_target() * 3 / 2;
        let reverse = self.direction(last) == QueueDirection::Reverse;
        if (self.since_growth > OWN_GROWTH_ROUNDS || self.is_squeezed(last)) && long && !reverse {
            self.others_seen = Some(now);
            let part = 1.0 - window as f64 / before as f64;
            // A radio link whose rate falls drops what was sent for the rate before.
            if !self.is_unsteady {
                self.futile_steps = MAX_FUTILE_STEPS - 1;
            }
            self.window_before_steps = before;
            self.probe = Some(WindowProbe::overflow(before, last, part));
        }
    }

    /// Takes in that a window larger than `window` overflowed the path.
    pub(super) fn note_full(&mut self, window: u64) {
        self.full = Some(window);
    }

    /// Returns whether neither a queue nor an overflow has shown yet.
    pub(super) fn was_never_full(&self) -> bool {
        self.full.is_none()
    }

    /// Takes in that growth ended in a queue of our own direction: `window` fills the path.
    pub(super) fn confirm_full(&mut self, window: u64) {
        self.confirmed_full = Some(window);
    }

    /// Returns the window after a conclusive round, where it is `window` now and packets are `mtu` bytes.
    /// A path that never had a queue is filled by `first_step` per round at most.
    pub(super) fn next_window(
        &mut self,
        now: Instant,
        round: &Round,
        window: u64,
        mtu: u64,
        first_step: f64,
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
            let base = self.target.base().unwrap_or(rtt).as_secs_f64();
            self.full = Some(scale(window, base / rtt.as_secs_f64()));
        }
        match self.probe.take() {
            Some(probe) if probe.up => self.after_growth(&probe, round, window),
            Some(probe) => self.after_shrinking(&probe, now, round, window),
            None if queue > self.max_queue() && direction != QueueDirection::Reverse => {
                self.on_long_queue(now, queue, round, window)
            }
            None if queue < low
                || (direction == QueueDirection::Reverse && !self.is_full(window)) =>
            {
                (self.steady_rounds, self.futile_steps, self.since_growth) = (0, 0, 0);
                self.skip_round = self.full.is_some_and(|full| window * 5 > full * 4);
                let factor = match self.full {
                    None if first_step > MAX_STEP => 1.0 + first_step,
                    _ => self.factor_to_target(rtt).clamp(MIN_GROWTH, 1.0 + MAX_STEP),
                };
                scale(window, factor)
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

    /// Returns whether so long a queue is a loss-based sender's if it is not ours: no delay-based sender
    /// leaves it, or it overflowed although we did not grow.
    fn shows_others(&self, now: Instant, round: &Round) -> bool {
        let queue = self.queue(round.min);
        let forward = round.forward_queue.unwrap_or(queue);
        self.others_seen_lately(now) || queue.min(2 * forward) >= self.competitor_queue()
    }

    fn others_seen_lately(&self, now: Instant) -> bool {
        self.others_seen.is_some_and(|at| now.saturating_duration_since(at) < EVIDENCE_TTL)
    }

    /// Returns whether the path delivers much less than it did: another sender has the rest, or its
    /// capacity is less.
    fn is_squeezed(&self, round: &Round) -> bool {
        self.capacity.is_some_and(|capacity| round.rate() < capacity * SQUEEZED)
    }

    /// Returns the queue from which on a loss-based competitor is assumed: no delay-based sender leaves it.
    fn competitor_queue(&self) -> Duration {
        4 * self.own_target()
    }

    /// Returns the target queue.
    pub(super) fn target(&self) -> Duration {
        self.target.wanted()
    }

    /// Returns the target queue of a path that is ours.
    pub(super) fn own_target(&self) -> Duration {
        self.target.own()
    }
}

fn scale(window: u64, factor: f64) -> u64 {
    (window as f64 * factor) as u64
}
