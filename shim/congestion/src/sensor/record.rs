//! What a lane sensor has recorded. Pure: it takes `now`.

use std::time::{Duration, Instant};

use throughline_proto::lane::SensorSnapshot;

use super::ack_clock::AckClock;
use super::outstanding::Outstanding;
use super::rtt::Rtt;
use crate::pings::Pings;

/// The round-trip time assumed of a path that has not been measured; quinn is configured with it.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);

/// The acknowledgements that arrived in one packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acked {
    /// Bytes of packets sent on this path.
    pub(crate) bytes: u64,
    /// Bytes of packets sent before the last migration.
    pub(crate) old_path_bytes: u64,
    /// Send time of the newest of them that was sent on this path.
    pub(crate) newest_sent: Option<Instant>,
    /// Send time of the newest full packet among them.
    pub(crate) newest_full: Option<Instant>,
    /// The bytes that quinn counts in flight after them.
    pub(crate) in_flight: u64,
    /// The largest packet number acknowledged so far.
    pub(crate) largest: Option<u64>,
    /// The congestion window after them.
    pub(crate) cwnd: u64,
}

/// The record of one lane.
#[derive(Debug)]
pub(super) struct Record {
    /// The controller whose reports count: the one that sent last.
    pub(super) active: Option<u64>,
    /// How often the path has changed.
    pub(super) epoch: u64,
    pub(super) mtu: u64,
    /// When the lane last migrated.
    pub(super) moved_at: Option<Instant>,
    /// Bytes in flight that were sent before the last migration.
    pub(super) old_path_bytes: u64,
    /// Bytes in flight by quinn's last report, and what was sent since.
    pub(super) in_flight: u64,
    /// The same with acknowledgements and loss probes counted in: at least what quinn counts.
    pub(super) in_flight_bound: u64,
    pub(super) cwnd: u64,
    pub(super) acked: u64,
    pub(super) lost: u64,
    pub(super) sent: u64,
    pub(super) outstanding: Outstanding,
    pub(super) pings: Pings,
    pub(super) last_sent: Option<Instant>,
    last_ack: Option<Instant>,
    newest_acked_sent: Option<Instant>,
    /// When the newest acknowledged full packet was sent, and when its acknowledgement arrived.
    newest_full: Option<Instant>,
    last_full: Option<Instant>,
    ack_clock: AckClock,
    rtt: Option<Rtt>,
}

impl Record {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            active: None,
            epoch: 0,
            mtu: 1200,
            moved_at: None,
            old_path_bytes: 0,
            in_flight: 0,
            in_flight_bound: 0,
            cwnd: 0,
            acked: 0,
            lost: 0,
            sent: 0,
            outstanding: Outstanding::default(),
            pings: Pings::new(now),
            last_sent: None,
            last_ack: None,
            newest_acked_sent: None,
            newest_full: None,
            last_full: None,
            ack_clock: AckClock::new(),
            rtt: None,
        }
    }

    /// Begins the record of another path: nothing is outstanding, and round-trip times are unknown.
    pub(super) fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.outstanding.clear();
        self.pings.forget();
        self.newest_acked_sent = None;
        self.newest_full = None;
        self.ack_clock = AckClock::new();
        self.rtt = None;
    }

    /// Takes in acknowledgements.
    pub(super) fn on_acked(&mut self, now: Instant, acked: &Acked) {
        self.acked += acked.bytes + acked.old_path_bytes;
        self.in_flight = acked.in_flight;
        self.in_flight_bound = acked.in_flight;
        self.old_path_bytes =
            (self.old_path_bytes.saturating_sub(acked.old_path_bytes)).min(acked.in_flight);
        self.cwnd = acked.cwnd;

        let by_number = self.outstanding.remove_acked(acked.largest, acked.newest_sent);
        let newest = acked.newest_sent.max(by_number);
        self.newest_acked_sent = self.newest_acked_sent.max(newest);
        // While quinn validates a path it does not report the sizes of what is acknowledged.
        let unreported = acked.newest_sent.is_none() && acked.old_path_bytes == 0;
        let full = acked.newest_full.or(by_number.filter(|_| unreported));
        if full.is_some() {
            self.newest_full = self.newest_full.max(full);
            self.last_full = Some(now);
        }
        if let Some(sent) = acked.newest_sent {
            self.rtt = Some(Rtt::after(self.rtt, now, sent));
        }
        // Acknowledgements of acknowledgements are no sign of progress.
        if newest.is_some() || acked.old_path_bytes > 0 {
            self.last_ack = Some(now);
            self.ack_clock.on_ack(now, self.rtt.map_or(INITIAL_RTT, |rtt| rtt.smoothed));
        }
        if acked.in_flight == 0 {
            self.outstanding.clear();
            self.ack_clock.stop();
        }
    }

    /// Returns what has been recorded up to now.
    pub(super) fn snapshot(&self) -> SensorSnapshot {
        let rtt = self.rtt.unwrap_or(Rtt::initial(INITIAL_RTT));
        SensorSnapshot {
            in_flight: self.in_flight.saturating_sub(self.old_path_bytes),
            cwnd: self.cwnd,
            acked_bytes: self.acked,
            lost_bytes: self.lost,
            sent_bytes: self.sent,
            last_ack: self.last_ack,
            oldest_unacked: self.outstanding.oldest(),
            newest_acked_sent: self.newest_acked_sent,
            newest_full_acked_sent: self.newest_full,
            last_full_ack: self.last_full,
            last_sent: self.last_sent,
            ack_interval: self.ack_clock.interval(),
            srtt: rtt.smoothed,
            rttvar: rtt.variation,
            min_rtt: rtt.min,
            epoch: self.epoch,
        }
    }
}
