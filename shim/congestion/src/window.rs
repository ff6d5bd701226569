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

use std::time::{Duration, Instant};

use crate::cubic::Cubic;
use crate::delay_control::DelayControl;
use crate::one_way_delay::OneWayDelay;
use crate::pings::Delay;
use crate::rounds::Rounds;
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

/// How long a loss says where the path overflows. CUBIC itself would take longer; but senders come
/// and go, and a window on a wrong plateau crawls.
const LOSS_MEMORY: Duration = Duration::from_secs(3);

/// Packets sent over this time and lost, all of them, are an outage: longer than what any queue
/// drops in a row, shorter than a dead lane is given to come back.
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

/// The congestion window and what moves it.
#[derive(Clone, Debug)]
pub(super) struct Window {
    cubic: Cubic,
    rounds: Rounds,
    delay: DelayControl,
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
    /// Rounds that slow start has waited for the reverse direction.
    held: u32,
}

impl Window {
    /// Returns the window of a path with an initial window of `initial` bytes and packets of `mtu` bytes.
    pub(super) fn new(initial: u64, mtu: u16) -> Self {
        Self {
            cubic: Cubic::new(initial, mtu),
            rounds: Rounds::default(),
            delay: DelayControl::default(),
            one_way_delay: OneWayDelay::default(),
            mtu: mtu.into(),
            initial,
            began: None,
            newest_acked: None,
            last_outage: None,
            outage_over: None,
            loss: None,
            held: 0,
        }
    }

    /// Returns the congestion window in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.cubic.window()
    }

    /// Returns the slow start threshold, once there is one.
    pub(super) fn ssthresh(&self) -> Option<u64> {
        self.cubic.ssthresh()
    }

    /// Returns whether the window still grows exponentially.
    pub(super) fn in_slow_start(&self) -> bool {
        self.cubic.in_slow_start()
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
            && sent.saturating_duration_since(answered) >= OUTAGE_AFTER
        {
            self.last_outage = Some((answered, sent));
        }
        self.newest_acked = self.newest_acked.max(Some(sent));
        self.delay.on_sample(now, now.saturating_duration_since(sent));
        let round = self.rounds.on_ack(now, sent, limited);
        if self.in_slow_start() {
            let quick = self.bytes() < self.initial << DOUBLING_ROUNDS;
            let growth = if quick { 1.0 } else { SLOW_START_GROWTH };
            let shows = self.visible_queue().filter(|_| self.delay.is_active());
            let held =
                matches!(shows, Some((_, QueueDirection::Reverse))) && self.held < MAX_HELD_ROUNDS;
            if held && round.is_some() {
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
            return;
        }
        let free = self.free(now);
        if !self.delay.is_active() || self.bytes() >= free {
            self.cubic.on_ack(now, sent, bytes, limited, rtt);
        }
        let Some(round) = round else { return };
        if !round.conclusive {
            self.delay.interrupt();
        } else if !self.delay.is_active() {
            self.delay.observe_competition(round.min);
        } else {
            let before = self.bytes();
            let window = self.delay.next_window(now, &round, before, self.mtu);
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

    /// Takes in that packets were lost or marked, the newest of them sent at `sent`. `persistent`: everything was
    /// lost for so long that the path must be taken for a new one (RFC 9002 §7.6).
    pub(super) fn on_congestion(&mut self, now: Instant, sent: Instant, persistent: bool) {
        if self.outage_over.is_some_and(|over| sent < over) {
            return;
        }
        let outage = self.last_outage.filter(|&(since, until)| since < sent && sent < until);
        if persistent || outage.is_some() {
            let over = outage.map_or(now, |(_, until)| until);
            *self = Self { outage_over: Some(over), ..Self::new(self.initial, self.mtu as u16) };
            return;
        }
        let before = self.bytes();
        self.cubic.on_congestion(now, sent);
        if self.bytes() < before {
            self.loss = Some((now, before * 9 / 10));
            self.delay.interrupt();
        }
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
            Some((at, free)) if now.saturating_duration_since(at) < LOSS_MEMORY => free,
            _ => u64::MAX,
        }
    }

    /// Returns the last round trips, if they show the target queue, and its direction: ours unless pings
    /// show all of it in the reverse direction.
    fn visible_queue(&self) -> Option<(Duration, QueueDirection)> {
        let target = self.delay.target();
        let long = |rtt: &Duration| self.delay.queue(*rtt) >= target.max(MIN_EXIT_QUEUE);
        let rtt = self.rounds.recent_min().filter(long)?;
        let ours = self.rounds.recent_forward_queue().is_none_or(|queue| queue >= target / 2);
        Some((rtt, if ours { QueueDirection::Forward } else { QueueDirection::Reverse }))
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
