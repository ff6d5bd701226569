//! The window of one path: CUBIC, steered by the queue that it makes.
//!
//! Three phases.
//! * **Slow start**, from a small window: doubles per round ([`QUICK_ROUNDS`]), then grows more
//!   slowly ([`GROWTH`]) until the queue shows. Then the window is set to what the path held.
//! * **Steered** ([`Steer`]): once per round, from the queue.
//! * **CUBIC**, while somebody else keeps the queue full; [`Steer`] says when and for how long.
//!
//! **An outage is not congestion.** A path that lost everything for [`OUTAGE`] (or for so long that
//! RFC 9002 §7.6 calls it persistent congestion) and then answers begins anew as one just dialled
//! would, which is what else the lane's owner would do. What would be left otherwise, two packets
//! and a threshold near them, would keep a lane that carries little that small for the rest of its
//! life, and then bulk has to move to it. No flood comes of it: an initial window per outage.
//!
//! A loss always counts as CUBIC has it. For [`LOSS_MEMORY`] the window then grows freely only up
//! to 90 % of where the loss was and follows CUBIC's curve beyond, steered downwards only: where
//! the buffer is shorter than the wanted queue, losses are what ends growth, and they must not come
//! every third round.

use std::time::{Duration, Instant};

use super::cubic::Cubic;
use super::forward::Forward;
use super::pings::Delay;
use super::rounds::Rounds;
use super::steer::Steer;

/// Slow start doubles up to four times the initial window: two rounds. After that a path of
/// 200 Mbit/s and 20 ms is full in three more, 120 ms after the first byte.
const QUICK_ROUNDS: u64 = 2;

/// What slow start then adds per round. What has already been sent when the queue shows at the
/// sender is in it as well: as much of a round trip as is added per round.
const GROWTH: f64 = 0.2;

/// The least queue that ends slow start: more than jitter makes, because that would leave a window
/// that is a fraction of what the path holds.
const SHOWS: Duration = Duration::from_millis(4);

/// How long a loss says where the path overflows. CUBIC itself would take longer; but senders come
/// and go, and a window on a wrong plateau crawls.
const LOSS_MEMORY: Duration = Duration::from_secs(3);

/// Packets sent over this time and lost, all of them, are an outage: longer than what any queue
/// drops in a row, shorter than a dead lane is given to come back.
const OUTAGE: Duration = Duration::from_millis(300);

/// The least time there is: before the first packet nothing was sent.
const INSTANT: Duration = Duration::from_nanos(1);

/// Slow start waits for so many rounds at most while the queue is in the other direction. Ours to
/// come and theirs are one in a round trip: a window that grew by a queue of theirs is a queue of
/// ours once theirs is gone, and where both directions begin at once that is soon. A queue that
/// stays is somebody else's, and no reason to wait.
const HOLD_ROUNDS: u32 = 4;

/// The least window that steering leaves, in packets: enough for the eight samples of a round in
/// two, and for a queue far longer than the path to be somebody else's.
const FLOOR_PACKETS: u64 = 4;

/// The congestion window and what moves it.
#[derive(Clone, Debug)]
pub(super) struct Window {
    cubic: Cubic,
    rounds: Rounds,
    steer: Steer,
    forward: Forward,
    mtu: u64,
    initial: u64,
    /// When the first packet was sent: from then on the path was asked for an answer.
    began: Option<Instant>,
    /// When the newest acknowledged packet was sent.
    newest_acked: Option<Instant>,
    /// Of what was sent since then, and until then, nothing was acknowledged: the last outage, if
    /// anything was sent in it.
    silence: Option<(Instant, Instant)>,
    /// The path began anew; what was sent before then and is lost belongs to the outage.
    outage_over: Option<Instant>,
    /// The last loss, and the window that it left free.
    loss: Option<(Instant, u64)>,
    /// Rounds that slow start waited for the other direction.
    held: u32,
}

/// In whose direction a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
}

impl Window {
    /// A path with an initial window of `initial` bytes and packets of `mtu` bytes.
    pub(super) fn new(initial: u64, mtu: u16) -> Self {
        Self {
            cubic: Cubic::new(initial, mtu),
            rounds: Rounds::default(),
            steer: Steer::default(),
            forward: Forward::default(),
            mtu: mtu.into(),
            initial,
            began: None,
            newest_acked: None,
            silence: None,
            outage_over: None,
            loss: None,
            held: 0,
        }
    }

    /// The congestion window in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.cubic.window()
    }

    /// The slow start threshold, once there is one.
    pub(super) fn ssthresh(&self) -> Option<u64> {
        self.cubic.ssthresh()
    }

    /// Whether the window still grows exponentially.
    pub(super) fn in_slow_start(&self) -> bool {
        self.cubic.in_slow_start()
    }

    /// A packet is sent at `now`.
    pub(super) fn on_sent(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    /// A packet of `bytes`, sent at `sent`, was acknowledged at `now`. `limited`: the application,
    /// not the window, bounded what was in flight. `rtt` is the smoothed round-trip time.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        limited: bool,
        rtt: Duration,
    ) {
        // A dial that began while the path was dead, too: what it sent in vain is no congestion.
        let heard = self.newest_acked.or(self.began.and_then(|b| b.checked_sub(INSTANT)));
        if let Some(heard) = heard
            && sent.saturating_duration_since(heard) >= OUTAGE
        {
            self.silence = Some((heard, sent));
        }
        self.newest_acked = self.newest_acked.max(Some(sent));
        self.steer.on_sample(now, now.saturating_duration_since(sent));
        let round = self.rounds.on_ack(now, sent, limited);
        if self.in_slow_start() {
            let quick = self.bytes() < self.initial << QUICK_ROUNDS;
            let growth = if quick { 1.0 } else { GROWTH };
            let shows = self.queue_shows().filter(|_| self.steer.steers());
            let held = matches!(shows, Some((_, Whose::Theirs))) && self.held < HOLD_ROUNDS;
            if held && round.is_some() {
                self.held += 1;
            }
            match shows {
                Some((rtt, Whose::Ours)) => self.leave_slow_start(rtt, growth),
                _ if held => {}
                _ => {
                    let bytes = (bytes as f64 * growth) as u64;
                    self.cubic.on_ack(now, sent, bytes, limited, rtt);
                }
            }
            return;
        }
        let free = self.free(now);
        if !self.steer.steers() || self.bytes() >= free {
            self.cubic.on_ack(now, sent, bytes, limited, rtt);
        }
        let Some(round) = round else { return };
        if !round.telling {
            self.steer.interrupt();
        } else if !self.steer.steers() {
            self.steer.watch(round.min);
        } else {
            let before = self.bytes();
            let window = self.steer.judge(now, &round, before, self.mtu);
            let window = if window > before { window.min(free.max(before)) } else { window };
            if window != before {
                self.cubic.set_window(window.max(FLOOR_PACKETS * self.mtu));
            }
        }
    }

    /// A ping measured the path's delay in our direction.
    pub(super) fn on_delay(&mut self, now: Instant, delay: Delay) {
        let queue = self.forward.on_delay(now, delay.micros);
        self.rounds.on_forward(delay.sent, queue);
    }

    /// Packets were lost or marked, the newest of them sent at `sent`. `persistent`: everything was
    /// lost for so long that the path must be taken for a new one (RFC 9002 §7.6).
    pub(super) fn on_congestion(&mut self, now: Instant, sent: Instant, persistent: bool) {
        if self.outage_over.is_some_and(|over| sent < over) {
            return;
        }
        let silent = self.silence.filter(|&(since, until)| since < sent && sent < until);
        if persistent || silent.is_some() {
            let over = silent.map_or(now, |(_, until)| until);
            *self = Self { outage_over: Some(over), ..Self::new(self.initial, self.mtu as u16) };
            return;
        }
        let before = self.bytes();
        self.cubic.on_congestion(now, sent);
        if self.bytes() < before {
            self.loss = Some((now, before * 9 / 10));
            self.steer.interrupt();
        }
    }

    /// Packets are now `mtu` bytes. Smaller ones than before mean that quinn has found larger ones
    /// to vanish on the path (RFC 8899 §4.3): that was no congestion, and the path begins anew.
    pub(super) fn on_mtu_update(&mut self, now: Instant, mtu: u16) {
        if u64::from(mtu) < self.mtu {
            *self = Self { outage_over: Some(now), ..Self::new(self.initial, mtu) };
            return;
        }
        self.mtu = mtu.into();
        self.cubic.on_mtu_update(mtu);
    }

    /// Up to where the window grows without regard to losses.
    fn free(&self, now: Instant) -> u64 {
        match self.loss {
            Some((at, free)) if now.saturating_duration_since(at) < LOSS_MEMORY => free,
            _ => u64::MAX,
        }
    }

    /// The last round trips, if they show the wanted queue, and whose it is: ours unless pings say
    /// that it is all in the other direction.
    fn queue_shows(&self) -> Option<(Duration, Whose)> {
        let target = self.steer.target();
        let long = |rtt: &Duration| self.steer.queue(*rtt) >= target.max(SHOWS);
        let rtt = self.rounds.recent_min().filter(long)?;
        let ours = self.rounds.recent_forward().is_none_or(|queue| queue >= target / 2);
        Some((rtt, if ours { Whose::Ours } else { Whose::Theirs }))
    }

    /// A packet came back after `rtt` with a queue. When it was sent the window was smaller by one
    /// round's growth, and that is what the round trip speaks of.
    fn leave_slow_start(&mut self, rtt: Duration, growth: f64) {
        let fits = self.steer.wanted().as_secs_f64() / rtt.as_secs_f64();
        let window = (self.bytes() as f64 / (1.0 + growth) * fits) as u64;
        self.cubic.set_window(window.max(self.initial.min(self.bytes())));
        self.steer.interrupt();
        if self.rounds.recent_forward().is_some() {
            self.steer.proves_full(self.bytes());
        }
    }
}

#[cfg(test)]
mod tests;
