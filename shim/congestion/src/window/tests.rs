#[path = "link.rs"]
mod link;

use link::Sim;
use throughline_link::{Loss, Queue};

use super::*;

const MS: Duration = Duration::from_millis(1);
const RTT: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_small_window_fills_the_path_in_200_ms_without_a_long_queue() {
    let mut sim = Sim::new(200, RTT).flow(0, Duration::ZERO);
    let (_, [first, _]) = sim.run(200 * MS);
    let (rates, [then, _]) = sim.run(200 * MS);
    assert!(rates[0] > 150.0, "{rates:?}");
    assert!(first.max(then) < 15 * MS, "{first:?}, {then:?}");
}

#[test]
fn one_flow_uses_the_path_and_keeps_its_queue_short() {
    for (mbit, rtt) in [(200, RTT), (200, 4 * MS), (20, RTT), (50, 100 * MS), (1000, 50 * MS)] {
        let mut sim = Sim::new(mbit, rtt).flow(0, Duration::ZERO);
        sim.run(3 * SECOND);
        let (rates, [queue, _]) = sim.run(5 * SECOND);
        assert!(rates[0] > 0.95 * mbit as f64, "{rates:?} of {mbit} at {rtt:?}");
        assert!(queue < 12 * MS + rtt / 4, "{queue:?} at {mbit}, {rtt:?}");
    }
}

#[test]
fn both_directions_at_once_fill_the_path_and_neither_starves_the_other() {
    // The peer's clock may run faster or slower, by as much as the worst that is sold.
    for (late, drift) in [(0, 0), (1, 0), (50, 0), (2000, 0), (0, 50), (2000, 50), (2000, -50)] {
        let mut sim = Sim::new(200, RTT).flow(0, Duration::ZERO).flow(1, late * MS);
        sim.drift = drift;
        sim.run(late * MS + SECOND);
        let (mut sum, mut worst) = ([0.0; 2], [Duration::ZERO; 2]);
        let mut least = f64::MAX;
        for _ in 0..60 {
            let (rates, queues) = sim.run(SECOND);
            sum = [sum[0] + rates[0] / 60.0, sum[1] + rates[1] / 60.0];
            least = rates.iter().copied().fold(least, f64::min);
            worst = [worst[0].max(queues[0]), worst[1].max(queues[1])];
        }
        let run = format!("{late} ms apart, drift {drift}: {sum:?}, least {least}, {worst:?}");
        assert!(sum.iter().all(|rate| *rate > 180.0) && least > 140.0, "{run}");
        // CUBIC has 50 ms in each direction nearly always.
        assert!(worst.iter().all(|queue| *queue < 25 * MS), "{run}");
    }
}

#[test]
fn both_directions_that_take_over_a_lane_hardly_delay_what_is_thin() {
    for late in [0, 1, 3, 5, 8, 12, 16, 20, 25, 30, 50] {
        let mut sim = Sim::new(200, RTT).flow(0, Duration::ZERO).flow(1, late * MS);
        let longest = |sim: &mut Sim| {
            let sums = (0..1000).map(|_| sim.run(MS).1.iter().sum::<Duration>());
            sums.max().unwrap()
        };
        // What the round trip of an echo takes beyond the path's own.
        let worst = longest(&mut sim).max(longest(&mut sim));
        assert!(worst < 16 * MS, "{late} ms apart: {worst:?}");
        let (rates, _) = sim.run(SECOND);
        assert!(rates.iter().all(|rate| *rate > 170.0), "{late} ms apart: {rates:?}");
    }
}

#[test]
fn a_clock_that_drifts_does_not_lengthen_the_queue_of_one_flow() {
    for drift in [50, -50] {
        let mut sim = Sim::new(200, RTT).flow(0, Duration::ZERO);
        sim.drift = drift;
        sim.run(60 * SECOND);
        let (rates, [queue, _]) = sim.run(60 * SECOND);
        assert!(rates[0] > 190.0 && queue < 10 * MS, "{rates:?}, {queue:?}, drift {drift}");
    }
}

#[test]
fn a_second_lane_on_the_same_link_gets_a_share() {
    let mut sim = Sim::new(200, RTT).flow(0, Duration::ZERO).flow(0, 2 * SECOND);
    sim.run(6 * SECOND);
    let (rates, [queue, _]) = sim.run(20 * SECOND);
    assert!(rates.iter().all(|rate| *rate > 50.0), "{rates:?}");
    assert!(rates.iter().sum::<f64>() > 190.0, "{rates:?}");
    assert!(queue < 30 * MS, "{queue:?}");
}

#[test]
fn a_competitor_that_fills_the_queue_gets_no_more_than_its_share_and_no_less() {
    let mut sim = Sim::new(100, RTT).flow(0, Duration::ZERO).cubic(0, 2 * SECOND);
    sim.run(8 * SECOND);
    let (rates, _) = sim.run(60 * SECOND);
    assert!(rates.iter().all(|rate| *rate > 25.0), "{rates:?}");
}

#[test]
fn a_competitor_that_was_there_first_leaves_room() {
    let mut sim = Sim::new(100, RTT).cubic(0, Duration::ZERO).flow(0, 5 * SECOND);
    sim.run(15 * SECOND);
    let (rates, _) = sim.run(60 * SECOND);
    assert!(rates.iter().all(|rate| *rate > 18.0), "{rates:?}");
}

#[test]
fn a_round_that_says_nothing_ends_those_in_a_row_that_show_a_crowded_path() {
    let mut sim = Sim::new(100, RTT).flow(0, Duration::ZERO);
    sim.run(5 * SECOND);
    let crowded = Round {
        min: RTT,
        conclusive: true,
        in_use: true,
        duration: RTT,
        delivered: 50_000,
        lost: 1200,
        ..Round::default()
    };
    let limited = Round { conclusive: false, ..crowded };
    let competes = |rounds: &[Round]| {
        let mut window = sim.flows[0].ours().clone();
        rounds.iter().for_each(|round| window.on_round(sim.now, round));
        !window.delay.is_active()
    };
    assert!(competes(&[crowded; 4]));
    assert!(!competes(&[crowded, crowded, crowded, limited, crowded]));
}

#[test]
fn when_the_competitor_has_gone_the_queue_is_short_again() {
    let mut sim = Sim::new(100, RTT).flow(0, Duration::ZERO).cubic(0, SECOND);
    sim.run(8 * SECOND);
    sim.flows.truncate(1);
    sim.run(12 * SECOND);
    let (rates, [queue, _]) = sim.run(5 * SECOND);
    assert!(rates[0] > 90.0 && queue < 25 * MS, "{rates:?}, {queue:?}");
}

#[test]
fn somebody_elses_queue_in_the_other_direction_does_not_starve_us() {
    let mut sim = Sim::new(200, RTT).flow(0, Duration::ZERO).cubic(1, SECOND);
    sim.run(4 * SECOND);
    let (rates, _) = sim.run(20 * SECOND);
    assert!(rates[0] > 110.0, "{rates:?}");
}

#[test]
fn a_longer_route_is_found_to_be_one() {
    let mut sim = Sim::new(100, RTT).flow(0, Duration::ZERO);
    sim.run(3 * SECOND);
    sim.change(|link| link.delay = 40 * MS);
    sim.run(SECOND);
    let (rates, _) = sim.run(9 * SECOND);
    // As CUBIC does it, from a window that was right for the shorter one.
    assert!(rates[0] > 35.0, "{rates:?}");
    sim.run(5 * SECOND);
    let (rates, [queue, _]) = sim.run(5 * SECOND);
    assert!(rates[0] > 90.0 && queue < 40 * MS, "{rates:?}, {queue:?}");
}

#[test]
fn where_the_buffer_is_shorter_than_the_wanted_queue_losses_stay_rare() {
    let mut sim = Sim::new(200, RTT).flow(0, Duration::ZERO);
    sim.change(|link| link.queue = Queue::Time(2 * MS));
    sim.run(2 * SECOND);
    let (rates, _) = sim.run(10 * SECOND);
    assert!(rates[0] > 150.0, "{rates:?}");
}

#[test]
fn a_loss_now_and_then_does_not_empty_the_path() {
    let mut sim = Sim::new(200, RTT).flow(0, Duration::ZERO);
    sim.change(|link| link.loss = Loss::Periodic(2000));
    sim.run(2 * SECOND);
    let (rates, _) = sim.run(10 * SECOND);
    // CUBIC alone: 27.
    assert!(rates[0] > 45.0, "{rates:?}");
}

/// A window that has carried a packet every 20 ms for a second.
fn thin_until_an_outage(start: Instant) -> Window {
    let mut window = Window::new(64 << 10, 1200);
    for ms in (0..1000).step_by(20) {
        window.on_ack(start + (ms + 20) * MS, start + ms * MS, 1200, true, RTT);
    }
    window
}

#[test]
fn after_an_outage_the_path_begins_anew_whatever_was_lost_in_it() {
    for persistent in [false, true] {
        let start = Instant::now();
        let at = |ms: u32| start + ms * MS;
        let mut window = thin_until_an_outage(start);
        for ms in [6000, 6020] {
            window.on_ack(at(ms + 20), at(ms), 1200, true, RTT);
        }
        for sent in [1000, 1100, 1300, 1700, 2500, 4100] {
            window.on_congestion(at(6020), at(sent), persistent, 1200);
        }
        assert_eq!(window.bytes(), 64 << 10);
        assert!(window.in_slow_start());
        window.on_ack(at(6060), at(6040), 30_000, false, RTT);
        assert_eq!(window.bytes(), (64 << 10) + 30_000, "and grows at once");
    }
}

#[test]
fn what_a_dial_sent_while_the_path_was_dead_is_no_congestion() {
    let start = Instant::now();
    let at = |ms: u32| start + ms * MS;
    // The first packet and two more are lost; the fourth comes when the path is back.
    let dialed = |sent: [u32; 4]| {
        let mut window = Window::new(64 << 10, 1200);
        sent.iter().for_each(|sent| window.on_sent(at(*sent)));
        window.on_ack(at(sent[3] + 20), at(sent[3]), 1200, true, RTT);
        sent[..3]
            .iter()
            .for_each(|lost| window.on_congestion(at(sent[3] + 20), at(*lost), false, 1200));
        window.on_ack(at(sent[3] + 60), at(sent[3] + 40), 30_000, false, RTT);
        window.bytes()
    };
    assert_eq!(dialed([0, 100, 300, 700]), (64 << 10) + 30_000, "and grows at once");
    assert!(dialed([0, 1, 2, 3]) < 64 << 10, "a flight of which the head is lost");
}

#[test]
fn what_is_lost_after_an_outage_counts() {
    let start = Instant::now();
    let at = |ms: u32| start + ms * MS;
    let mut window = thin_until_an_outage(start);
    window.on_ack(at(6020), at(6000), 1200, true, RTT);
    window.on_congestion(at(6020), at(4100), false, 1200);
    window.on_congestion(at(6050), at(6001), false, 1200);
    assert_eq!(window.bytes(), ((64 << 10) as f64 * 0.7) as u64);
}

#[test]
fn a_loss_among_answers_is_no_outage() {
    let start = Instant::now();
    let at = |ms: u32| start + ms * MS;
    let mut window = thin_until_an_outage(start);
    window.on_ack(at(1220), at(1200), 1200, true, RTT);
    window.on_congestion(at(1220), at(1100), false, 1200);
    assert_eq!(window.bytes(), ((64 << 10) as f64 * 0.7) as u64);
}

#[test]
fn what_a_shrunk_mtu_lost_is_no_congestion_and_the_path_begins_anew() {
    let start = Instant::now();
    let at = |ms: u32| start + ms * MS;
    let mut window = Window::new(64 << 10, 1452);
    for sent in 0..40 {
        window.on_ack(at(sent + 20), at(sent), 1452, false, RTT);
    }
    for sent in [40, 60, 80] {
        window.on_congestion(at(sent + 20), at(sent), false, 1200);
    }
    assert!(window.bytes() < 64 << 10);
    window.on_mtu_update(at(100), 1200);
    assert_eq!(window.bytes(), 64 << 10);
    window.on_congestion(at(110), at(90), false, 1200);
    assert_eq!(window.bytes(), 64 << 10, "sent before that");
    window.on_mtu_update(at(120), 1300);
    assert!(window.in_slow_start());
    window.on_congestion(at(160), at(140), false, 1200);
    assert!(window.bytes() < 64 << 10, "sent after it");
}
