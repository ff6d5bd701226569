//! Bursts through what limits them, made here: token buckets, queues, losses.

use super::*;

/// One way, and back.
const TRIP: Duration = Duration::from_millis(20);
const SIZE: usize = 1228;

/// Times of 160 packets at 5 Mbit/s and 640 at 50, ten at a time.
fn times() -> Vec<Duration> {
    let mut times = Vec::new();
    let mut now = Duration::ZERO;
    for (count, rate) in [(160, 5e6), (640, 50e6)] {
        for number in 0..count {
            times.push(now);
            if number % 10 == 9 {
                now += Duration::from_secs_f64(10.0 * SIZE as f64 * 8.0 / rate);
            }
        }
    }
    times
}

fn burst(through: impl FnMut(Duration) -> Option<Duration>) -> Burst {
    let (times, mut through) = (times(), through);
    let packets = times.into_iter().map(|sent| Packet { sent, answered: through(sent) });
    Burst { size: SIZE, slow: 160, packets: packets.collect() }
}

/// A token bucket that drops: `rate` in bits a second, `bucket` in bytes.
fn policer(rate: f64, bucket: f64) -> impl FnMut(Duration) -> Option<Duration> {
    let (mut tokens, mut last) = (bucket, Duration::ZERO);
    move |now| {
        tokens = (tokens + (now - last).as_secs_f64() * rate / 8.0).min(bucket);
        last = now;
        (tokens >= SIZE as f64).then(|| {
            tokens -= SIZE as f64;
            now + TRIP
        })
    }
}

/// A link with a queue of so long.
fn link(rate: f64, queue: Duration) -> impl FnMut(Duration) -> Option<Duration> {
    let mut free = Duration::ZERO;
    move |now| {
        let begins = free.max(now);
        (begins - now <= queue).then(|| {
            free = begins + Duration::from_secs_f64(SIZE as f64 * 8.0 / rate);
            free + TRIP
        })
    }
}

/// Pseudo-random numbers below 1 (xorshift).
fn random() -> impl FnMut() -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn is_near(value: f64, expected: f64) -> bool {
    (value / expected - 1.0).abs() < 0.15
}

#[test]
fn a_policer_is_named_with_its_rate_and_its_bucket() {
    for (rate, bucket) in [(20e6, 100e3), (8e6, 50e3), (30e6, 20e3), (2e6, 10e3)] {
        let seen = judge(&burst(policer(rate, bucket)));
        let RateSeen::Policed { rate: found, burst, lost } = seen else {
            panic!("{rate}: {seen:?}")
        };
        assert!(is_near(found, rate) && lost > 0.1, "{rate}: {found} {lost}");
        assert!((burst - bucket).abs() < bucket * 0.2 + 10.0 * SIZE as f64, "{bucket}: {burst}");
    }
}

#[test]
fn a_slow_link_is_one_whether_its_queue_is_long_or_overflows() {
    for (rate, queue) in [(20e6, 1000), (20e6, 60), (3e6, 400), (8e6, 5000)] {
        let seen = judge(&burst(link(rate, Duration::from_millis(queue))));
        let RateSeen::Shaped { rate: found, delay, .. } = seen else { panic!("{rate}: {seen:?}") };
        assert!(
            is_near(found, rate) && delay > Duration::from_millis(20),
            "{rate}: {found} {delay:?}"
        );
    }
}

#[test]
fn a_path_that_is_faster_than_the_burst_is_free_and_single_losses_do_not_count() {
    let mut chance = random();
    for lossy in [false, true] {
        let seen = judge(&burst(|now| {
            let jitter = Duration::from_secs_f64(chance() * 0.004);
            (!lossy || chance() > 0.005).then_some(now + TRIP + jitter)
        }));
        let RateSeen::Free { offered } = seen else { panic!("{lossy}: {seen:?}") };
        assert!(is_near(offered, 50e6), "{offered}");
    }
}

#[test]
fn losses_at_random_are_no_policer() {
    for share in [0.05, 0.3] {
        let mut chance = random();
        let seen = judge(&burst(|now| (chance() > share).then_some(now + TRIP)));
        assert!(
            matches!(seen, RateSeen::Lossy { lost } if (lost - share).abs() < 0.05),
            "{share}: {seen:?}"
        );
    }
}

#[test]
fn a_policer_is_named_beside_losses_at_random_and_jitter() {
    let (mut chance, mut policer) = (random(), policer(15e6, 60e3));
    let seen = judge(&burst(|now| {
        let jitter = Duration::from_secs_f64(chance() * 0.004);
        policer(now).filter(|_| chance() > 0.005).map(|at| at + jitter)
    }));
    assert!(matches!(seen, RateSeen::Policed { rate, .. } if is_near(rate, 15e6)), "{seen:?}");
}

#[test]
fn what_is_not_answered_says_nothing() {
    assert!(matches!(judge(&burst(|_| None)), RateSeen::Unknown(_)));
    let mut first = 0;
    let few = judge(&burst(|now| {
        first += 1;
        (first < 5).then_some(now + TRIP)
    }));
    assert!(matches!(few, RateSeen::Unknown(_)), "{few:?}");
    let none = Burst { size: SIZE, slow: 0, packets: Vec::new() };
    assert!(matches!(judge(&none), RateSeen::Unknown(_)));
}

#[test]
fn times_of_packets_that_are_not_in_order_are_no_panic() {
    let mut burst = burst(|now| Some(now + TRIP));
    burst.packets[690..].iter_mut().for_each(|packet| packet.answered = None);
    burst.packets[690].sent += Duration::from_secs(1);
    assert!(!matches!(judge(&burst), RateSeen::Free { .. }));
}
