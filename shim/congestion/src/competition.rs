//! What the window is while another sender keeps the queue full.
//!
//! A sender that yields to every queue starves beside one that fills it. So CUBIC (RFC 9438) competes; and
//! where the path's capacity is known, because it was ours alone before, the window is held near what half of
//! it needs, whatever the round trip has become: CUBIC alone would need tens of seconds to win back what
//! a newcomer's slow start took (a window of 500 ms of queue grows back in 15 s), and against a sender
//! that does not yield to losses never would.
//!
//! Where the capacity is not known, because the other sender came first, the effect of a step up shows our share:
//! a window that is a quarter of all that is in flight adds a quarter of its growth to the queue. So the
//! window grows by steps until it is about half (`share`).
//!
//! **A capacity may be another by now.** A radio link whose rate falls looks like a newcomer: what is delivered
//! falls, the queue grows, and a step down changes nothing. Half of the old capacity may then be twice the new
//! one. So the capacity is given up where a window for half of it is not delivered, where much is lost in a
//! queue longer than the path, round after round (who yields to losses ends them, and who does not keeps to
//! shorter queues), and where two steps down in a row leave what is delivered as it was.
//!
//! **A rate may turn out to wander** while one competes, as a radio link's does and no competitor has it: what looked
//! like one was the link. Then the competition is over, and only steps in a row that change nothing begin another.
//!
//! It is also over when the queue is short for some rounds; when the capacity is given up; when a step
//! down shows that the queue was our own; and when, after rounds that were all alike, a step up is delivered
//! without any queue: then the route has become longer, and what looked like a queue is none.

mod flat;
mod share;

use std::time::{Duration, Instant};

use self::flat::{FLAT_SPREAD, Flat};
use self::share::{OurShare, PROBE_STEP};
use crate::delivery::Delivery;
use crate::rounds::Round;
use crate::window_probe::WindowProbe;

/// How long CUBIC competes before a step down shows whether there is anybody: first soon, because a radio
/// link whose rate falls looks like a newcomer, then twice as long each time.
const FIRST_PROBE_AFTER: Duration = Duration::from_secs(1);
const MAX_PROBE_AFTER: Duration = Duration::from_secs(8);
/// The longest such time where the rate wanders, and one is misled more easily.
const MAX_UNSTEADY_PROBE_AFTER: Duration = Duration::from_secs(2);
/// From this share of the delivered bytes on the queue is ours.
const ALONE_SHARE: f64 = 0.7;

/// Below this share a window that is half of what the capacity needs shows that the capacity is another.
const WRONG_SHARE: f64 = 0.3;

/// Rounds without a long queue in a row that end the competition. A loss-based competitor keeps the
/// queue full but for a round or two.
const QUIET_ROUNDS: u32 = 10;

/// What is delivered is much less than the window asks for below this part of it, for so long. Below the
/// lesser part the capacity is another for certain; else probes decide.
const FULFILLED: f64 = 0.7;
const WRONG: f64 = 0.5;
const UNFULFILLED_ROUNDS: u32 = 8;
const UNFULFILLED_TIME: Duration = Duration::from_millis(500);
/// Rounds in a row that lose so much in a long queue show the same.
const OVERFLOW_LOSS: f64 = 0.1;
const OVERFLOW_ROUNDS: u32 = 3;
/// Probes that must show it.
const ALONE_PROBES: u32 = 2;

/// The part of the capacity that is held at least, and at most: one other sender gets as much.
const LEAST_SHARE: f64 = 0.48;
const GREATEST_SHARE: f64 = 0.54;
/// At most so much more is sent to make up for losses.
const MAX_COMPENSATION: f64 = 2.0;
/// The same where the queue is longer than the path.
const MAX_COMPENSATION_LONG: f64 = 1.2;

/// Beyond this share the window shrinks, ...
const HALF: f64 = 0.55;
/// ... to this part of it at most.
const MAX_CORRECTION: f64 = 0.8;

/// Below this share of the queue that a step up should make, there is no queue.
const NO_SHARE: f64 = 0.15;

/// For so many rounds a newcomer's slow start that has filled the queue, and how both recover from it, look like a rate
/// that wanders.
const NEWCOMER_ROUNDS: u32 = 6;

/// A competition under way.
#[derive(Clone, Debug)]
pub(super) struct Competition {
    /// Bytes per second that the path carried when it was ours.
    capacity: Option<f64>,
    /// The path's least round trip.
    base: Duration,
    /// The least round trip since it began.
    least: Option<Duration>,
    /// Nothing was lost since then.
    lossless: bool,
    quiet_rounds: u32,
    tried_at: Instant,
    probe_after: Duration,
    probe: Option<WindowProbe>,
    skip_round: bool,
    /// Our share of the queue.
    share: OurShare,
    /// Since when much less was delivered than the window asks for, in how many rounds, and the most of them.
    unfulfilled: Option<(Instant, u32, f64)>,
    /// Rounds in a row that lost much in a long queue.
    overflow_rounds: u32,
    /// Steps down in a row that ask whether anybody else is there.
    alone_probes: u32,
    /// Rounds in a row without losses whose round trips differ by no more than jitter does.
    flat: Flat,
    /// That the rate wanders was known when it began.
    was_unsteady: bool,
    /// Rounds since it began.
    rounds: u32,
    /// The next round shows what a step did, and not the path.
    is_stepping: bool,
}

/// What a round of a competition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It goes on with this window.
    Window(u64),
    /// The queue is short: nobody else fills it.
    Quiet,
    /// The queue is ours.
    Alone,
    /// The queue is ours, and the path delivers less than it did, or its rate wanders.
    Narrower,
    /// There is no queue: the route has become longer.
    LongerRoute,
}

impl Competition {
    /// Begins a competition for a path that carried `capacity` bytes per second when it was ours.
    /// The path's least round trip is `base`; `unsteady`: its rate wanders.
    pub(super) fn new(now: Instant, capacity: Option<f64>, base: Duration, unsteady: bool) -> Self {
        Self {
            capacity,
            base,
            least: None,
            lossless: true,
            quiet_rounds: 0,
            tried_at: now,
            probe_after: FIRST_PROBE_AFTER,
            probe: None,
            skip_round: false,
            share: OurShare::new(now),
            unfulfilled: None,
            overflow_rounds: 0,
            alone_probes: 0,
            flat: Flat::default(),
            was_unsteady: unsteady,
            rounds: 0,
            is_stepping: false,
        }
    }

    /// Returns whether the next round shows what a step did, and not the path.
    pub(super) fn is_stepping(&self) -> bool {
        self.is_stepping
    }

    /// Takes in a sample of the round trip.
    pub(super) fn on_sample(&mut self, sample: Duration) {
        self.least = Some(self.least.map_or(sample, |least| least.min(sample)));
    }

    /// Returns the least round trip since it began.
    pub(super) fn least(&self) -> Option<Duration> {
        self.least
    }

    /// Takes in a conclusive round; `short`: it showed no long queue. The window is `window` now, and the
    /// smoothed round trip `rtt`.
    pub(super) fn on_round(
        &mut self,
        now: Instant,
        round: &Round,
        short: bool,
        delivery: &Delivery,
        window: u64,
        rtt: Duration,
    ) -> Outcome {
        self.share.on_delivery(delivery);
        self.is_stepping = self.probe.is_some() || self.skip_round;
        self.rounds = self.rounds.saturating_add(1);
        let wanders = delivery.is_unsteady()
            && (self.lossless && round.lost == 0 || self.rounds > NEWCOMER_ROUNDS);
        if wanders && !self.was_unsteady {
            return Outcome::Narrower;
        }
        self.quiet_rounds = if short { self.quiet_rounds + 1 } else { 0 };
        let measured = self.capacity.is_none() && self.share.is_known();
        if self.quiet_rounds >= QUIET_ROUNDS && !measured {
            return Outcome::Quiet;
        }
        if std::mem::take(&mut self.skip_round) {
            return Outcome::Window(window);
        }
        self.lossless &= round.lost == 0;
        if let Some(probe) = self.probe.take() {
            self.share.interrupt();
            self.flat = Flat::default();
            let outcome = self.after_probe(now, &probe, round, window);
            let alone_probes = std::mem::take(&mut self.alone_probes);
            return match outcome {
                // One may be chance: a competitor that has just given way.
                Outcome::Alone if (1..ALONE_PROBES).contains(&alone_probes) => {
                    self.alone_probes = alone_probes + 1;
                    self.step(false, round, window)
                }
                Outcome::Alone if alone_probes > 0 => Outcome::Narrower,
                _ => outcome,
            };
        }
        if let Some(outcome) = self.ask(now, round, delivery, window, rtt) {
            return outcome;
        }
        if self.overflows(round) {
            return Outcome::Narrower;
        }
        match self.unfulfilled(now, round) {
            Some(part) if part < WRONG => return Outcome::Narrower,
            Some(_) => {
                self.unfulfilled = None;
                self.alone_probes = 1;
                return self.step(false, round, window);
            }
            None => {}
        }
        let [low, high] = self.bounds(delivery, rtt);
        Outcome::Window(window.min(high).max(low))
    }

    /// Begins a probe, or ends the competition, where a round without one gives a reason to.
    fn ask(
        &mut self,
        now: Instant,
        round: &Round,
        delivery: &Delivery,
        window: u64,
        rtt: Duration,
    ) -> Option<Outcome> {
        self.share.follow(round);
        let least = self.least.unwrap_or(round.min);
        let same = self.lossless && round.min.saturating_sub(least) <= FLAT_SPREAD;
        if self.flat.on_round(now, round) && same {
            return Some(self.step(true, round, window));
        }
        // Where the other sender came first its queue is in the base, and a short one may be its; a step down tells.
        if self.quiet_rounds >= QUIET_ROUNDS {
            self.quiet_rounds = 0;
            if round.min.saturating_sub(self.base.min(least)) <= FLAT_SPREAD {
                return Some(Outcome::Quiet);
            }
            return Some(self.step(false, round, window));
        }
        // A window that is still below what it should be says nothing of that, nor need a small part of a queue.
        let small = self.capacity.is_none() && self.share.is_small();
        let held = window >= self.bounds(delivery, rtt)[0];
        if held && !small && now.saturating_duration_since(self.tried_at) >= self.probe_after {
            self.tried_at = now;
            let most = if self.was_unsteady { MAX_UNSTEADY_PROBE_AFTER } else { MAX_PROBE_AFTER };
            self.probe_after = (2 * self.probe_after).min(most);
            self.alone_probes = 1;
            return Some(self.step(false, round, window));
        }
        if self.capacity.is_none() && self.share.may_grow(now) {
            return Some(self.step(true, round, window));
        }
        None
    }

    /// Returns whether much has been lost for some rounds although the queue is longer than the path: no other
    /// sender does that. One that yields to losses ends them, and one that does not keeps to such a queue.
    fn overflows(&mut self, round: &Round) -> bool {
        let overflow =
            self.capacity.is_some() && round.loss() >= OVERFLOW_LOSS && round.min >= 2 * self.base;
        self.overflow_rounds = if overflow { self.overflow_rounds + 1 } else { 0 };
        self.overflow_rounds >= OVERFLOW_ROUNDS
    }

    /// Returns the greatest part of what a window for half of the capacity asks for that was delivered of late,
    /// if that was much less for long: then the capacity may be another.
    fn unfulfilled(&mut self, now: Instant, round: &Round) -> Option<f64> {
        let part = round.rate() / (self.capacity? * LEAST_SHARE);
        if part >= FULFILLED {
            self.unfulfilled = None;
            return None;
        }
        let (since, rounds, greatest) = self.unfulfilled.get_or_insert((now, 0, 0.0));
        *rounds += 1;
        *greatest = part.max(*greatest);
        if *rounds < UNFULFILLED_ROUNDS || now.saturating_duration_since(*since) < UNFULFILLED_TIME
        {
            return None;
        }
        Some(*greatest)
    }

    /// Begins a probe.
    fn step(&mut self, up: bool, round: &Round, window: u64) -> Outcome {
        // Far below a fair share the next step is as large as it may be and not pass that.
        let step = if up { self.share.step_up(round) } else { -PROBE_STEP };
        self.probe = Some(WindowProbe::new(up, window, round, step.abs()));
        self.skip_round = true;
        Outcome::Window((window as f64 * (1.0 + step)) as u64)
    }

    /// Returns what a probe has shown.
    fn after_probe(
        &mut self,
        now: Instant,
        probe: &WindowProbe,
        round: &Round,
        window: u64,
    ) -> Outcome {
        let share = match probe.up {
            true => self.share.by_step_up(probe, round),
            // Where the queue overflows it says nothing.
            false if round.lost > 0 => probe.rate_share(round),
            false => probe.mean_share(round),
        };
        if !probe.up {
            if share >= ALONE_SHARE {
                return Outcome::Alone;
            }
            if round.lost == 0 && probe.greatest_share(round) < WRONG_SHARE {
                self.capacity = None;
            }
            return Outcome::Window(probe.window.max(window));
        }
        if self.lossless && share < NO_SHARE && probe.change(round) <= FLAT_SPREAD {
            return Outcome::LongerRoute;
        }
        if self.share.on_step_up(share) && self.capacity.is_none() {
            // What was lost meanwhile has reduced the window already.
            return Outcome::Window(window);
        }
        self.share.wait(now, round);
        // More than half: back by what is too much, as far as one measurement is believed.
        let excess = (HALF / share).clamp(MAX_CORRECTION, 1.0);
        Outcome::Window(window.min((probe.window as f64 * excess) as u64))
    }

    /// Returns the bounds of the window where the smoothed round trip is `rtt`.
    pub(super) fn bounds(&self, delivery: &Delivery, rtt: Duration) -> [u64; 2] {
        let Some(capacity) = self.capacity else { return [0, u64::MAX] };
        if let Some(probe) = &self.probe {
            // What is lost meanwhile must not be taken for the effect of the step.
            return [(probe.window as f64 * (1.0 - probe.part)) as u64, u64::MAX];
        }
        let most = if rtt >= 2 * self.base { MAX_COMPENSATION_LONG } else { MAX_COMPENSATION };
        let compensation = (1.0 / (1.0 - delivery.loss()).max(0.1)).min(most);
        let whole = capacity * rtt.as_secs_f64() * compensation;
        // What overflows is not held.
        let least = if self.overflow_rounds == 0 { LEAST_SHARE } else { 0.0 };
        [least, GREATEST_SHARE].map(|share| (whole * share) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Returns after how many rounds a competition ends on a path whose rate wanders, if `known` of it was before;
    /// each round loses so much.
    fn rounds_until_it_ends(known: bool, lost: u64) -> Option<usize> {
        let (start, mut delivery) = (Instant::now(), Delivery::default());
        let mut competition = Competition::new(start, None, 40 * MS, known);
        (1..=20).find(|n| {
            let delivered = if n % 2 == 0 { 600_000 } else { 250_000 };
            let (min, duration) = (300 * MS, 400 * MS);
            let round = Round { min, duration, delivered, lost, ..Round::default() };
            delivery.on_full_round(&round);
            let now = start + *n as u32 * duration;
            let outcome = competition.on_round(now, &round, false, &delivery, 200_000, min);
            outcome == Outcome::Narrower
        })
    }

    #[test]
    fn a_rate_that_turns_out_to_wander_ends_a_competition_once() {
        let early = rounds_until_it_ends(false, 0).unwrap();
        assert!(early <= 5, "{early}");
        // A newcomer that fills the queue has as much change in the rate at first.
        assert_eq!(rounds_until_it_ends(false, 1_000), Some(NEWCOMER_ROUNDS as usize + 1));
        // Where it was known before, only steps end it.
        assert!(rounds_until_it_ends(true, 0).is_none_or(|steps| steps > early));
    }
}
