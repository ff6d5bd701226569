use super::*;

const MS: Duration = Duration::from_millis(1);
const MTU: u16 = 1200;
const RTT: Duration = Duration::from_millis(20);

/// Acknowledges a whole window, packet by packet, one round trip of `rtt` after it was sent.
fn round(cubic: &mut Cubic, sent: Instant, rtt: Duration) -> Instant {
    let packets = cubic.window() / u64::from(MTU);
    for packet in 0..packets {
        // Spread over the round, as pacing does.
        let sent = sent + rtt * packet as u32 / packets as u32;
        cubic.on_ack(sent + rtt, sent, MTU.into(), false, rtt);
    }
    sent + rtt
}

fn cubic() -> Cubic {
    Cubic::new(64 << 10, MTU)
}

#[test]
fn slow_start_doubles_the_window_every_round_trip() {
    let (mut cubic, mut now) = (cubic(), Instant::now());
    for _ in 0..5 {
        let before = cubic.window();
        now = round(&mut cubic, now, RTT);
        assert!(cubic.window() >= before * 2 - 1200, "{} after {before}", cubic.window());
    }
    assert!(cubic.in_slow_start());
}

#[test]
fn a_loss_leaves_seven_tenths_and_one_flight_counts_once() {
    let (mut cubic, start) = (cubic(), Instant::now());
    let now = round(&mut cubic, start, RTT);
    let before = cubic.window();
    cubic.on_congestion(now + RTT, now);
    let reduced = cubic.window();
    assert_eq!(reduced, (before as f64 * 0.7) as u64);
    cubic.on_congestion(now + RTT + MS, now + MS);
    assert_eq!(cubic.window(), reduced, "sent before the reduction");
    cubic.on_ack(now + RTT + MS, now + MS, 1200, false, RTT);
    assert_eq!(cubic.window(), reduced, "recovery does not grow the window");
    cubic.on_congestion(now + 3 * RTT, now + 2 * RTT);
    assert_eq!(cubic.window(), (reduced as f64 * 0.7) as u64);
}

#[test]
fn the_window_follows_the_curve_to_its_plateau_and_beyond() {
    // A window of 1000 packets at 100 ms: K = cbrt(300 / 0.4) = 9.09 s.
    let rtt = 100 * MS;
    let mut cubic = Cubic::new(1_200_000, MTU);
    let mut now = Instant::now();
    cubic.on_congestion(now, now);
    now += MS;
    let start = now;
    let mut at_half = 0;
    while now < start + Duration::from_millis(9_090) {
        now = round(&mut cubic, now, rtt);
        if now <= start + Duration::from_millis(4_545) {
            at_half = cubic.window();
        }
    }
    // W(K/2) = 1000 − 300/8 packets.
    let expected = 962.5 * 1200.0;
    assert!((at_half as f64 / expected - 1.0).abs() < 0.02, "{at_half} at K/2");
    let plateau = cubic.window() as f64 / 1_200_000.0;
    assert!((plateau - 1.0).abs() < 0.02, "{plateau} of the plateau at K");
    for _ in 0..60 {
        now = round(&mut cubic, now, rtt);
    }
    assert!(cubic.window() > 1_230_000, "probes beyond it: {}", cubic.window());
}

#[test]
fn on_short_paths_it_is_never_slower_than_reno() {
    let mut cubic = Cubic::new(24_000, MTU);
    let mut now = Instant::now();
    cubic.on_congestion(now, now);
    now += MS;
    for _ in 0..20 {
        now = round(&mut cubic, now, 2 * MS);
    }
    // From 14 packets α = 0.53 a round up to 20, then one a round; the curve would be at 14 still.
    let packets = cubic.window() / 1200;
    assert!((26..=30).contains(&packets), "{packets}");
}

#[test]
fn an_application_that_does_not_fill_the_window_does_not_grow_it() {
    let (mut cubic, now) = (cubic(), Instant::now());
    let before = cubic.window();
    for step in 0..100 {
        cubic.on_ack(now + step * MS + RTT, now + step * MS, 1200, true, RTT);
    }
    assert_eq!(cubic.window(), before);
}

#[test]
fn an_idle_hour_does_not_move_the_curve() {
    let mut cubic = Cubic::new(1_200_000, MTU);
    let mut now = Instant::now();
    cubic.on_congestion(now, now);
    now = round(&mut cubic, now + MS, RTT);
    let before = cubic.window();
    cubic.on_ack(now + RTT, now, 1200, true, RTT);
    now += Duration::from_secs(3600);
    cubic.on_ack(now + RTT, now, 1200, true, RTT);
    now = round(&mut cubic, now + RTT, RTT);
    let _ = now;
    let grown = cubic.window() as f64 / before as f64;
    assert!(grown < 1.02, "{grown}");
}

#[test]
fn a_larger_mtu_lifts_the_least_window() {
    let mut cubic = Cubic::new(0, MTU);
    assert_eq!(cubic.window(), 2400);
    cubic.on_mtu_update(1452);
    assert_eq!(cubic.window(), 2904);
}

#[test]
fn a_day_without_loss_does_not_overflow() {
    let mut cubic = Cubic::new(1_200_000, MTU);
    let mut now = Instant::now();
    cubic.on_congestion(now, now);
    for _ in 0..24 {
        now += Duration::from_secs(3600);
        cubic.on_ack(now + RTT, now, 1200, false, RTT);
    }
    assert!(cubic.window() >= 840_000);
}
