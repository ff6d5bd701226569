//! Rung 2 of the ladder: the only lane moves its QUIC connection to another address
//! (RFC 9000 §9) under running flows.

use std::time::{Duration, Instant};

use interop_tests::measure::Bulk;
use interop_tests::support::{Outcome, alone, eventually, lanes, median_of_3};
use throughline::Mode;
use throughline_emulator::Way;
use throughline_fixture::{NodePair, Shape};

/// Flows go on within this of the move.
const BAR: Duration = Duration::from_millis(100);

/// One lane, the second uplink a cold standby; ISP A dies under an upload and a download. Returns
/// how long after the move the later of the two received its first byte.
async fn move_under_load() -> Outcome<Duration> {
    let shape = Shape { standby: true, locators: 1, ..Shape::default() };
    let pair = NodePair::start(shape).await?;
    let upload = Bulk::start(&pair.near, &pair.far, true, Mode::Auto).await?;
    let download = Bulk::start(&pair.near, &pair.far, false, Mode::Auto).await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    // A machine that stood still for a moment has made another beside it, for a moment.
    let alone = eventually(Duration::from_secs(2), async || {
        let (here, there) = (lanes(&pair.near), lanes(&pair.far));
        (here.len() == 1 && there.len() == 1).then(|| (here[0].clone(), there[0].clone()))
    });
    let Some((here, there)) = alone.await else { panic!("{:#?}", pair.near.status()) };
    assert_eq!((here.id, here.migrations), (there.id, 0), "it moved although nothing had failed");
    assert_eq!(here.uplink.as_deref(), Some("isp-a"));
    let (lane, from) = (here.id, (here.local.ip(), there.remote.ip()));

    pair.isp(0).blackhole(Way::Both);
    let cut = Instant::now();
    let moved = eventually(Duration::from_secs(2), async || {
        lanes(&pair.near).into_iter().find(|l| l.id == lane && l.migrations > 0)
    });
    let Some(moved) = moved.await else {
        panic!("lane {lane} did not move: {:#?}", pair.near.status())
    };
    let at = Instant::now();
    assert_ne!(moved.local.ip(), from.0);
    assert_eq!(moved.uplink.as_deref(), Some("isp-b"));

    // The acceptor sees the same lane, the same connection, come from the other address.
    let seen = eventually(Duration::from_secs(2), async || {
        lanes(&pair.far).into_iter().find(|l| l.id == lane && l.remote.ip() != from.1)
    });
    assert!(seen.await.is_some(), "lane {lane} at the acceptor: {:#?}", pair.far.status());
    let mut gaps = [Duration::ZERO; 2];
    for (gap, flow) in gaps.iter_mut().zip([&upload, &download]) {
        let first = eventually(Duration::from_secs(5), async || {
            flow.record.samples().await.iter().map(|s| s.at).find(|s| *s > at)
        });
        *gap = first.await.ok_or("a flow does not go on")? - at;
    }
    println!("    moved {:?} after the cut; upload, download go on after {gaps:?}", at - cut);

    // The path is validated both ways (§8.2) and the connection ID is a new one (§9.5).
    for (who, node) in [("dialer", &pair.near), ("acceptor", &pair.far)] {
        let validated = eventually(Duration::from_secs(1), async || {
            let lane = lanes(node).into_iter().find(|l| l.id == lane)?;
            let validated = lane.path_challenges > 0 && lane.path_responses > 0;
            (validated && lane.connection_ids_retired > 0).then_some(())
        });
        assert!(validated.await.is_some(), "not validated at the {who}: {:#?}", node.status());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let now = Instant::now();
    let rate =
        async |flow: &Bulk| flow.record.rate(now - Duration::from_millis(500), now).await / 1e6;
    let rates = [rate(&upload).await, rate(&download).await];
    println!("    a second after it: {rates:.0?} Mbit/s");
    upload.finish().await?;
    download.finish().await?;
    println!("    drained within {:?}", now.elapsed());
    pair.shutdown().await;
    Ok(gaps.into_iter().max().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_lane_moves_to_the_standby_uplink_and_both_flows_go_on() -> Outcome {
    let _alone = alone().await;
    let gap = median_of_3(BAR, move_under_load).await?;
    assert!(gap <= BAR, "{gap:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saturated_lane_does_not_move_while_its_isp_is_well() -> Outcome {
    let _alone = alone().await;
    let shape = Shape { standby: true, locators: 1, ..Shape::default() };
    let pair = NodePair::start(shape).await?;
    let upload = Bulk::start(&pair.near, &pair.far, true, Mode::Auto).await?;
    let download = Bulk::start(&pair.near, &pair.far, false, Mode::Auto).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    // A machine that stood still for a moment may have made another lane; it moved none.
    let now = lanes(&pair.near);
    assert!(now.iter().all(|l| l.migrations == 0), "{now:#?}");
    assert!(now.iter().any(|l| l.uplink.as_deref() == Some("isp-a")), "{now:#?}");
    upload.finish().await?;
    download.finish().await?;
    pair.shutdown().await;
    Ok(())
}
