//! The lane sensor: what quinn tells the congestion controller of every packet, kept where the lane
//! task can read it at any time and without quinn's lock.
//!
//! One sensor serves a connection for its life. Of the controllers that quinn builds or clones for
//! the connection's paths, the one that *sent* last is active; the others' events are ignored. Each
//! change of the active controller, and each [`LaneSensor::migrating`], begins a new epoch: nothing
//! is outstanding, and round-trip times are unknown.
//!
//! What is outstanding is a ring of send times. Quinn reports whole bursts, does not say which
//! packets are acknowledgements only, and reports neither lost path-MTU probes nor the packets of a
//! discarded packet number space. So an entry leaves the ring when anything sent after it is
//! acknowledged, when its packet numbers are, or when quinn says that nothing is in flight: it
//! cannot get stuck.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::pings::{Delay, Pings};
use throughline_proto::health::SensorSnapshot;

/// Sends closer together than this share a ring entry; no rule judges more finely.
const MERGE: Duration = Duration::from_millis(1);

/// Entries of the ring: a second of sends. What is older has been suspect for long.
const RING: usize = 1024;

/// Acknowledgements closer together than this are one burst of the same tick of the clock.
const TICK: Duration = Duration::from_millis(1);

/// The round-trip time of a path that has not been measured, as `transport` tells quinn.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);

/// What a grant adds to what is in flight, in packets: the one it lets out, another that quinn
/// adds for the packet it has under construction, a path-MTU probe that was not reported, and one
/// because quinn wants strictly less than the window.
const GRANT_PACKETS: u64 = 4;

/// The shared face of a lane's congestion controllers.
#[derive(Debug)]
pub struct LaneSensor {
    inner: Mutex<Inner>,
    /// Bytes in flight that a move has stranded; the window is larger by them.
    stranded: AtomicU64,
    /// The least window while a grant is pending, else 0.
    floor: AtomicU64,
    /// How often [`LaneSensor::migrating`] was called.
    moves: AtomicU64,
    /// Ids of controllers.
    controllers: AtomicU64,
    busy: Notify,
}

#[derive(Debug)]
struct Inner {
    active: Option<u64>,
    epoch: u64,
    mtu: u64,
    moved_at: Option<Instant>,
    stranded: u64,
    /// In flight by quinn's last word and what was sent since.
    in_flight: u64,
    /// The same, acknowledgements and loss probes counted in: at least what quinn counts.
    in_flight_bound: u64,
    cwnd: u64,
    acked: u64,
    lost: u64,
    sent: u64,
    ring: VecDeque<Sent>,
    pings: Pings,
    last_ack: Option<Instant>,
    last_sent: Option<Instant>,
    newest_acked_sent: Option<Instant>,
    /// The same of packets that are as large as those of bulk, and when that came.
    newest_full: Option<Instant>,
    last_full: Option<Instant>,
    /// The first acknowledgement of the last tick, if something was outstanding ever since.
    tick: Option<Instant>,
    ack_interval: Duration,
    rtt: Option<Rtt>,
}

/// Packets sent within [`MERGE`].
#[derive(Debug)]
struct Sent {
    first: Instant,
    last: Instant,
    last_number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Rtt {
    smoothed: Duration,
    variation: Duration,
    min: Duration,
}

/// The acknowledgements that arrived in one packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acked {
    /// Bytes of packets sent on this path.
    pub(super) bytes: u64,
    /// Bytes of packets sent before the last move.
    pub(super) stranded: u64,
    /// Send time of the newest of them that was sent on this path.
    pub(super) newest_sent: Option<Instant>,
    /// The same of those that are about as large as the path allows.
    pub(super) newest_full: Option<Instant>,
    /// What quinn counts in flight after them.
    pub(super) in_flight: u64,
    /// The largest packet number acknowledged so far.
    pub(super) largest: Option<u64>,
    /// The congestion window after them.
    pub(super) cwnd: u64,
}

impl LaneSensor {
    /// The sensor of a new connection.
    pub fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                active: None,
                epoch: 0,
                mtu: 1200,
                moved_at: None,
                stranded: 0,
                in_flight: 0,
                in_flight_bound: 0,
                cwnd: 0,
                acked: 0,
                lost: 0,
                sent: 0,
                ring: VecDeque::new(),
                pings: Pings::new(Instant::now()),
                last_ack: None,
                last_sent: None,
                newest_acked_sent: None,
                newest_full: None,
                last_full: None,
                tick: None,
                ack_interval: TICK,
                rtt: None,
            }),
            stranded: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            controllers: AtomicU64::new(0),
            busy: Notify::new(),
        }
    }

    /// What has been seen up to now.
    pub fn snapshot(&self) -> SensorSnapshot {
        self.inner.lock().snapshot()
    }

    /// Signalled (with a permit for one waiter) when something is outstanding after nothing was.
    pub fn busy(&self) -> &Notify {
        &self.busy
    }

    /// To be called just before `Endpoint::rebind` moves the lane to another local address.
    ///
    /// The window starts afresh for the new path (RFC 9000 §9.4), and what is in flight now does
    /// not fill it: it is drained by acknowledgements and losses of packets sent up to `now`, and
    /// those losses are not congestion.
    pub fn migrating(&self, now: Instant) {
        let mut inner = self.inner.lock();
        // The bound, not the estimate: bytes uncounted here would block the new path.
        inner.in_flight = inner.in_flight_bound;
        inner.stranded = inner.in_flight_bound;
        inner.moved_at = Some(now);
        inner.begin_epoch();
        self.stranded.store(inner.stranded, Ordering::Release);
        self.floor.store(0, Ordering::Release);
        self.moves.fetch_add(1, Ordering::Release);
    }

    /// Lets one more packet out although the window is full; taken back with the next packet that
    /// is sent. Call it just before the probe is handed to quinn.
    pub fn grant(&self) {
        let inner = self.inner.lock();
        let floor = inner.in_flight_bound + GRANT_PACKETS * inner.mtu;
        self.floor.store(floor, Ordering::Release);
    }

    /// A ping is about to be handed to quinn; its number.
    pub fn on_ping(&self) -> u64 {
        self.inner.lock().pings.register()
    }

    /// Ping `seq` was answered: it came when the peer's clock showed `received`, in microseconds.
    pub fn on_pong(&self, seq: u64, received: u64) {
        self.inner.lock().pings.answered(seq, received);
    }

    /// An id for a new controller.
    pub(super) fn enroll(&self) -> u64 {
        self.controllers.fetch_add(1, Ordering::Relaxed)
    }

    /// How often the lane was moved.
    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    /// When the lane was last moved.
    pub(super) fn moved_at(&self) -> Option<Instant> {
        self.inner.lock().moved_at
    }

    /// The window to tell quinn where the congestion window is `cwnd`.
    pub(super) fn window(&self, cwnd: u64) -> u64 {
        let stranded = self.stranded.load(Ordering::Acquire);
        (cwnd + stranded).max(self.floor.load(Ordering::Acquire))
    }

    /// Controller `id` sent `bytes`, up to packet `last_number`. `eliciting`: they ask for an
    /// acknowledgement.
    pub(super) fn on_sent(
        &self,
        id: u64,
        now: Instant,
        bytes: u64,
        last_number: u64,
        eliciting: bool,
    ) {
        let mut inner = self.inner.lock();
        if inner.active != Some(id) {
            self.take_over(&mut inner, id);
        }
        inner.sent += bytes;
        inner.in_flight_bound += bytes;
        if !eliciting {
            return;
        }
        self.floor.store(0, Ordering::Release);
        inner.in_flight += bytes;
        inner.last_sent = Some(now);
        let was_idle = inner.ring.is_empty();
        inner.push(now, last_number);
        inner.pings.sent(now);
        drop(inner);
        if was_idle {
            self.busy.notify_one();
        }
    }

    /// Controller `id` was told of acknowledgements. Returns what pings have measured meanwhile.
    pub(super) fn on_acked(&self, id: u64, now: Instant, acked: &Acked) -> Vec<Delay> {
        let mut inner = self.inner.lock();
        if inner.active != Some(id) {
            return vec![];
        }
        inner.on_acked(now, acked);
        self.stranded.store(inner.stranded, Ordering::Release);
        inner.pings.take()
    }

    /// Controller `id` was told that `bytes` are lost, the newest sent at `sent`. Returns whether
    /// that is congestion of the path: it is not if they were stranded by a move.
    pub(super) fn on_lost(&self, id: u64, sent: Instant, bytes: u64) -> bool {
        let mut inner = self.inner.lock();
        if inner.active != Some(id) {
            return true;
        }
        let before_move = inner.moved_at.is_some_and(|moved| sent <= moved);
        // One report may hold stranded and new packets: the stranded ones are older and go first.
        let congestion = !before_move && (bytes == 0 || bytes > inner.stranded);
        let stranded = bytes.min(inner.stranded);
        inner.lost += bytes;
        inner.stranded -= stranded;
        inner.in_flight = inner.in_flight.saturating_sub(bytes);
        inner.in_flight_bound = inner.in_flight_bound.saturating_sub(bytes);
        self.stranded.store(inner.stranded, Ordering::Release);
        congestion
    }

    /// Controller `id` has another window or packet size.
    pub(super) fn on_window(&self, id: u64, cwnd: u64, mtu: u16) {
        let mut inner = self.inner.lock();
        if inner.active.is_none_or(|active| active == id) {
            inner.cwnd = cwnd;
            inner.mtu = mtu.into();
        }
    }

    /// Bytes in flight on the current path.
    pub(super) fn in_flight(&self) -> u64 {
        let inner = self.inner.lock();
        inner.in_flight.saturating_sub(inner.stranded)
    }

    /// The path has changed: quinn has another controller (or its clone, or an earlier one again).
    fn take_over(&self, inner: &mut Inner, id: u64) {
        if inner.active.replace(id).is_some() {
            inner.begin_epoch();
            // Quinn counts each path's bytes in flight apart.
            inner.in_flight = 0;
            inner.in_flight_bound = 0;
            inner.stranded = 0;
            inner.moved_at = None;
            self.stranded.store(0, Ordering::Release);
        }
    }
}

impl Inner {
    fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.ring.clear();
        self.pings.forget();
        self.newest_acked_sent = None;
        self.newest_full = None;
        self.tick = None;
        self.ack_interval = TICK;
        self.rtt = None;
    }

    fn push(&mut self, now: Instant, last_number: u64) {
        let full = self.ring.len() >= RING;
        match self.ring.back_mut() {
            Some(back) if full || now.saturating_duration_since(back.first) < MERGE => {
                back.last = now;
                back.last_number = last_number;
            }
            _ => self.ring.push_back(Sent { first: now, last: now, last_number }),
        }
    }

    fn on_acked(&mut self, now: Instant, acked: &Acked) {
        self.acked += acked.bytes + acked.stranded;
        self.in_flight = acked.in_flight;
        self.in_flight_bound = acked.in_flight;
        self.stranded = (self.stranded.saturating_sub(acked.stranded)).min(acked.in_flight);
        self.cwnd = acked.cwnd;

        let by_number = self.settle(acked);
        let newest = acked.newest_sent.max(by_number);
        self.newest_acked_sent = self.newest_acked_sent.max(newest);
        // While quinn validates a path it does not say what of which size is acknowledged.
        let silent = acked.newest_sent.is_none() && acked.stranded == 0;
        let full = acked.newest_full.or(by_number.filter(|_| silent));
        if full.is_some() {
            self.newest_full = self.newest_full.max(full);
            self.last_full = Some(now);
        }
        if let Some(sent) = acked.newest_sent {
            let sample = now.saturating_duration_since(sent);
            self.rtt = Some(Rtt::after(self.rtt, sample));
        }
        // Acknowledgements of acknowledgements are no sign of progress.
        if newest.is_some() || acked.stranded > 0 {
            self.last_ack = Some(now);
            self.tick(now);
        }
        if acked.in_flight == 0 {
            self.ring.clear();
            self.tick = None;
        }
    }

    /// Takes what is acknowledged out of the ring. Returns the send time of the newest entry that
    /// went by its packet numbers: while quinn validates a path it passes on nothing else.
    fn settle(&mut self, acked: &Acked) -> Option<Instant> {
        let mut newest = None;
        while let Some(front) = self.ring.front_mut() {
            if acked.largest.is_some_and(|largest| front.last_number <= largest) {
                newest = Some(front.last);
            } else if let Some(sent) = acked.newest_sent
                && front.first <= sent
            {
                if front.last >= sent {
                    // Part of it is acknowledged; the rest was sent then or later.
                    front.first = sent;
                    break;
                }
            } else {
                break;
            }
            self.ring.pop_front();
        }
        newest
    }

    /// Follows the acknowledgement clock.
    fn tick(&mut self, now: Instant) {
        let Some(last) = self.tick else {
            self.tick = Some(now);
            return;
        };
        let interval = now.saturating_duration_since(last);
        if interval < TICK {
            return;
        }
        self.tick = Some(now);
        // A pause as long as a round trip is an outage or a lull, not the clock's rate.
        let interval = interval.min(self.rtt.map_or(INITIAL_RTT, |rtt| rtt.smoothed));
        // Quick to rise: a clock that is uneven must not look stopped.
        self.ack_interval = if interval > self.ack_interval {
            (3 * self.ack_interval + interval) / 4
        } else {
            (15 * self.ack_interval + interval) / 16
        };
    }

    fn snapshot(&self) -> SensorSnapshot {
        let rtt = self.rtt.unwrap_or(Rtt {
            smoothed: INITIAL_RTT,
            variation: INITIAL_RTT / 2,
            min: INITIAL_RTT,
        });
        SensorSnapshot {
            in_flight: self.in_flight.saturating_sub(self.stranded),
            cwnd: self.cwnd,
            acked_bytes: self.acked,
            lost_bytes: self.lost,
            sent_bytes: self.sent,
            last_ack: self.last_ack,
            oldest_unacked: self.ring.front().map(|sent| sent.first),
            newest_acked_sent: self.newest_acked_sent,
            newest_full_acked_sent: self.newest_full,
            last_full_ack: self.last_full,
            last_sent: self.last_sent,
            ack_interval: self.ack_interval,
            srtt: rtt.smoothed,
            rttvar: rtt.variation,
            min_rtt: rtt.min,
            epoch: self.epoch,
        }
    }
}

/// A sample is taken at its word up to twice what the estimate expects at most, and up to twice
/// this: a path whose round trips really grew is believed after some samples more.
const LEAST_BOUND: Duration = Duration::from_millis(30);

impl Rtt {
    /// RFC 9002 §5.3, without taking the acknowledgement delay off: suspicion must allow for it.
    fn after(before: Option<Self>, sample: Duration) -> Self {
        let Some(before) = before else {
            return Self { smoothed: sample, variation: sample / 2, min: sample };
        };
        // The first acknowledgement after an outage is often of a packet from before it. Taken at
        // its word, it would keep the lane above suspicion for as long as the outage was.
        let sample = sample.min(2 * (before.smoothed + 4 * before.variation).max(LEAST_BOUND));
        Self {
            smoothed: (7 * before.smoothed + sample) / 8,
            variation: (3 * before.variation + before.smoothed.abs_diff(sample)) / 4,
            min: before.min.min(sample),
        }
    }
}
