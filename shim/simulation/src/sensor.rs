//! What an end of a lane sees: acknowledgements become what the congestion controller's sensor
//! shows to the lane's monitor.
//!
//! The monitor is the daemon's own. Misfortunes may make the sensor lie: a false alarm shows a packet
//! that is unacknowledged for very long, and a loss shows bytes that were lost.

use std::time::{Duration, Instant};

use throughline_proto::lane::SensorSnapshot;

use crate::connection::End;
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
    /// A packet seems to be unacknowledged.
    alarm: bool,
    /// Since when the lane seems lossy.
    lossy_since: Option<Nanos>,
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

    /// So many bytes were acknowledged, and so many declared lost.
    pub(crate) fn settled(&mut self, acked: u64, lost: u64) {
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
    }

    /// A false alarm, or no longer.
    pub(crate) fn set_alarm(&mut self, alarm: bool) {
        self.alarm = alarm;
    }

    /// The lane seems to lose much from now on, or no longer.
    pub(crate) fn set_lossy(&mut self, now: Nanos, lossy: bool) {
        let (acked, lost) = self.pretended(now);
        self.settled(acked, lost);
        self.lossy_since = lossy.then_some(now);
    }

    fn pretended(&self, now: Nanos) -> (u64, u64) {
        let seems = |rate| self.lossy_since.map_or(0, |since| (now - since) / MS * rate * MS / SEC);
        (seems(LOSSY_RATE.0 - LOSSY_RATE.1), seems(LOSSY_RATE.1))
    }

    /// What an end's sensor shows at `now`; virtual time began at `base`.
    pub(crate) fn snapshot(end: &End, now: Nanos, base: Instant) -> SensorSnapshot {
        let instant = |at: Nanos| base + Duration::from_nanos(at);
        let sensor = &end.sensor;
        let (acked, lost) = sensor.pretended(now);
        let oldest = if sensor.alarm { Some(0) } else { end.oldest_beyond_acked() };
        SensorSnapshot {
            in_flight: end.in_flight(),
            cwnd: end.window,
            acked_bytes: sensor.acked_bytes + acked,
            lost_bytes: sensor.lost_bytes + lost,
            sent_bytes: end.sent_bytes(),
            last_ack: sensor.last_ack.filter(|_| !sensor.alarm).map(instant),
            oldest_unacked: oldest.map(instant),
            newest_acked_sent: sensor.newest_acked_sent.map(instant),
            newest_full_acked_sent: sensor.newest_full.map(instant),
            last_full_ack: sensor.last_full.map(instant),
            last_sent: None,
            ack_interval: Duration::from_nanos(sensor.ack_interval),
            srtt: Duration::from_nanos(end.srtt),
            rttvar: Duration::from_nanos(end.var),
            min_rtt: Duration::from_nanos(end.srtt),
            epoch: sensor.epoch,
        }
    }
}
