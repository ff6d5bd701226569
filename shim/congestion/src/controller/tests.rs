//! The controller and its sensor in virtual time, called in quinn's order.
//!
//! `RttEstimator` cannot be made outside quinn, so acknowledgements enter below `on_ack` here;
//! `transport/tests.rs` drives the whole with real connections.

use std::time::Duration;

use super::*;
use throughline_proto::lane::SensorSnapshot;

const MS: Duration = Duration::from_millis(1);
const WINDOW: u64 = 64 << 10;

struct Path {
    start: Instant,
    sensor: Arc<LaneSensor>,
    controller: Box<LaneController>,
}

impl Path {
    fn new() -> Self {
        let (sensor, start) = (Arc::new(LaneSensor::new()), Instant::now());
        let controller = Box::new(LaneController::new(Arc::clone(&sensor), WINDOW, 1200, start));
        Self { start, sensor, controller }
    }

    fn at(&self, ms: u32) -> Instant {
        self.start + ms * MS
    }

    fn seen(&self) -> SensorSnapshot {
        self.sensor.snapshot()
    }

    /// Sends a burst as quinn does: asks for the window twice, then reports.
    fn send(&mut self, ms: u32, bytes: u64, number: u64) {
        let now = self.at(ms);
        send(&mut self.controller, now, bytes, number);
    }

    /// Sends acknowledgements only, or a loss probe: the window is not asked.
    fn send_unasked(&mut self, ms: u32, bytes: u64, number: u64) {
        let now = self.at(ms);
        self.controller.on_sent(now, bytes, number);
    }

    /// What `on_ack` does with a packet, then `on_end_acks`.
    fn ack(&mut self, ms: u32, sent: u32, bytes: u64, in_flight: u64, largest: u64) {
        let (now, sent) = (self.at(ms), self.at(sent));
        self.controller.packet_acked(now, sent, bytes, false, 20 * MS);
        self.controller.on_end_acks(now, in_flight, false, Some(largest));
    }
}

fn send(controller: &mut LaneController, now: Instant, bytes: u64, number: u64) {
    controller.window();
    controller.window();
    controller.on_sent(now, bytes, number);
}

#[test]
fn what_is_outstanding_is_what_was_sent_after_the_newest_acknowledged() {
    let mut path = Path::new();
    assert_eq!(path.seen().oldest_unacked, None);
    path.send(0, 1200, 0);
    path.send(5, 1200, 1);
    path.send(10, 1200, 2);
    assert_eq!(path.seen().oldest_unacked, Some(path.at(0)));
    assert_eq!(path.seen().in_flight, 3600);
    // Packet 0 is lost: a hole, which recovery fills.
    path.ack(25, 5, 1200, 2400, 1);
    let seen = path.seen();
    assert_eq!(seen.oldest_unacked, Some(path.at(10)));
    assert_eq!((seen.last_ack, seen.newest_acked_sent), (Some(path.at(25)), Some(path.at(5))));
    assert_eq!((seen.srtt, seen.acked_bytes), (20 * MS, 1200));
    path.ack(30, 10, 1200, 0, 2);
    assert_eq!(path.seen().oldest_unacked, None);
}

#[test]
fn the_tail_of_a_burst_stays_outstanding_when_its_head_is_acknowledged() {
    let mut path = Path::new();
    path.send(0, 12_000, 9);
    path.ack(20, 0, 6000, 6000, 4);
    assert_eq!(path.seen().oldest_unacked, Some(path.at(0)));
    path.ack(21, 0, 6000, 0, 9);
    assert_eq!(path.seen().oldest_unacked, None);
}

#[test]
fn acknowledgements_that_we_send_are_not_outstanding() {
    let mut path = Path::new();
    path.send_unasked(0, 60, 0);
    let seen = path.seen();
    assert_eq!((seen.oldest_unacked, seen.in_flight, seen.sent_bytes), (None, 0, 60));
    // `stats()` asks for the window as well, once.
    path.controller.window();
    path.send_unasked(1, 60, 1);
    assert_eq!(path.seen().oldest_unacked, None);
    // Acknowledgements of them are no progress.
    path.controller.on_end_acks(path.start + 20 * MS, 0, false, Some(1));
    assert_eq!(path.seen().last_ack, None);
}

#[test]
fn full_packets_are_overtaken_by_small_ones_that_are_acknowledged_alone() {
    let mut path = Path::new();
    let overtaken = |path: &Path| {
        let seen = path.seen().overtaken;
        (seen.packets, seen.turns)
    };
    path.send(0, 1200, 0);
    path.send(5, 12_100, 11); // ten full packets and a small one
    path.send(10, 60, 12);
    path.ack(20, 0, 1200, 12_160, 0);
    assert_eq!(overtaken(&path), (0, 0));
    path.ack(30, 10, 60, 12_100, 12);
    assert_eq!(overtaken(&path), (10, 1));
    path.send(35, 2400, 14);
    path.send_unasked(40, 1200, 15);
    path.ack(60, 40, 600, 0, 15);
    assert_eq!(overtaken(&path), (12, 2), "by a loss probe of QUIC's");
    path.send(65, 1200, 16);
    path.send(70, 60, 17);
    path.ack(85, 65, 1200, 60, 16);
    assert_eq!(overtaken(&path), (0, 0), "a full one passes");
    // An acknowledgement that was held back: of a full packet, of none of those sent since, and of a small one.
    path.send(90, 1200, 18);
    path.send(95, 6000, 23);
    path.send(99, 60, 24);
    let (now, sent) = (path.at(120), [path.at(90), path.at(99)]);
    path.controller.packet_acked(now, sent[0], 1200, false, 20 * MS);
    path.controller.packet_acked(now, sent[1], 60, false, 20 * MS);
    path.controller.on_end_acks(now, 6000, false, Some(24));
    assert_eq!(overtaken(&path), (5, 1));
    path.controller.on_mtu_update(1000);
    assert_eq!(overtaken(&path), (0, 0), "full is something else now");
}

#[test]
fn packets_of_a_length_that_passes_are_not_overtaken_by_each_other() {
    let mut path = Path::new();
    let each = 1000;
    path.send(0, 60, 0);
    path.ack(0, 0, 60, 0, 0);
    // Ten bursts of ten packets; one packet of each is reported as acknowledged.
    for burst in 0..10_u32 {
        path.send(2 * burst, 10 * each, u64::from(10 * burst + 10));
    }
    for burst in 0..10_u32 {
        path.ack(20 + 2 * burst, 2 * burst, each, 60_000, u64::from(10 * burst + 9));
    }
    assert_eq!(path.seen().overtaken.packets, 0);
    // Full packets are counted as before.
    path.send(40, 12_000, 110);
    path.send(42, each, 111);
    path.ack(62, 42, each, 13_000, 111);
    assert_eq!(path.seen().overtaken.packets, 10);
}

#[test]
fn full_packets_that_were_acknowledged_are_not_overtaken_by_the_last_of_their_burst() {
    let mut path = Path::new();
    path.send(0, 12_100, 10); // ten full packets and a small one
    path.ack(20, 0, 1200, 10_900, 9);
    path.ack(25, 0, 100, 0, 10);
    assert_eq!(path.seen().overtaken.packets, 0);
}

#[test]
fn nothing_in_flight_means_nothing_outstanding() {
    let mut path = Path::new();
    // Two packets of a packet number space that is then discarded, and one of data.
    path.send(0, 1200, 7);
    path.send(2, 1200, 8);
    path.ack(20, 0, 40, 0, 0);
    assert_eq!(path.seen().oldest_unacked, None, "whatever their numbers");
}

#[test]
fn while_a_path_is_validated_packet_numbers_tell_what_was_acknowledged() {
    let mut path = Path::new();
    path.send(0, 1200, 50);
    path.send(5, 1200, 51);
    // Quinn passes no `on_ack` on.
    path.controller.on_end_acks(path.start + 20 * MS, 2400, false, Some(49));
    assert_eq!(path.seen().last_ack, None, "of the earlier path");
    path.controller.on_end_acks(path.start + 22 * MS, 1200, false, Some(50));
    let seen = path.seen();
    assert_eq!((seen.last_ack, seen.newest_acked_sent), (Some(path.at(22)), Some(path.at(0))));
    assert_eq!(seen.oldest_unacked, Some(path.at(5)));
}

#[test]
fn the_ring_is_bounded() {
    let mut path = Path::new();
    for ms in 0..5000 {
        path.send(ms, 1200, ms.into());
    }
    assert_eq!(path.seen().oldest_unacked, Some(path.at(0)));
    path.ack(5020, 4999, 1200, 0, 4999);
    assert_eq!(path.seen().oldest_unacked, None);
}

#[test]
fn the_acknowledgement_clock_follows_its_interval_and_rises_quickly() {
    let mut path = Path::new();
    path.send(0, 1200, 99);
    for step in 10..100 {
        path.ack(step * 2, step * 2 - 20, 1200, 9999, 0);
    }
    let even = path.seen().ack_interval;
    assert!((MS..3 * MS).contains(&even), "{even:?}");
    path.ack(213, 193, 1200, 9999, 0);
    path.ack(228, 208, 1200, 9999, 0);
    assert!(path.seen().ack_interval >= 5 * MS, "{:?}", path.seen().ack_interval);
}

#[tokio::test]
async fn the_lane_is_woken_when_something_becomes_outstanding() {
    let mut path = Path::new();
    let woken = || tokio::time::timeout(20 * MS, path.sensor.busy().notified());
    woken().await.unwrap_err();
    path.send_unasked(0, 60, 0);
    tokio::time::timeout(20 * MS, path.sensor.busy().notified()).await.unwrap_err();
    path.send(1, 1200, 1);
    tokio::time::timeout(20 * MS, path.sensor.busy().notified()).await.unwrap();
    path.send(2, 1200, 2);
    tokio::time::timeout(20 * MS, path.sensor.busy().notified()).await.unwrap_err();
}

#[test]
fn a_move_starts_afresh_and_bytes_on_the_old_path_do_not_block_the_new_path() {
    let mut path = Path::new();
    path.send(0, 60_000, 49);
    path.controller.on_congestion_event(path.start, path.start, false, 1200);
    assert!(path.controller.window() < WINDOW);
    path.sensor.migrating(path.at(1000));
    let old_path_bytes = 58_800;
    assert_eq!(path.controller.window(), WINDOW + old_path_bytes, "even before quinn's next call");
    let seen = path.seen();
    assert_eq!((seen.epoch, seen.oldest_unacked, seen.in_flight), (1, None, 0));

    path.send(1001, 1200, 50);
    assert_eq!(path.seen().in_flight, 1200);
    assert_eq!(path.seen().oldest_unacked, Some(path.at(1001)));
    // The old packets' losses are not congestion, and drain what is old_path_bytes.
    path.controller.on_congestion_event(path.at(1021), path.at(0), true, 50_000);
    assert_eq!(path.controller.window(), WINDOW + old_path_bytes - 50_000);
    // An acknowledgement of one of them neither grows the window nor measures the new path.
    path.ack(1022, 0, 1200, 8_800, 48);
    assert_eq!(path.controller.window(), WINDOW + 7_600);
    assert_eq!(path.seen().srtt, crate::INITIAL_RTT);
    assert_eq!(path.seen().newest_acked_sent, None);
    // One report of losses may hold the rest of them and more than that.
    path.controller.on_congestion_event(path.at(1025), path.at(1001), false, 8_800);
    assert!(path.controller.window() < WINDOW);
}

#[test]
fn losses_on_the_new_path_are_congestion() {
    let mut path = Path::new();
    path.send(0, 12_000, 9);
    path.sensor.migrating(path.at(10));
    path.send(11, 12_000, 19);
    path.controller.on_congestion_event(path.at(31), path.at(11), false, 12_000);
    assert_eq!(path.controller.window(), WINDOW, "all of it may have been old_path_bytes");
    path.controller.on_congestion_event(path.at(32), path.at(11), false, 1200);
    assert!(path.controller.window() < WINDOW);
}

#[test]
fn a_grant_lets_a_packet_past_a_full_window_once() {
    let mut path = Path::new();
    path.send(0, WINDOW, 50);
    // Loss probes, which cannot be distinguished from acknowledgements, count in quinn's figure.
    path.send_unasked(300, 2400, 52);
    let in_flight = WINDOW + 2400;
    // Not through the controller, which takes note of who asks.
    let window = |path: &Path| path.sensor.window(path.controller.path.bytes());
    assert_eq!(window(&path), WINDOW);
    path.sensor.allow_probe();
    // One packet, since quinn wants strictly less than the window.
    assert_eq!(window(&path), in_flight + 2 * 1200);
    path.sensor.allow_probe();
    assert!(window(&path) > in_flight + 2 * 1200, "the next takes others with it");
    path.send_unasked(301, 60, 53);
    assert!(window(&path) > in_flight + 2 * 1200, "not spent on an acknowledgement");
    path.send(302, 1200, 54);
    assert_eq!(window(&path), WINDOW);
}

#[test]
fn the_controller_of_a_new_path_takes_over_with_its_first_packet() {
    let mut path = Path::new();
    path.send(0, 12_000, 9);
    // Somebody looks at the controller: quinn clones it.
    drop(path.controller.clone_box());
    let mut next = LaneController::new(Arc::clone(&path.sensor), WINDOW, 1200, path.start);
    assert_eq!(path.seen().epoch, 0, "a controller that has sent nothing is no path");
    send(&mut next, path.start + 50 * MS, 1200, 10);
    let seen = path.seen();
    assert_eq!((seen.epoch, seen.in_flight), (1, 1200));
    assert_eq!(seen.oldest_unacked, Some(path.at(50)));
    // Late events of the old path leave the new one's figures alone.
    path.ack(51, 0, 12_000, 0, 9);
    path.controller.on_congestion_event(path.at(52), path.at(0), true, 9_999);
    let seen = path.seen();
    assert_eq!((seen.in_flight, seen.lost_bytes, seen.last_ack), (1200, 0, None));
    assert_eq!(seen.cwnd, WINDOW);
    // Validation fails and quinn returns to the old path.
    path.send(900, 1200, 11);
    assert_eq!((path.seen().epoch, path.seen().in_flight), (2, 1200));
}

#[test]
fn an_outage_is_no_round_trip_time_but_a_path_that_grew_long_is_believed() {
    let mut path = Path::new();
    let mut number = 0;
    let mut round_trip = |path: &mut Path, at: u32, takes: u32| {
        path.send(at, 1200, number);
        path.ack(at + takes, at, 1200, 0, number);
        number += 1;
        at + takes + 1
    };
    let mut at = 0;
    for _ in 0..20 {
        at = round_trip(&mut path, at, 20);
    }
    // Its acknowledgement was lost with the path, and comes when that heals.
    at = round_trip(&mut path, at, 2000);
    let seen = path.seen();
    let expected = seen.srtt + 4 * seen.rttvar;
    assert!(expected < Duration::from_millis(100), "{seen:?}");
    for _ in 0..6 {
        at = round_trip(&mut path, at, 300);
    }
    assert!(path.seen().srtt > Duration::from_millis(150), "{:?}", path.seen());
    assert!(path.seen().srtt + 4 * path.seen().rttvar > Duration::from_millis(300));
}

/// Sends a packet each millisecond and acknowledges each 20 ms later, but for what `arrives` says: when
/// the packet that was sent then is acknowledged, if it is.
fn run(path: &mut Path, ms: u32, arrives: impl Fn(u32) -> Option<u32>) {
    let mut due: Vec<(u32, u32)> =
        (0..ms).filter_map(|sent| Some((arrives(sent)?, sent))).collect();
    due.sort_unstable();
    let mut due = due.into_iter().peekable();
    for now in 0..ms {
        path.send(now, 1200, now.into());
        while let Some((_, sent)) = due.next_if(|(at, _)| *at <= now) {
            path.ack(now, sent, 1200, 24_000, sent.into());
        }
    }
}

#[test]
fn a_path_that_holds_packets_back_is_known_to_pause() {
    let mut path = Path::new();
    // For 180 ms of each second nothing arrives; what was sent arrives afterwards.
    run(&mut path, 5_000, |sent| {
        let arrives = sent + 20;
        Some(if arrives % 1000 < 180 { arrives / 1000 * 1000 + 180 } else { arrives })
    });
    let pauses = path.seen().pauses;
    assert!(pauses.usual >= 170 * MS && pauses.usual < 230 * MS, "{pauses:?}");
    path.sensor.migrating(path.at(5_000));
    assert_eq!(path.seen().pauses.usual, Duration::ZERO, "another path");
}

#[test]
fn outages_are_no_pauses_since_what_was_sent_in_them_is_lost() {
    let mut path = Path::new();
    run(&mut path, 5_000, |sent| (sent % 1000 >= 180).then_some(sent + 20));
    let pauses = path.seen().pauses;
    assert!(pauses.usual < 40 * MS && pauses.fail_after == Duration::ZERO, "{pauses:?}");
}
