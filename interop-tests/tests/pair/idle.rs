//! What a session costs while nothing happens in it.

use std::time::Duration;

use interop_tests::support::{Outcome, alone, lanes};
use throughline::LaneStatus;
use throughline_fixture::{NodePair, Shape};

/// Lanes have found their path's MTU by then, and said all that they have to say.
const SETTLED: Duration = Duration::from_secs(8);

/// One packet per lane and direction in this time is the bar.
const PERIOD: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_lane_sends_a_packet_in_fifteen_seconds_and_no_more() -> Outcome<()> {
    let _alone = alone().await;
    let pair = NodePair::start(Shape::default()).await?;
    tokio::time::sleep(SETTLED).await;
    let count = || {
        [0, 1].map(|isp| {
            let stats = pair.isp(isp).stats();
            [stats.up.delivered.packets, stats.down.delivered.packets]
        })
    };
    let before = count();
    tokio::time::sleep(3 * PERIOD).await;
    let after = count();
    let lanes = |isp: usize| {
        let uplink = ["isp-a", "isp-b"][isp];
        let on = |l: &&LaneStatus| l.uplink.as_deref() == Some(uplink);
        lanes(&pair.near).iter().filter(on).count() as u64
    };
    for (isp, (before, after)) in before.iter().zip(after).enumerate() {
        for (way, (before, after)) in ["up", "down"].iter().zip(before.iter().zip(after)) {
            let sent = after - before;
            // None at all would be a lane that a NAT forgets.
            let lanes = lanes(isp);
            let right = lanes > 0 && (2 * lanes..=3 * lanes).contains(&sent);
            assert!(right, "{sent} packets {way} through isp {isp} with {lanes} lanes in 45 s");
        }
    }
    pair.shutdown().await;
    Ok(())
}
