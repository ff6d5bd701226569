//! The lane sensor: what quinn tells the congestion controller of every packet, kept where the lane
//! task can read it at any time and without quinn's lock.
//!
//! One sensor serves a connection for its life. Of the controllers that quinn builds or clones for
//! the connection's paths, the one that *sent* last is active; the others' events are ignored. Each
//! change of the active controller, and each [`LaneSensor::migrating`], begins a new epoch: nothing
//! is outstanding, and round-trip times are unknown.

mod ack_clock;
mod outstanding;
mod record;
mod room;
mod rtt;
mod silences;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use throughline_proto::lane::{Overtaken, SensorSnapshot};
use tokio::sync::Notify;

pub(crate) use self::record::Acked;
pub use self::record::INITIAL_RTT;
use self::record::Record;
use self::room::Room;
use crate::bulk_window::bulk_send_window;
use crate::pings::Delay;

/// How many packets an allowed probe adds to what is in flight: the one that it lets out, another that quinn
/// adds for the packet it has under construction, a path-MTU probe that was not reported, and one
/// because quinn wants strictly less than the window.
const PROBE_ALLOWANCE_PACKETS: u64 = 4;

/// The same of the first probe since an acknowledgement, which adds one packet and no more: the others would take
/// with them what else waits, such as the news that this lane is suspect, and large packets may be what is lost.
/// What waits leaves in QUIC's own probes then, which are small. (Where a path-MTU probe is in flight, none
/// leaves before the second.)
const FIRST_PROBE_PACKETS: u64 = 2;

/// The shared face of a lane's congestion controllers.
#[derive(Debug)]
pub struct LaneSensor {
    record: Mutex<Record>,
    /// Bytes in flight that were sent before the last migration; the window is larger by them.
    old_path_bytes: AtomicU64,
    /// The least window while a probe is allowed, else 0.
    floor: AtomicU64,
    /// The bytes of bulk that QUIC may hold.
    bulk_window: AtomicU64,
    /// How often [`LaneSensor::migrating`] was called.
    migrations: AtomicU64,
    /// How many controllers have registered: their ids.
    controllers: AtomicU64,
    busy: Notify,
    room: Room,
}

impl Default for LaneSensor {
    fn default() -> Self {
        Self::new()
    }
}

impl LaneSensor {
    /// Returns the sensor of a new connection.
    pub fn new() -> Self {
        Self {
            record: Mutex::new(Record::new()),
            old_path_bytes: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            bulk_window: AtomicU64::new(0),
            migrations: AtomicU64::new(0),
            controllers: AtomicU64::new(0),
            busy: Notify::new(),
            room: Room::default(),
        }
    }

    /// Returns what has been recorded up to now.
    pub fn snapshot(&self) -> SensorSnapshot {
        self.record.lock().snapshot()
    }

    /// Signalled (with a permit for one waiter) when something is outstanding after nothing was, or when the path takes
    /// packets of another size.
    pub fn busy(&self) -> &Notify {
        &self.busy
    }

    /// Has [`room`](Self::room) complete when packets leave, or are in flight no longer, from now on.
    pub fn want_room(&self) {
        self.room.want();
    }

    /// Returns for how many bytes more than are in flight the congestion window has room. When there may be more,
    /// [`room`](Self::room) completes, where that was [wanted](Self::want_room) before.
    pub fn free_window(&self) -> u64 {
        let record = self.record.lock();
        let in_flight = record.in_flight.saturating_sub(record.old_path_bytes);
        record.cwnd.saturating_sub(in_flight)
    }

    /// Completes when packets have left, or are in flight no longer, since the
    /// [free window](Self::free_window) was asked for. One task at a time may wait. Cancel-safe.
    pub async fn room(&self) {
        self.room.wait().await;
    }

    /// To be called just before `Endpoint::rebind` moves the lane to another local address.
    ///
    /// The window starts afresh for the new path (RFC 9000 §9.4), and what is in flight now does
    /// not fill it: it is drained by acknowledgements and losses of packets sent up to `now`, and
    /// those losses are not congestion.
    pub fn migrating(&self, now: Instant) {
        let mut record = self.record.lock();
        // The bound, not the estimate: bytes uncounted here would block the new path.
        record.in_flight = record.in_flight_bound;
        record.old_path_bytes = record.in_flight_bound;
        record.moved_at = Some(now);
        record.begin_epoch();
        self.old_path_bytes.store(record.old_path_bytes, Ordering::Release);
        self.floor.store(0, Ordering::Release);
        self.migrations.fetch_add(1, Ordering::Release);
    }

    /// Allows one probe: a packet leaves although the window is full. Call it just before the probe is
    /// handed to quinn; the next packet that is sent uses it up.
    pub fn allow_probe(&self) {
        let mut record = self.record.lock();
        let first = !std::mem::replace(&mut record.probed, true);
        let packets = if first { FIRST_PROBE_PACKETS } else { PROBE_ALLOWANCE_PACKETS };
        let floor = record.in_flight_bound + packets * record.mtu;
        self.floor.store(floor, Ordering::Release);
    }

    /// Registers a ping that is about to be handed to quinn; returns its number.
    pub fn on_ping(&self) -> u64 {
        self.record.lock().pings.register()
    }

    /// Takes in that ping `seq` was answered: it arrived when the peer's clock showed `received`, in microseconds.
    pub fn on_pong(&self, seq: u64, received: u64) {
        self.record.lock().pings.answered(seq, received);
    }

    /// Returns how many bytes of bulk the lane may have in QUIC: little more than its congestion window, or little
    /// more than its losses keep there.
    pub fn bulk_window(&self) -> u64 {
        self.bulk_window.load(Ordering::Acquire)
    }

    /// Takes in that controller `id` loses the part `loss`, beside its window and packet size.
    pub(crate) fn on_bulk_window(&self, id: u64, cwnd: u64, loss: f64, mtu: u16) {
        if self.record.lock().active.is_none_or(|active| active == id) {
            self.bulk_window.store(bulk_send_window(cwnd, loss, mtu), Ordering::Release);
        }
    }

    /// Returns an id for a new controller.
    pub(crate) fn register(&self) -> u64 {
        self.controllers.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns how often the lane was migrated.
    pub(crate) fn migrations(&self) -> u64 {
        self.migrations.load(Ordering::Acquire)
    }

    /// Returns when the lane was last migrated.
    pub(crate) fn moved_at(&self) -> Option<Instant> {
        self.record.lock().moved_at
    }

    /// Returns the window to report to quinn where the congestion window is `cwnd`.
    pub(crate) fn window(&self, cwnd: u64) -> u64 {
        let old_path_bytes = self.old_path_bytes.load(Ordering::Acquire);
        (cwnd + old_path_bytes).max(self.floor.load(Ordering::Acquire))
    }

    /// Takes in that controller `id` sent `bytes`, up to packet `last_number`. `eliciting`: they ask for an
    /// acknowledgement.
    pub(crate) fn on_sent(
        &self,
        id: u64,
        now: Instant,
        bytes: u64,
        last_number: u64,
        eliciting: bool,
    ) {
        let mut record = self.record.lock();
        if record.active != Some(id) {
            self.take_over(&mut record, id);
        }
        record.sent += bytes;
        record.in_flight_bound += bytes;
        let size = record.count_sent(last_number, bytes);
        self.room.changed();
        if !eliciting {
            return;
        }
        self.floor.store(0, Ordering::Release);
        record.in_flight += bytes;
        record.last_sent = Some(now);
        let was_idle = record.outstanding.is_empty();
        record.outstanding.push(now, last_number, size);
        record.pings.sent(now);
        drop(record);
        if was_idle {
            self.busy.notify_one();
        }
    }

    /// Takes in acknowledgements reported to controller `id`. Returns what pings have measured meanwhile.
    pub(crate) fn on_acked(&self, id: u64, now: Instant, acked: &Acked) -> Vec<Delay> {
        let mut record = self.record.lock();
        if record.active != Some(id) {
            return vec![];
        }
        record.on_acked(now, acked);
        self.room.changed();
        self.old_path_bytes.store(record.old_path_bytes, Ordering::Release);
        record.pings.take()
    }

    /// Takes in that `bytes` are lost, the newest sent at `sent`, as reported to controller `id`. Returns
    /// whether that is congestion of the path; it is not if they were sent before the last migration.
    pub(crate) fn on_lost(&self, id: u64, sent: Instant, bytes: u64) -> bool {
        let mut record = self.record.lock();
        if record.active != Some(id) {
            return true;
        }
        let before_move = record.moved_at.is_some_and(|moved| sent <= moved);
        // One report may hold packets of both paths: those of the old one are older and count first.
        let congestion = !before_move && (bytes == 0 || bytes > record.old_path_bytes);
        let old_path_bytes = bytes.min(record.old_path_bytes);
        record.lost += bytes;
        record.old_path_bytes -= old_path_bytes;
        record.in_flight = record.in_flight.saturating_sub(bytes);
        record.in_flight_bound = record.in_flight_bound.saturating_sub(bytes);
        self.room.changed();
        self.old_path_bytes.store(record.old_path_bytes, Ordering::Release);
        congestion
    }

    /// Takes in that controller `id` has another window or packet size.
    pub(crate) fn on_window(&self, id: u64, cwnd: u64, mtu: u16) {
        let mut record = self.record.lock();
        if record.active.is_none_or(|active| active == id) {
            record.cwnd = cwnd;
            if std::mem::replace(&mut record.mtu, mtu.into()) != u64::from(mtu) {
                record.overtaken = Overtaken::default();
                // Whoever observes the lane tells how long datagrams may be.
                self.busy.notify_one();
            }
        }
    }

    /// Returns the bytes in flight on the current path.
    pub(crate) fn in_flight(&self) -> u64 {
        let record = self.record.lock();
        record.in_flight.saturating_sub(record.old_path_bytes)
    }

    /// Makes controller `id` the active one: the path has changed, and quinn has another controller for it
    /// (a new one, a clone, or an earlier one again).
    fn take_over(&self, record: &mut Record, id: u64) {
        if record.active.replace(id).is_some() {
            record.begin_epoch();
            // Quinn counts each path's bytes in flight apart.
            record.in_flight = 0;
            record.in_flight_bound = 0;
            record.old_path_bytes = 0;
            record.moved_at = None;
            self.old_path_bytes.store(0, Ordering::Release);
        }
    }
}
