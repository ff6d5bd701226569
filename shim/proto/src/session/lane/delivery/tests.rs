//! Tests of what is measured of a lane's deliveries.

use super::*;

const MS: Duration = Duration::from_millis(1);

impl DeliveryMeter {
    /// Assumes that the deliveries broke down.
    pub(in crate::session) fn assume_collapse(&mut self) {
        self.evidence.collapsed = true;
    }
}

/// A meter that is shown a lane every 20 ms.
struct Lane {
    now: Instant,
    acked: u64,
    meter: DeliveryMeter,
}

impl Lane {
    fn new() -> Self {
        Self { now: Instant::now(), acked: 0, meter: DeliveryMeter::default() }
    }

    /// Delivers `rate` bytes a second for so many milliseconds, with bulk waiting or not.
    fn run(&mut self, ms: u64, rate: u64, waits: bool) -> Evidence {
        for _ in 0..ms / 20 {
            self.now += 20 * MS;
            self.acked += rate / 50;
            self.meter.observe(self.now, &snapshot(self.now, self.acked), waits);
        }
        self.meter.evidence()
    }
}

fn snapshot(now: Instant, acked_bytes: u64) -> SensorSnapshot {
    SensorSnapshot {
        in_flight: 50_000,
        cwnd: 60_000,
        acked_bytes,
        lost_bytes: 0,
        sent_bytes: acked_bytes,
        last_ack: Some(now),
        oldest_unacked: Some(now),
        newest_acked_sent: Some(now),
        newest_full_acked_sent: Some(now),
        last_full_ack: Some(now),
        last_sent: Some(now),
        overtaken: crate::lane::Overtaken::default(),
        ack_interval: MS,
        srtt: 20 * MS,
        rttvar: MS,
        min_rtt: 20 * MS,
        pauses: crate::lane::Pauses::default(),
        epoch: 0,
    }
}

#[test]
fn a_lane_that_bulk_fills_shows_its_rate_and_one_that_the_application_limits_does_not() {
    let mut lane = Lane::new();
    assert_eq!(lane.run(2000, 1_000_000, false).rate, None);
    let seen = lane.run(2000, 1_000_000, true);
    assert_eq!(seen.rate, Some(1_000_000));
    assert!(seen.full_for >= 1800 * MS, "{seen:?}");
    lane.run(100, 0, false);
    assert!(lane.run(100, 1_000_000, true).full_for >= 2000 * MS, "a short break is none");
    let seen = lane.run(1000, 10_000, false);
    assert_eq!((seen.full_for, seen.rate), (Duration::ZERO, Some(1_000_000)));
    let seen = lane.run(15_000, 10_000, false);
    assert_eq!(seen.rate, None, "15 s later");
}

#[test]
fn a_lane_collapses_when_it_delivers_less_than_a_quarter_and_not_when_it_pauses() {
    let mut lane = Lane::new();
    lane.run(3000, 1_000_000, true);
    assert!(!lane.run(500, 0, true).collapsed);
    assert!(!lane.run(1000, 1_000_000, true).collapsed);
    lane.run(2000, 1_000_000, true);
    let mut at = 0;
    while !lane.run(20, 20_000, true).collapsed {
        at += 20;
    }
    assert!((500..=800).contains(&at), "{at}");
    assert!(lane.meter.evidence().rate < Some(250_000), "{:?}", lane.meter.evidence());
}

#[test]
fn a_window_that_grows_is_measured_by_the_last_half_second() {
    let mut lane = Lane::new();
    lane.run(500, 100_000, true);
    let seen = lane.run(600, 2_000_000, true);
    assert!(seen.rate > Some(1_800_000), "{seen:?}");
}
