//! A path that begins to drop large packets silently, while small ones pass: what a tunnel or
//! a new route with a filtered "packet too big" does (RFC 8899 §1.1).

use std::time::{Duration, Instant};

use interop_tests::measure::{Bulk, Echo};
use interop_tests::support::{Outcome, alone, median_of_3};
use throughline::Mode;
use throughline_emulator::Way;
use throughline_fixture::{NodePair, Shape};

/// Lanes have found the MTU by then (1452 bytes and headers), and bulk its pace.
const WARM_UP: Duration = Duration::from_millis(1500);

const AFTERMATH: Duration = Duration::from_secs(2);

/// What passes from then on, with headers: little more than the 1200 bytes that QUIC asks for.
const NARROW: usize = 1280;

/// Wide, for the dev profile on a busy machine of two cores, which looks like a path that pauses: there three
/// large probes go unanswered before the only lane is closed and dialed anew, 0.7 to 1 s.
const BAR: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy)]
struct Case {
    way: Way,
    download: bool,
    upload: bool,
    /// The other ISP is dead: there is only this path.
    alone: bool,
}

/// Returns the longest that a flow stood still.
async fn run(case: Case) -> Outcome<Duration> {
    let pair = NodePair::start(Shape::default()).await?;
    let mut bulk = Vec::new();
    if case.download {
        bulk.push(Bulk::start(&pair.near, &pair.far, false, Mode::Auto).await?);
    }
    if case.upload {
        bulk.push(Bulk::start(&pair.near, &pair.far, true, Mode::Auto).await?);
    }
    let echo = Echo::start(&pair.near, &pair.far, Mode::Auto).await?;
    if case.alone {
        pair.isp(1).blackhole(Way::Both);
    }
    tokio::time::sleep(WARM_UP).await;
    let narrowed = Instant::now();
    pair.isp(0).set_mtu(case.way, Some(NARROW));
    if !case.alone {
        pair.isp(1).set_mtu(case.way, Some(NARROW));
    }
    tokio::time::sleep(AFTERMATH).await;
    let dropped: u64 = [0, 1]
        .map(|isp| pair.isp(isp).stats())
        .iter()
        .map(|s| s.up.too_large.packets + s.down.too_large.packets)
        .sum();
    assert!(dropped > 0, "nothing was too large");
    let end = narrowed + AFTERMATH;
    let mut worst = echo.record.worst(narrowed - Duration::from_millis(50), end).await;
    print!("    echo {worst:?}");
    for bulk in &bulk {
        let gap = bulk.record.longest_gap(narrowed, end).await;
        let again = bulk.record.recovered(narrowed + Duration::from_millis(50), 150_000_000).await;
        print!(", bulk {gap:?}, 150 Mbit/s after {again:?}");
        worst = worst.max(gap);
    }
    println!(", {dropped} dropped");
    for bulk in bulk {
        bulk.finish().await?;
    }
    echo.finish().await?;
    pair.shutdown().await;
    Ok(worst)
}

async fn check(case: Case) -> Outcome {
    let _alone = alone().await;
    let worst = median_of_3(BAR, || run(case)).await?;
    assert!(worst <= BAR, "stood still for {worst:?}; the bar is {BAR:?}");
    Ok(())
}

macro_rules! survives {
    ($($name:ident: $way:ident, $download:literal, $upload:literal, $alone:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Outcome {
            let case =
                Case { way: Way::$way, download: $download, upload: $upload, alone: $alone };
            check(case).await
        }
    )*};
}

survives! {
    a_download_survives_where_both_isps_narrow: Both, true, false, false;
    an_upload_survives_where_both_isps_narrow: Both, false, true, false;
    both_survive_where_both_isps_narrow: Both, true, true, false;
    a_download_survives_where_the_only_path_narrows: Down, true, false, true;
    an_upload_survives_where_the_only_path_narrows: Up, false, true, true;
    both_survive_where_the_only_path_narrows: Both, true, true, true;
}
