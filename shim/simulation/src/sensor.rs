//! What an end of a lane sees: acknowledgements become what the congestion controller's sensor
//! shows to the lane's monitor.
//!
//! The monitor is the daemon's own. Misfortunes may make the sensor lie: a false alarm shows a packet
//! that is unacknowledged for very long, and a loss shows bytes that were lost.

use std::time::{Duration, Instant};

use throughline_proto::lane::{Overtaken, PauseHistogram, SensorSnapshot};

use crate::link::{MS, Nanos, SEC};

/// Acknowledgements within this are one tick of their clock.
const TICK: Nanos = MS;

/// A packet of so many bytes is a full one.
const FULL: u64 = 1_000;

/// The bytes that a lossy lane seems to carry in a second, and those of them that seem lost.
const LOSSY_RATE: (u64, u64) = (1_000_000, 100_000);

#[derive(Debug)]
pub(crate) struct Sensor {
    epoch: u64,
    acked_bytes: u64,
    lost_bytes: u64,
    last_ack: Option<Nanos>,
    newest_acked_sent: Option<Nanos>,
    newest_full: Option<Nanos>,
    last_full: Option<Nanos>,
    tick: Option<Nanos>,
    ack_interval: Nanos,
    pauses: PauseHistogram,
    /// Some moment, from which the histogram's time is counted.
    began: Instant,
    /// A packet seems to be unacknowledged.
    alarm: bool,
    /// Since when the lane seems lossy.
    lossy_since: Option<Nanos>,
}

/// What an end of a lane has under way.
pub(crate) struct InFlight {
    pub(crate) bytes: u64,
    pub(crate) window: u64,
    pub(crate) sent_bytes: u64,
    /// When the oldest packet was sent that is newer than all that are acknowledged.
    pub(crate) oldest_unacked: Option<Nanos>,
    pub(crate) srtt: Nanos,
    pub(crate) rttvar: Nanos,
}

impl Sensor {
    pub(crate) fn new() -> Self {
        Self {
            epoch: 0,
            acked_bytes: 0,
            lost_bytes: 0,
            last_ack: None,
            newest_acked_sent: None,
            newest_full: None,
            last_full: None,
            tick: None,
            ack_interval: TICK,
            pauses: PauseHistogram::default(),
            began: Instant::now(),
            alarm: false,
            lossy_since: None,
        }
    }

    /// At `now` packets were acknowledged: the newest of them was `sent` then, the newest full one
    /// then.
    pub(crate) fn acked(&mut self, now: Nanos, sent: Nanos, full: Option<Nanos>, srtt: Nanos) {
        self.last_ack = Some(now);
        self.newest_acked_sent = self.newest_acked_sent.max(Some(sent));
        if full > self.newest_full {
            (self.newest_full, self.last_full) = (full, Some(now));
        }
        let Some(last) = self.tick else {
            self.tick = Some(now);
            return;
        };
        let interval = (now - last).min(srtt);
        if now - last >= TICK {
            self.tick = Some(now);
            let (old, weight) = if interval > self.ack_interval { (3, 4) } else { (15, 16) };
            self.ack_interval = (old * self.ack_interval + interval) / weight;
        }
    }

    /// Learns from the silence that ends at `now`, as the daemon's sensor does: an acknowledgement was
    /// due since `oldest_unacked`, the oldest packet beyond those acknowledged, should have been; the
    /// oldest packet that is acknowledged was `sent` then.
    pub(crate) fn learn_pause(
        &mut self,
        now: Nanos,
        sent: Nanos,
        oldest_unacked: Nanos,
        srtt: Nanos,
        in_flight: u64,
    ) {
        let due = (oldest_unacked + srtt).max(self.last_ack.unwrap_or(oldest_unacked));
        let silence = now.saturating_sub(due).min(now.saturating_sub(sent + srtt));
        let now = self.began + Duration::from_nanos(now);
        self.pauses.record(now, Duration::from_nanos(silence), in_flight);
    }

    /// So many bytes were acknowledged, and so many declared lost.
    pub(crate) fn account(&mut self, acked: u64, lost: u64) {
        self.acked_bytes += acked;
        self.lost_bytes += lost;
    }

    /// Nothing is outstanding: the clock of acknowledgements stops.
    pub(crate) fn idle(&mut self) {
        self.tick = None;
    }

    /// Whether a packet of so many bytes is a full one.
    pub(crate) fn is_full(size: u64) -> bool {
        size >= FULL
    }

    /// The lane moved: nothing is known of its new path.
    pub(crate) fn moved(&mut self) {
        self.epoch += 1;
        (self.newest_acked_sent, self.newest_full, self.tick) = (None, None, None);
        self.ack_interval = TICK;
        self.pauses = PauseHistogram::default();
    }

    /// A false alarm, or no longer.
    pub(crate) fn set_alarm(&mut self, alarm: bool) {
        self.alarm = alarm;
    }

    /// The lane seems to lose much from now on, or no longer.
    pub(crate) fn set_lossy(&mut self, now: Nanos, lossy: bool) {
        let (acked, lost) = self.pretended(now);
        self.account(acked, lost);
        self.lossy_since = lossy.then_some(now);
    }

    fn pretended(&self, now: Nanos) -> (u64, u64) {
        let seems = |rate| self.lossy_since.map_or(0, |since| (now - since) / MS * rate * MS / SEC);
        (seems(LOSSY_RATE.0 - LOSSY_RATE.1), seems(LOSSY_RATE.1))
    }

    /// What the sensor shows at `now` of a lane with these packets and this round trip; virtual time
    /// began at `base`.
    pub(crate) fn snapshot(&self, now: Nanos, base: Instant, lane: &InFlight) -> SensorSnapshot {
        let instant = |at: Nanos| base + Duration::from_nanos(at);
        let (acked, lost) = self.pretended(now);
        let oldest = if self.alarm { Some(0) } else { lane.oldest_unacked };
        SensorSnapshot {
            in_flight: lane.bytes,
            cwnd: lane.window,
            acked_bytes: self.acked_bytes + acked,
            lost_bytes: self.lost_bytes + lost,
            sent_bytes: lane.sent_bytes,
            last_ack: self.last_ack.filter(|_| !self.alarm).map(instant),
            overtaken: Overtaken::default(),
            oldest_unacked: oldest.map(instant),
            newest_acked_sent: self.newest_acked_sent.map(instant),
            newest_full_acked_sent: self.newest_full.map(instant),
            last_full_ack: self.last_full.map(instant),
            last_sent: None,
            ack_interval: Duration::from_nanos(self.ack_interval),
            srtt: Duration::from_nanos(lane.srtt),
            rttvar: Duration::from_nanos(lane.rttvar),
            min_rtt: Duration::from_nanos(lane.srtt),
            pauses: self.pauses.known(lane.bytes),
            epoch: self.epoch,
        }
    }
}
