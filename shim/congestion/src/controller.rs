//! What quinn calls: the congestion controller of one path.
//!
//! Quinn owns a [`LaneController`] per path and calls it with its connection locked; the lane task
//! holds the [`LaneSensor`] that all of a connection's controllers share. Through the sensor the lane
//! task reads what happens, announces that it is about to migrate the lane, and allows a probe.
//!
//! What quinn 0.11 does, and this relies on:
//! * `on_sent` comes once per burst (up to ten datagrams), for bursts of acknowledgements only as
//!   well, and not for path-MTU probes;
//! * `window` is asked twice for each datagram that asks for an acknowledgement, before it is
//!   built, but not for loss probes or mere acknowledgements: this tells them apart;
//! * `on_ack` comes per packet, but not while the path is being validated; `on_end_acks` always;
//! * only the current path's controller is called. A client keeps its controller across a rebind;
//!   a server builds a new one when its peer moves (clones it for a new port of the same IPv4
//!   address), and returns to the old one if the new path fails validation.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};

use quinn_proto::RttEstimator;

use crate::sensor::{Acked, LaneSensor};
use crate::window::Window;

/// Builds the controllers of one connection (quinn's `ControllerFactory`).
#[derive(Debug)]
pub struct LaneControllerFactory {
    sensor: Arc<LaneSensor>,
    initial_window: u64,
}

impl LaneControllerFactory {
    /// The factory of a connection whose paths report to `sensor` and begin with a window of
    /// `initial_window` bytes.
    pub fn new(sensor: Arc<LaneSensor>, initial_window: u64) -> Self {
        Self { sensor, initial_window }
    }
}

impl ControllerFactory for LaneControllerFactory {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(LaneController::new(Arc::clone(&self.sensor), self.initial_window, mtu, now))
    }
}

/// The controller of one path.
#[derive(Debug)]
pub struct LaneController {
    sensor: Arc<LaneSensor>,
    id: u64,
    path: Window,
    initial_window: u64,
    mtu: u16,
    /// The latest time that quinn has told.
    now: Instant,
    /// How many migrations this controller has applied, and when the last one was.
    migrations: u64,
    moved_at: Option<Instant>,
    /// The acknowledgements since the last `on_end_acks`.
    acked: Acked,
    /// The bytes in flight before these acknowledgements; asked for once per batch.
    used: Option<u64>,
    /// How often quinn asked for the window since the last burst.
    window_queries: AtomicU32,
}

/// From this part of the MTU on a packet counts as full: its acknowledgement shows that bulk passes.
const FULL_PACKET: (u64, u64) = (9, 10);

/// How often quinn asks for the window per datagram that it sends; `stats()` and a datagram that is held
/// back ask once.
const WINDOW_QUERIES_PER_DATAGRAM: u32 = 2;

impl LaneController {
    fn new(sensor: Arc<LaneSensor>, initial_window: u64, mtu: u16, now: Instant) -> Self {
        let id = sensor.register();
        let path = Window::new(initial_window, mtu);
        sensor.on_window(id, path.bytes(), mtu);
        sensor.on_bulk_window(id, path.bytes(), 0.0, mtu);
        Self {
            id,
            path,
            initial_window,
            mtu,
            now,
            migrations: sensor.migrations(),
            moved_at: sensor.moved_at(),
            acked: Acked::default(),
            used: None,
            window_queries: AtomicU32::new(0),
            sensor,
        }
    }

    /// Starts afresh if the lane has migrated since the last call (RFC 9000 §9.4).
    fn apply_migrations(&mut self) {
        let migrations = self.sensor.migrations();
        if migrations != self.migrations {
            self.migrations = migrations;
            self.moved_at = self.sensor.moved_at();
            self.path = Window::new(self.initial_window, self.mtu);
            self.acked = Acked::default();
            self.report_window();
        }
    }

    fn report_window(&self) {
        self.sensor.on_window(self.id, self.path.bytes(), self.mtu);
        self.sensor.on_bulk_window(self.id, self.path.bytes(), self.path.loss(), self.mtu);
    }

    fn packet_acked(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: Duration,
    ) {
        self.apply_migrations();
        if self.moved_at.is_some_and(|moved| sent <= moved) {
            self.acked.old_path_bytes += bytes;
            return;
        }
        self.acked.bytes += bytes;
        self.acked.newest_sent = self.acked.newest_sent.max(Some(sent));
        self.acked.oldest_sent =
            Some(self.acked.oldest_sent.map_or(sent, |oldest| oldest.min(sent)));
        if bytes * FULL_PACKET.1 >= u64::from(self.mtu) * FULL_PACKET.0 {
            self.acked.newest_full = self.acked.newest_full.max(Some(sent));
        } else {
            self.acked.longest_partial = self.acked.longest_partial.max(bytes);
        }
        let limited = self.limited(app_limited);
        self.path.on_ack(now, sent, bytes, limited, rtt);
    }

    /// Returns whether the window is so little used that its growth would mean nothing (RFC 9002 §7.8).
    ///
    /// Quinn's `app_limited` says no more than that the last poll found nothing to send: a writer
    /// that is woken by acknowledgements often brings that about with a full window, and a flow
    /// control limit often does not. So it takes a half-empty window as well, while an almost empty
    /// one is enough by itself (not sooner: the first flight of a path is paced by the initial
    /// round-trip time, and a fifth of the window is all that leaves in a millisecond).
    fn limited(&mut self, app_limited: bool) -> bool {
        let window = self.path.bytes();
        let used = *self.used.get_or_insert_with(|| self.sensor.in_flight());
        let half_empty =
            if self.path.in_slow_start() { used * 2 < window } else { used * 5 < window * 4 };
        app_limited && half_empty || used * 8 < window
    }
}

impl Controller for LaneController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.apply_migrations();
        self.now = now;
        let eliciting = *self.window_queries.get_mut() >= WINDOW_QUERIES_PER_DATAGRAM;
        *self.window_queries.get_mut() = 0;
        self.path.on_sent(now);
        self.sensor.on_sent(self.id, now, bytes, last_packet_number, eliciting);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.packet_acked(now, sent, bytes, app_limited, rtt.get());
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, _: bool, largest: Option<u64>) {
        self.apply_migrations();
        let acked = Acked {
            in_flight,
            largest,
            cwnd: self.path.bytes(),
            ..std::mem::take(&mut self.acked)
        };
        self.used = None;
        self.now = now;
        for delay in self.sensor.on_acked(self.id, now, &acked) {
            self.path.on_delay(now, delay);
        }
        self.sensor.on_bulk_window(self.id, self.path.bytes(), self.path.loss(), self.mtu);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost: u64) {
        self.apply_migrations();
        self.now = now;
        if self.sensor.on_lost(self.id, sent, lost) {
            self.path.on_congestion(now, sent, persistent, lost);
            self.report_window();
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.apply_migrations();
        self.mtu = mtu;
        self.path.on_mtu_update(self.now, mtu);
        self.report_window();
    }

    fn window(&self) -> u64 {
        // Quinn's lock is held: no other thread counts, so this need not be one operation.
        self.window_queries.store(
            self.window_queries.load(Ordering::Relaxed).saturating_add(1),
            Ordering::Relaxed,
        );
        let moved = self.sensor.migrations() != self.migrations;
        let cwnd = if moved { self.initial_window } else { self.path.bytes() };
        self.sensor.window(cwnd)
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.path.bytes();
        metrics.ssthresh = self.path.ssthresh();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            sensor: Arc::clone(&self.sensor),
            id: self.sensor.register(),
            path: self.path.clone(),
            initial_window: self.initial_window,
            mtu: self.mtu,
            now: self.now,
            migrations: self.migrations,
            moved_at: self.moved_at,
            acked: Acked::default(),
            used: None,
            window_queries: AtomicU32::new(0),
        })
    }

    fn initial_window(&self) -> u64 {
        self.initial_window
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests;
