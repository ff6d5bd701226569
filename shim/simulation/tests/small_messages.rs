//! Small messages over lanes that lose packets, over real QUIC in virtual time.

use std::time::Duration;

use throughline_link::{Loss, Profile, Queue};
use throughline_proto::types::Mode;
use throughline_simulation::field::{Application, Field};
use throughline_simulation::quic::percentile;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// Runs an echo over two lanes that each lose 3 % both ways.
fn lossy(mode: Mode, rtt: Duration, interval: Duration) -> (Field, Vec<Duration>) {
    let mut field = Field::new(1);
    for _ in 0..2 {
        let mut profile = Profile::new(50_000_000, rtt / 2).queue(Queue::Time(50 * MS));
        profile.loss = Loss::Random(0.03);
        field.isp(profile.clone(), profile);
    }
    let flow = field.flow(mode, Application::Echo(interval), 500 * MS);
    field.run(32 * SEC);
    let latencies = field.latencies(flow, SEC, 30 * SEC);
    (field, latencies)
}

#[test]
fn two_lanes_hide_random_loss_from_small_messages() {
    for mode in [Mode::Auto, Mode::Redundant] {
        for rtt in [20 * MS, 100 * MS, 200 * MS] {
            for interval in [10 * MS, 20 * MS, 100 * MS] {
                let (field, latencies) = lossy(mode, rtt, interval);
                let [p50, p99] =
                    [0.5, 0.99].map(|part| percentile(latencies.iter().copied(), part));
                println!("{mode} {rtt:?} every {interval:?}: {p50:?}, {p99:?}");
                assert!(p99 <= rtt * 6 / 5, "{mode} {rtt:?} every {interval:?}: {p99:?}");
                assert_eq!([0, 1].map(|isp| field.report(isp).closed), [0, 0]);
            }
        }
    }
}

#[test]
fn a_single_lane_that_loses_repeats_itself_and_is_not_suspected_for_it() {
    for rtt in [20 * MS, 100 * MS] {
        let (field, latencies) = lossy(Mode::Single, rtt, 20 * MS);
        let p90 = percentile(latencies.iter().copied(), 0.9);
        assert!(p90 <= rtt * 6 / 5, "{rtt:?}: {p90:?}");
        let reports: u32 = [0, 1].map(|isp| field.report(isp).suspicions).iter().sum();
        assert!(reports <= 6, "{rtt:?}: {reports}");
    }
}

/// Each message that is said again takes a stream for a round trip, and a lane has 64 beside what its flows need:
/// beyond that messages are said once on each lane, since one that waits for a stream holds up all of its lane.
#[test]
fn the_messages_of_several_flows_over_far_lanes_that_lose_do_not_wait_for_streams() {
    let rtt = 600 * MS;
    let mut field = Field::new(1);
    for _ in 0..2 {
        let mut profile = Profile::new(50_000_000, rtt / 2).queue(Queue::Time(50 * MS));
        profile.loss = Loss::Random(0.03);
        field.isp(profile.clone(), profile);
    }
    let flows: Vec<_> =
        (0..4).map(|_| field.flow(Mode::Auto, Application::Echo(20 * MS), 500 * MS)).collect();
    field.run(32 * SEC);
    for flow in flows {
        let p99 = percentile(field.latencies(flow, 5 * SEC, 30 * SEC).iter().copied(), 0.99);
        println!("{p99:?}");
        assert!(p99 <= 2 * rtt, "{p99:?}");
    }
}
