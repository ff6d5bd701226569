//! The window of one path: CUBIC (RFC 9438) under delay control.
//!
//! Three phases:
//! * **Slow start**, from a small window: doubles per round ([`DOUBLING_ROUNDS`]), then grows more
//!   slowly ([`SLOW_START_GROWTH`]) until a queue shows. Then the window is set to what the path held.
//! * **Delay control** ([`DelayControl`]): once per round, from the queue.
//! * **CUBIC**, while another sender keeps the queue full; [`DelayControl`] says when and for how long.
//!
//! **An outage is not congestion.** A path that lost everything for [`OUTAGE_AFTER`] (or for so long
//! that RFC 9002 §7.6 calls it persistent congestion) and then answers starts afresh, as one just dialed
//! would, which is what else the lane's owner would do. The RFC would leave two packets and a threshold
//! near them, which keep a lane that carries little that small for the rest of its life, until bulk has
//! to move to it. An initial window per outage floods nothing.
//!
//! A loss always counts as CUBIC has it. For [`LOSS_MEMORY`] the window then grows freely only up to
//! 90 % of where the loss was and follows CUBIC's curve beyond, delay control only shrinking it: where
//! the buffer is shorter than the target queue, losses are what ends growth, and they must not come
//! every third round.
//!
//! Where probes of a smaller window have shown that the losses are our doing (a policer, a queue of some
//! milliseconds), they are yielded to as CUBIC does, and the window grows by its curve only: whoever
//! tolerated them would have ten times what a CUBIC beside it gets.

use std::time::{Duration, Instant};

use crate::cubic::Cubic;
use crate::delay_control::DelayControl;
use crate::delivery::Delivery;
use crate::loss::{LossModel, Phase, REDUCED_ROUNDS, REDUCED_WINDOW};
use crate::one_way_delay::OneWayDelay;
use crate::pings::Delay;
use crate::rounds::{MIN_SAMPLES, Round, Rounds};
use crate::window_probe::QueueDirection;

/// Slow start doubles up to four times the initial window: two rounds. After that a path of
/// 200 Mbit/s and 20 ms is full in three more, 120 ms after the first byte.
const DOUBLING_ROUNDS: u64 = 2;

/// What slow start then adds per round. What has already been sent when the queue shows at the
/// sender is in it as well: as much of a round trip as is added per round.
const SLOW_START_GROWTH: f64 = 0.2;

/// The least queue that ends slow start: more than jitter makes, because that would leave a window
/// that is a fraction of what the path holds.
const MIN_EXIT_QUEUE: Duration = Duration::from_millis(4);

/// On paths longer than this slow start adds more per round, in proportion, and doubles from 200 ms on: a
/// satellite's 600 ms would take ten seconds to fill, and what a newcomer finds in another sender's queue
/// of 200 ms it would never get a share of. What it overshoots is then as long as the path, at most.
const SHORT_PATH: Duration = Duration::from_millis(40);

/// The least queue that ends slow start, as a part of the path's round trip: what jitter is on long paths,
/// and less than what a round of our own growth adds.
const EXIT_DIVISOR: u32 = 8;

/// How long a loss says where the path overflows. CUBIC itself would take longer; but senders come
/// and go, and a window on a wrong plateau crawls.
const LOSS_MEMORY: Duration = Duration::from_secs(3);

/// How long it counts as known that losses are our doing: as long as some probes of a smaller window take.
const CAUSED_TTL: Duration = Duration::from_secs(10);
/// What such a loss leaves of what the path delivers: a little more than CUBIC's 0.7, which it leaves of a window
/// that has grown beyond that.
const SHORT_YIELD: f64 = 0.75;

/// Packets sent over this time and lost, all of them, are an outage: longer than what any queue
/// drops in a row, shorter than a dead lane is given to come back. On longer paths it takes two round
/// trips: a small window leaves in bursts, a round trip apart, and a full queue may have all of one.
const OUTAGE_AFTER: Duration = Duration::from_millis(300);

/// The least time there is: before the first packet nothing was sent.
const TICK: Duration = Duration::from_nanos(1);

/// How many rounds slow start waits at most while the queue is in the reverse direction. A round trip
/// holds both queues: a window that grew by the reverse one has it in its own direction once that is
/// gone, and where both directions begin at once that is soon. A queue that stays is another sender's,
/// and no reason to wait.
const MAX_HELD_ROUNDS: u32 = 4;

/// The least window that delay control leaves, in packets: enough for the eight samples of a round in
/// two, and for a queue far longer than the path to be somebody else's.
const MIN_WINDOW_PACKETS: u64 = 4;

/// Interval of the probes of a smaller window on a path that loses much: they cost a tenth of it then.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_ROUNDS: u32 = 8;
/// The same until they have shown enough.
const FIRST_PROBES_ROUNDS: u32 = 4;

/// A window so small that a round has too few samples to tell anything grows by a packet per round (as
/// Reno's, RFC 5681 §3.1).
const SMALL_WINDOW_PACKETS: u64 = MIN_SAMPLES as u64 + 2;

/// The least window of a path that carries thin flows only, in packets: an initial window (RFC 6928). What
/// is lost was not lost because of them, and they cannot grow the window again (RFC 7661): a few lost
/// packets a minute would leave two, and messages would wait for seconds. They send less than 12.5 kB/s each.
const THIN_WINDOW_PACKETS: u64 = 10;

/// A path carries thin flows only while less than this part of its packets is full.
const THIN_SHARE: f32 = 0.25;

/// The weight of a packet in that part.
const SHARE_WEIGHT: f32 = 1.0 / 32.0;

/// The congestion window and what moves it.
#[derive(Clone, Debug)]
pub(super) struct Window {
    cubic: Cubic,
    rounds: Rounds,
    delay: DelayControl,
    delivery: Delivery,
    losses: LossModel,
    /// The rounds that are left of a probe of a smaller window, and the window before; when the last began.
    reduced: Option<(u32, u64)>,
    reduced_at: Option<Instant>,
    /// The last round, and the smoothed round trip.
    last_round: Round,
    rtt: Duration,
    one_way_delay: OneWayDelay,
    mtu: u64,
    initial: u64,
    /// When the first packet was sent.
    began: Option<Instant>,
    /// When the newest acknowledged packet was sent.
    newest_acked: Option<Instant>,
    /// Of what was sent since then, and until then, nothing was acknowledged: the last outage, if
    /// anything was sent in it.
    last_outage: Option<(Instant, Instant)>,
    /// When the path last started afresh; what was sent before and is lost belongs to the outage.
    outage_over: Option<Instant>,
    /// When the last loss was, and up to which window growth is free.
    loss: Option<(Instant, u64)>,
    /// Until when it counts as known that losses are our doing.
    caused_until: Option<Instant>,
    /// Rounds that slow start has waited for the reverse direction.
    held: u32,
    /// The part of full packets among the last ones acknowledged.
    full_share: f32,
    /// Rounds since a probe of a smaller window ended: the first ones still show it.
    rounds_since_probe: u32,
}

impl Window {
    /// Returns the window of a path with an initial window of `initial` bytes and packets of `mtu` bytes.
    pub(super) fn new(initial: u64, mtu: u16) -> Self {
        Self {
            cubic: Cubic::new(initial, mtu),
            rounds: Rounds::default(),
            delay: DelayControl::default(),
            delivery: Delivery::default(),
            losses: LossModel::default(),
            reduced: None,
            reduced_at: None,
            last_round: Round::default(),
            rtt: Duration::ZERO,
            one_way_delay: OneWayDelay::default(),
            mtu: mtu.into(),
            initial,
            began: None,
            newest_acked: None,
            last_outage: None,
            outage_over: None,
            loss: None,
            caused_until: None,
            held: 0,
            full_share: 1.0,
            rounds_since_probe: REDUCED_ROUNDS,
        }
    }

    /// Returns the congestion window in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let thin = self.full_share < THIN_SHARE;
        self.cubic.window().max(if thin { THIN_WINDOW_PACKETS * self.mtu } else { 0 })
    }

    /// Returns the slow start threshold, once there is one.
    pub(super) fn ssthresh(&self) -> Option<u64> {
        self.cubic.ssthresh()
    }

    /// Returns whether the window still grows exponentially.
    pub(super) fn in_slow_start(&self) -> bool {
        self.cubic.in_slow_start()
    }

    /// Returns the part of what is sent that is lost.
    pub(super) fn loss(&self) -> f64 {
        self.losses.usual()
    }

    /// Takes in that a packet is sent at `now`.
    pub(super) fn on_sent(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    /// Takes in that a packet of `bytes`, sent at `sent`, was acknowledged at `now`. `limited`: the application,
    /// not the window, bounded what was in flight. `rtt` is the smoothed round-trip time.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        limited: bool,
        rtt: Duration,
    ) {
        // This covers a dial that began while the path was dead: what it lost then is no congestion.
        let answered = self.newest_acked.or(self.began.and_then(|b| b.checked_sub(TICK)));
        if let Some(answered) = answered
            && sent.saturating_duration_since(answered) >= OUTAGE_AFTER.max(2 * self.rtt)
        {
            self.last_outage = Some((answered, sent));
        }
        self.newest_acked = self.newest_acked.max(Some(sent));
        let full = f32::from(u8::from(2 * bytes >= self.mtu));
        self.full_share += (full - self.full_share) * SHARE_WEIGHT;
        self.delay.on_sample(now, now.saturating_duration_since(sent));
        let round = self.rounds.on_ack(now, sent, bytes, limited);
        self.count_loss(bytes, 0);
        self.rtt = rtt;
        if let Some(round) = &round {
            self.delivery.on_round(now, round, !self.delay.is_active());
            if !self.delay.is_active() && round.in_use && !self.delay.is_stepping() {
                self.delivery.on_full_round(round);
            } else if !self.delay.is_active() || !round.conclusive || self.delay.was_never_full() {
                self.delivery.interrupt();
            } else if self.reduced.is_none() && self.rounds_since_probe >= REDUCED_ROUNDS {
                self.delivery.on_full_round(round);
            }
            self.rounds_since_probe = self.rounds_since_probe.saturating_add(1);
            if self.delay.is_active() {
                self.delay.on_delivery(&self.delivery);
            }
            self.last_round = *round;
        }
        if self.in_slow_start() {
            return self.grow_in_slow_start(now, sent, bytes, limited, round.is_some());
        }
        if !self.delay.is_active() || self.bytes() >= self.free(now) {
            self.cubic.on_ack(now, sent, bytes, limited, rtt);
        }
        if let Some(round) = round {
            self.on_round(now, &round);
        }
    }

    /// Grows by an acknowledgement as long as no queue of ours shows.
    fn grow_in_slow_start(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        limited: bool,
        ends_round: bool,
    ) {
        let rtt = self.rtt;
        let quick = self.bytes() < self.initial << DOUBLING_ROUNDS;
        let growth = if quick { 1.0 } else { self.slow_start_growth() };
        let shows = self.visible_queue().filter(|_| self.delay.is_active());
        let held =
            matches!(shows, Some((_, QueueDirection::Reverse))) && self.held < MAX_HELD_ROUNDS;
        if held && ends_round {
            self.held += 1;
        }
        match shows {
            Some((rtt, QueueDirection::Forward)) => self.leave_slow_start(rtt, growth),
            _ if held => {}
            _ => {
                let bytes = (bytes as f64 * growth) as u64;
                self.cubic.on_ack(now, sent, bytes, limited, rtt);
            }
        }
    }

    /// Chooses the window after a round, outside slow start.
    fn on_round(&mut self, now: Instant, round: &Round) {
        let free = self.free(now);
        let may_be_crowded = round.conclusive && self.delay.is_active() && !self.losses.is_own();
        if !may_be_crowded {
            self.delay.skip_crowded();
        }
        if !round.conclusive {
            self.delay.interrupt();
            let small = self.bytes() < SMALL_WINDOW_PACKETS * self.mtu;
            if round.in_use && small && !self.is_caused(now) {
                self.cubic.set_window(self.bytes() + self.mtu);
            }
        } else if !self.delay.is_active() {
            let before = self.bytes();
            let window = self.delay.compete(now, round, &self.delivery, before, self.rtt);
            if self.delay.take_stale_peak() {
                self.delivery.forget_peak();
            }
            if window != before {
                self.cubic.set_window(window.max(MIN_WINDOW_PACKETS * self.mtu));
            }
        } else if may_be_crowded && self.delay.compete_if_crowded(now, round) {
            self.reduced = None;
        } else if !self.try_smaller_window(now, round) {
            let before = self.bytes();
            let step = self.slow_start_growth();
            let window = self.delay.next_window(now, round, before, self.mtu, step);
            let window = if window > before { window.min(free.max(before)) } else { window };
            if window != before {
                self.cubic.set_window(window.max(MIN_WINDOW_PACKETS * self.mtu));
            }
        }
    }

    /// Takes in that a ping measured the path's delay in our direction.
    pub(super) fn on_delay(&mut self, now: Instant, delay: Delay) {
        let queue = self.one_way_delay.on_delay(now, delay.micros);
        self.rounds.on_forward_queue(delay.sent, queue);
    }

    /// Takes in that packets of `bytes` together were lost or marked, the newest of them sent at `sent`.
    /// `persistent`: everything was lost for so long that the path must be taken for a new one (RFC 9002 §7.6).
    pub(super) fn on_congestion(
        &mut self,
        now: Instant,
        sent: Instant,
        persistent: bool,
        bytes: u64,
    ) {
        self.rounds.on_lost(bytes);
        self.count_loss(0, bytes);
        if self.outage_over.is_some_and(|over| sent < over) {
            return;
        }
        let outage = self.last_outage.filter(|&(since, until)| since < sent && sent < until);
        if persistent || outage.is_some() {
            let over = outage.map_or(now, |(_, until)| until);
            *self = Self { outage_over: Some(over), ..Self::new(self.initial, self.mtu as u16) };
            return;
        }
        let caused = self.is_caused(now);
        // A probe of a smaller window is a cut already.
        let tolerated = self.reduced.is_some() || !caused && self.is_tolerated();
        let own = self.losses.is_own_part(self.last_round.loss());
        if self.delay.is_active() && (own || tolerated && !self.shows_queue()) {
            self.loss = Some((now, self.bytes() * 9 / 10));
            return;
        }
        let (before, first) = (self.bytes(), self.in_slow_start());
        self.cubic.on_congestion(now, sent);
        if self.bytes() >= before {
            return;
        }
        self.reduced = None;
        let least = if self.delay.is_active() {
            // What the path delivers without a queue: to go below that would not spare a loss.
            let overflows = caused && !self.shows_queue();
            let rate =
                if overflows { SHORT_YIELD * self.delivery.mean() } else { self.delivery.recent() };
            (rate * self.delay.path_rtt().as_secs_f64()) as u64
        } else {
            self.delay.least_window(&self.delivery, self.rtt)
        };
        if least.min(before) > self.bytes() {
            self.cubic.set_window(least.min(before));
        }
        if self.delay.is_active() {
            self.loss = Some((now, if caused { self.bytes() } else { before * 9 / 10 }));
            if !first {
                self.delay.note_full(self.bytes());
            }
            self.delay.on_loss(now, &self.last_round, before, self.bytes());
        }
    }

    /// Returns whether losses are known to be our doing. Then the window is CUBIC's below a queue that delay control
    /// can see: it yields to each loss, and grows by CUBIC's curve only.
    fn is_caused(&self, now: Instant) -> bool {
        self.caused_until.is_some_and(|until| now < until)
    }

    /// Returns whether what is lost without a queue is no congestion.
    fn is_tolerated(&self) -> bool {
        self.losses.is_tolerated(self.mtu, self.delay.was_never_full())
    }

    /// Counts what was delivered and lost.
    fn count_loss(&mut self, delivered: u64, lost: u64) {
        let phase = match self.reduced {
            // The first of these rounds shows what was sent before.
            Some((left, _)) if left >= REDUCED_ROUNDS => Phase::Control,
            Some(_) => Phase::Reduced,
            None => Phase::Usual,
        };
        self.losses.on_bytes(delivered, lost, phase, self.mtu);
    }

    /// Where much is lost without a queue, tries now and then whether as much is lost at a smaller window;
    /// returns whether that is under way.
    fn try_smaller_window(&mut self, now: Instant, round: &Round) -> bool {
        if let Some((left, before)) = self.reduced.take() {
            if left > 1 {
                self.reduced = Some((left - 1, before));
            } else {
                self.cubic.set_window(before);
                self.losses.end_pair(self.mtu);
                self.caused_until = self.losses.is_caused().then_some(now + CAUSED_TTL);
                self.delay.interrupt();
                self.rounds_since_probe = 0;
            }
            return true;
        }
        let interval = if self.losses.is_known(self.mtu) {
            PROBE_INTERVAL.max(PROBE_ROUNDS * round.duration)
        } else {
            FIRST_PROBES_ROUNDS * round.duration
        };
        let due = self.reduced_at.is_none_or(|at| now.saturating_duration_since(at) >= interval);
        let filling = self.delay.was_never_full() && self.is_tolerated();
        if !due || filling || !self.losses.wants_probe() || self.shows_queue() {
            return false;
        }
        self.losses.begin_pair();
        self.reduced = Some((REDUCED_ROUNDS, self.bytes()));
        self.reduced_at = Some(now);
        self.cubic.set_window((self.bytes() as f64 * REDUCED_WINDOW) as u64);
        self.delay.interrupt();
        true
    }

    /// Returns whether the last round trips show a queue.
    fn shows_queue(&self) -> bool {
        let recent = self.rounds.recent_min().unwrap_or(self.last_round.min);
        let longest = recent.max(self.last_round.min);
        self.delay.queue(longest) > self.delay.own_target()
    }

    /// Takes in that packets are now `mtu` bytes. A smaller MTU means that quinn found larger packets to
    /// vanish on the path (RFC 8899 §4.3): that was no congestion, and the path starts afresh.
    pub(super) fn on_mtu_update(&mut self, now: Instant, mtu: u16) {
        if u64::from(mtu) < self.mtu {
            *self = Self { outage_over: Some(now), ..Self::new(self.initial, mtu) };
            return;
        }
        self.mtu = mtu.into();
        self.cubic.on_mtu_update(mtu);
    }

    /// Returns up to which window growth is free of CUBIC's curve.
    fn free(&self, now: Instant) -> u64 {
        match self.loss {
            _ if self.losses.is_own() => u64::MAX,
            _ if self.delay.was_never_full() && self.is_tolerated() => u64::MAX,
            Some((_, free)) if self.is_caused(now) => free,
            Some((at, free)) if now.saturating_duration_since(at) < LOSS_MEMORY => free,
            _ => u64::MAX,
        }
    }

    /// Returns the last round trips, if they show the target queue, and its direction: ours unless pings
    /// show all of it in the reverse direction.
    fn visible_queue(&self) -> Option<(Duration, QueueDirection)> {
        let target = self.delay.target();
        let least = target.max(MIN_EXIT_QUEUE).max(self.delay.path_rtt() / EXIT_DIVISOR);
        let long = |rtt: &Duration| self.delay.queue(*rtt) >= least;
        let rtt = self.rounds.recent_min().filter(long)?;
        let ours = self.rounds.recent_forward_queue().is_none_or(|queue| queue >= target / 2);
        Some((rtt, if ours { QueueDirection::Forward } else { QueueDirection::Reverse }))
    }

    /// Returns what slow start adds per round once it does not double.
    fn slow_start_growth(&self) -> f64 {
        let base = self.delay.path_rtt().as_secs_f64();
        (SLOW_START_GROWTH * base / SHORT_PATH.as_secs_f64()).clamp(SLOW_START_GROWTH, 1.0)
    }

    /// Ends slow start after a round trip of `rtt` with a queue. When that packet was sent the window was
    /// smaller by one round's growth, and the round trip tells of that window.
    fn leave_slow_start(&mut self, rtt: Duration, growth: f64) {
        let fits = self.delay.target_rtt().as_secs_f64() / rtt.as_secs_f64();
        let window = (self.bytes() as f64 / (1.0 + growth) * fits) as u64;
        self.cubic.set_window(window.max(self.initial.min(self.bytes())));
        self.delay.interrupt();
        if self.rounds.recent_forward_queue().is_some() {
            self.delay.confirm_full(self.bytes());
        }
    }
}

#[cfg(test)]
mod tests;
