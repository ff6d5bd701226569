//! What a session costs while nothing happens in it; and a minute without any ISP, which is as idle and passes in the
//! same time.

use std::time::Duration;

use interop_tests::support::{Outcome, alone, lanes};
use throughline::LaneStatus;
use throughline_fixture::{NodePair, Shape};

use super::all_down::{bar, long_outage};

/// Lanes have found their path's MTU by then, and said all that they have to say.
const SETTLED: Duration = Duration::from_secs(8);

/// One packet per lane and direction in this time is the bar.
const PERIOD: Duration = Duration::from_secs(15);

/// In one of so many whiles the bar is met.
const WINDOWS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_lane_sends_a_packet_in_fifteen_seconds_and_flows_go_on_after_a_minute_without_any_isp()
-> Outcome<()> {
    let _alone = alone().await;
    let (idle, moved) = tokio::join!(idle(), long_outage());
    idle?;
    let moved = moved?;
    assert!(moved <= bar(), "{moved:?}");
    Ok(())
}

/// Counts the packets of idle lanes.
async fn idle() -> Outcome<()> {
    let pair = NodePair::start(Shape::default()).await?;
    tokio::time::sleep(SETTLED).await;
    let count = || {
        [0, 1].map(|isp| {
            let stats = pair.isp(isp).stats();
            [stats.up.delivered.packets, stats.down.delivered.packets]
        })
    };
    // A machine that is busy for a moment answers late, and a lane that seems silent is probed: another while then.
    let mut wrong = Vec::new();
    for _ in 0..WINDOWS {
        let before = count();
        tokio::time::sleep(3 * PERIOD).await;
        let after = count();
        let on = |isp: usize| {
            let uplink = ["isp-a", "isp-b"][isp];
            let on = |l: &&LaneStatus| l.uplink.as_deref() == Some(uplink);
            lanes(&pair.near).iter().filter(on).count() as u64
        };
        wrong.clear();
        for (isp, (before, after)) in before.iter().zip(after).enumerate() {
            for (way, (before, after)) in ["up", "down"].iter().zip(before.iter().zip(after)) {
                let (sent, lanes) = (after - before, on(isp));
                // None at all would be a lane that a NAT forgets.
                if lanes == 0 || !(2 * lanes..=3 * lanes).contains(&sent) {
                    wrong.push(format!(
                        "{sent} packets {way} through isp {isp} with {lanes} lanes in 45 s"
                    ));
                }
            }
        }
        if wrong.is_empty() {
            break;
        }
        println!("    {wrong:?}");
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    pair.shutdown().await;
    Ok(())
}
