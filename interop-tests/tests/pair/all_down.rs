//! Total outages: both ISPs dead at once, flows wait, and go on when one is back.

use std::time::{Duration, Instant};

use interop_tests::measure::{Bulk, Echo};
use interop_tests::support::{Outcome, alone, eventually, median_of_3, sessions};
use throughline::Mode;
use throughline_emulator::Way;
use throughline_fixture::{NodePair, Shape};

/// How soon flows must move again after the internet has.
const BAR: Duration = Duration::from_millis(500);

/// Returns how long the long outage lasts; `THROUGHLINE_OUTAGE_SECONDS` shortens it while developing.
fn long() -> Duration {
    let seconds = std::env::var("THROUGHLINE_OUTAGE_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// Cuts both ISPs for `length` under an upload, a download and an echo, and heals `heals` of
/// them. Returns how long after that the last of the three moved.
async fn outage(length: Duration, heals: &[usize]) -> Outcome<Duration> {
    // For the whole outage: whoever took the machine in it would make it a longer one.
    let _alone = alone().await;
    outage_beside(length, heals).await
}

/// The same, beside what takes nothing of the machine.
async fn outage_beside(length: Duration, heals: &[usize]) -> Outcome<Duration> {
    let pair = NodePair::start(Shape::default()).await?;
    let upload = Bulk::start(&pair.near, &pair.far, true, Mode::Auto).await?;
    let download = Bulk::start(&pair.near, &pair.far, false, Mode::Auto).await?;
    let echo = Echo::start(&pair.near, &pair.far, Mode::Auto).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before: Vec<_> = sessions(&pair.near).iter().map(|s| s.id).collect();

    for isp in [0, 1] {
        pair.isp(isp).blackhole(Way::Both);
    }
    let cut = Instant::now();
    tokio::time::sleep(length).await;
    // What was in sockets and assemblers at the cut is read within moments of it.
    let silent_from = cut + Duration::from_millis(200);
    let records = [&upload.record, &download.record, &echo.record];
    for record in records {
        let moved = record.samples().await.iter().any(|s| s.at > silent_from);
        assert!(!moved, "the outage is none");
    }

    for isp in heals {
        pair.isp(*isp).heal(Way::Both);
    }
    let healed = Instant::now();
    let mut moved = [Duration::ZERO; 3];
    for (moved, record) in moved.iter_mut().zip(records) {
        let first = eventually(Duration::from_secs(10), async || {
            record.samples().await.iter().map(|s| s.at).find(|at| *at > healed)
        });
        let Some(first) = first.await else {
            panic!("nothing moves 10 s after an outage of {length:?}: {:#?}", pair.near.status());
        };
        *moved = first - healed;
    }
    println!("    outage of {length:?}: upload, download, echo after {moved:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after: Vec<_> = sessions(&pair.near).iter().map(|s| s.id).collect();
    assert_eq!(before, after, "the session did not survive");
    let bytes = (upload.finish().await?, download.finish().await?, echo.finish().await?);
    assert!(bytes.0 > 1 << 20 && bytes.1 > 1 << 20 && bytes.2 > 50, "hardly any bytes: {bytes:?}");
    pair.shutdown().await;
    Ok(moved.into_iter().max().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_go_on_after_two_seconds_without_any_isp() -> Outcome {
    let moved = median_of_3(BAR, || outage(Duration::from_secs(2), &[0, 1])).await?;
    assert!(moved <= BAR, "{moved:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_go_on_after_twelve_seconds_when_every_lane_is_closed() -> Outcome {
    let moved = outage(Duration::from_secs(12), &[0, 1]).await?;
    assert!(moved <= BAR, "{moved:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_go_on_when_only_one_isp_comes_back() -> Outcome {
    let moved = median_of_3(BAR, || outage(Duration::from_secs(3), &[1])).await?;
    assert!(moved <= BAR, "{moved:?}");
    Ok(())
}

/// Returns how long flows stand still after a minute's outage.
pub(crate) async fn long_outage() -> Outcome<Duration> {
    outage_beside(long(), &[0, 1]).await
}

/// What [`long_outage`] may be.
pub(crate) fn bar() -> Duration {
    BAR
}
