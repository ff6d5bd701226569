//! Real QUIC connections over simulated links, in virtual time.

use std::time::Duration;

use throughline_link::{Policer, Profile, Queue, Way};
use throughline_simulation::quic::{Congestion, Contest, Flow, Traffic, alone, percentile};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// A link both ways: `mbit` Mbit/s, `rtt` there and back, a queue of `queue`.
fn profile(mbit: u64, rtt: Duration, queue: Duration) -> Profile {
    Profile::new(mbit * 1_000_000, rtt / 2).queue(Queue::Time(queue))
}

#[test]
fn every_controller_fills_a_link_alone_and_only_a_lane_keeps_its_queue_short() {
    for congestion in [Congestion::Lane, Congestion::Cubic, Congestion::NewReno, Congestion::Bbr] {
        let mut traffic = Traffic::new(1);
        let [up, down] = [0, 1].map(|_| traffic.link(profile(20, 20 * MS, 100 * MS)));
        let flow = traffic.flow(Flow::download(up, down, congestion).echo(20 * MS));
        traffic.run(8 * SEC);
        let goodput = traffic.goodput(flow, 3 * SEC, 8 * SEC);
        assert!(goodput > 18.5, "{congestion:?}: {goodput}");
        let echo = percentile(traffic.echoes(flow, 3 * SEC, 8 * SEC), 0.99);
        assert_eq!(echo < 35 * MS, congestion == Congestion::Lane, "{congestion:?}: {echo:?}");
    }
}

#[test]
fn runs_of_one_seed_are_alike() {
    let run = || {
        let mut traffic = Traffic::new(7);
        let [up, down] = [0, 1].map(|_| traffic.link(profile(20, 20 * MS, 50 * MS)));
        let lane = traffic.flow(Flow::download(up, down, Congestion::Lane).echo(20 * MS));
        let other = Flow::download(up, down, Congestion::Cubic).begins(SEC).bulk(Some(Way::Both));
        let other = traffic.flow(other);
        traffic.run(4 * SEC);
        let goodput =
            [lane, other].map(|flow| traffic.goodput(flow, Duration::ZERO, 4 * SEC).to_bits());
        (goodput, traffic.echoes(lane, Duration::ZERO, 4 * SEC), *traffic.stats(down))
    };
    assert_eq!(run(), run());
}

/// A line far faster than a policer of `mbit` Mbit/s, which lets 20 ms of that through at once.
fn policed(mbit: u64) -> Profile {
    let rate = mbit * 1_000_000;
    let policer = Policer { rate, burst: rate / 8 / 50 };
    Profile::new(1_000_000_000, 10 * MS).queue(Queue::Time(100 * MS)).policer(policer)
}

#[test]
fn behind_a_policer_a_lane_and_cubic_have_between_half_and_twice_of_one_another() {
    use Congestion::{Cubic, Lane};
    for (mbit, senders, seed) in [
        (20, [Lane, Cubic], 1),
        (20, [Lane, Cubic], 2),
        (20, [Cubic, Lane], 1),
        (20, [Cubic, Lane], 2),
        (100, [Cubic, Lane], 1),
    ] {
        let shares = Contest { bottleneck: policed(mbit), senders, seed }.run();
        let ratio = shares.goodput[0] / shares.goodput[1];
        let run = format!("{mbit} Mbit/s, {senders:?}, seed {seed}: {shares:?}");
        assert!((0.5..2.0).contains(&ratio), "{run}");
        assert!(shares.loss < 0.06, "{run}");
    }
}

#[test]
fn where_cubic_was_first_a_lane_finds_its_share_of_a_long_queue() {
    for (mbit, queue) in [(20, 500), (20, 200), (100, 50)] {
        let ratio = |seed| {
            let bottleneck = profile(mbit, 20 * MS, queue * MS);
            let senders = [Congestion::Cubic, Congestion::Lane];
            let shares = Contest { bottleneck, senders, seed }.run();
            shares.goodput[0] / shares.goodput[1]
        };
        let ratios = [1, 2, 3].map(ratio);
        let mean = ratios.iter().product::<f64>().cbrt();
        assert!((0.5..2.0).contains(&mean), "{mbit} Mbit/s, {queue} ms: {ratios:?}");
    }
}

#[test]
fn a_lane_alone_fills_a_link_whose_queue_has_ten_milliseconds() {
    let run = alone(&profile(20, 20 * MS, 10 * MS), Congestion::Lane, 12 * SEC, 1);
    assert!(run.goodput[2] > 18.0 && run.echo[1] < 32 * MS, "{run:?}");
}
