//! What an application sees when an ISP fails: every failure under every kind of flow.
//!
//! The bars are wide, for the dev profile on a busy machine of two cores; the medians of a quiet
//! machine are a third of them (`cargo run --release -p interop-tests --bin survival`).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use interop_tests::measure::{Bulk, Echo};
use interop_tests::support::{Outcome, median_of_3};
use throughline::{EventKind, Mode, OneWayDetectedBy};
use throughline_emulator::{IspHandle, Way};
use throughline_fixture::{NodePair, Shape};
use tokio::sync::Semaphore;

/// How the ISP that carries the flow fails.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// It drops everything.
    Silent,
    /// It drops what the site sends.
    OneWayUp,
    /// It drops what the site is sent.
    OneWayDown,
    /// The other one was dead, is back, and now this one dies.
    Swap,
}

/// What runs over it.
#[derive(Clone, Copy, Debug)]
enum Flow {
    Echo(Mode),
    Download,
    Upload,
}

/// Before the failure the flow finds its lane and its pace.
const WARM_UP: Duration = Duration::from_secs(1);

/// Every effect of a failure shows within this.
const AFTERMATH: Duration = Duration::from_secs(1);

/// That it is one-way is said after eight unanswered probes (0.4 s), and after twenty on a path that is known to lose
/// packets (1.5 s); twice that and more for a busy machine. Nobody waits for it. Besides [`AFTERMATH`].
const DIRECTION_KNOWN_WITHIN: Duration = Duration::from_secs(4);

impl Failure {
    /// Brings the pair to just before the failure; the ISP that is to fail.
    async fn prepare(self, pair: &NodePair) -> Outcome<IspHandle> {
        if let Self::Swap = self {
            let first = busier(pair).await;
            first.blackhole(Way::Both);
            tokio::time::sleep(WARM_UP).await;
            first.heal(Way::Both);
            pair.lanes_up(2, Duration::from_secs(10)).await?;
            tokio::time::sleep(WARM_UP).await;
        }
        Ok(busier(pair).await)
    }

    fn strike(self, isp: &IspHandle) {
        isp.blackhole(match self {
            Self::Silent | Self::Swap => Way::Both,
            Self::OneWayUp => Way::Up,
            Self::OneWayDown => Way::Down,
        });
    }
}

/// Returns the ISP that carries most now.
async fn busier(pair: &NodePair) -> IspHandle {
    let carried = |index| pair.isp(index).stats().delivered_bytes();
    let before = [carried(0), carried(1)];
    tokio::time::sleep(Duration::from_millis(200)).await;
    let busier = usize::from(carried(1) - before[1] > carried(0) - before[0]);
    pair.isp(busier)
}

/// Returns whose packets each end says are lost where one direction works, on however many lanes.
fn dead_directions(pair: &NodePair) -> [Vec<&'static str>; 2] {
    [&pair.near, &pair.far].map(|node| {
        let directions = node.events().recent.into_iter().filter_map(|event| match event.kind {
            EventKind::LaneOneWay { detected_by: OneWayDetectedBy::Us { .. }, .. } => Some("ours"),
            EventKind::LaneOneWay { detected_by: OneWayDetectedBy::Peer, .. } => Some("the peer's"),
            _ => None,
        });
        directions.collect::<BTreeSet<_>>().into_iter().collect()
    })
}

/// Returns the same as soon as it is what is expected, or after `timeout`.
async fn dead_directions_within(
    pair: &NodePair,
    expected: &[Vec<&'static str>; 2],
    timeout: Duration,
) -> [Vec<&'static str>; 2] {
    let began = Instant::now();
    loop {
        let said = dead_directions(pair);
        if said == *expected || began.elapsed() >= timeout {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One run: how long the flow stood still at the failure.
async fn run(failure: Failure, flow: Flow) -> Outcome<Duration> {
    let pair = NodePair::start(Shape::default()).await?;
    let still = match flow {
        Flow::Echo(mode) => {
            let echo = Echo::start(&pair.near, &pair.far, mode).await?;
            tokio::time::sleep(WARM_UP).await;
            let isp = failure.prepare(&pair).await?;
            let cut = Instant::now();
            failure.strike(&isp);
            tokio::time::sleep(AFTERMATH).await;
            // Messages under way at the failure count as well; what is still out at the end
            // comes back before `finish` returns.
            let record = echo.record.clone();
            echo.finish().await?;
            record.worst(cut - Duration::from_millis(50), cut + AFTERMATH).await
        }
        Flow::Download | Flow::Upload => {
            let upload = matches!(flow, Flow::Upload);
            let bulk = Bulk::start(&pair.near, &pair.far, upload, Mode::Auto).await?;
            tokio::time::sleep(WARM_UP).await;
            let isp = failure.prepare(&pair).await?;
            let cut = Instant::now();
            failure.strike(&isp);
            tokio::time::sleep(AFTERMATH).await;
            let gap = bulk.record.longest_gap(cut, cut + AFTERMATH).await;
            bulk.finish().await?;
            gap
        }
    };
    let expected = match failure {
        Failure::OneWayUp => [vec!["ours"], vec!["the peer's"]],
        Failure::OneWayDown => [vec!["the peer's"], vec!["ours"]],
        Failure::Silent | Failure::Swap => [vec![], vec![]],
    };
    let said = dead_directions_within(&pair, &expected, DIRECTION_KNOWN_WITHIN).await;
    assert_eq!(said, expected, "{failure:?}: what the two ends say");
    pair.shutdown().await;
    Ok(still)
}

/// How much of the machine there is: an echo leaves most of it, bulk takes all.
static MACHINE: Semaphore = Semaphore::const_new(2);

/// The median of three runs against the bar for this kind of flow.
async fn check(failure: Failure, flow: Flow) -> Outcome {
    let share = if let Flow::Echo(_) = flow { 1 } else { 2 };
    let _turn = MACHINE.acquire_many(share).await?;
    let bar = Duration::from_millis(match flow {
        Flow::Echo(Mode::Auto) => 60,
        Flow::Echo(_) => 120,
        Flow::Download | Flow::Upload => 200,
    });
    println!("{failure:?}, {flow:?}:");
    let still = median_of_3(bar, || run(failure, flow)).await?;
    assert!(still <= bar, "{failure:?}, {flow:?}: stood still for {still:?}; the bar is {bar:?}");
    Ok(())
}

macro_rules! survives {
    ($($name:ident: $failure:ident, $flow:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Outcome {
            check(Failure::$failure, $flow).await
        }
    )*};
}

survives! {
    an_echo_on_one_lane_survives_a_silent_failure: Silent, Flow::Echo(Mode::Single);
    an_echo_on_two_lanes_survives_a_silent_failure: Silent, Flow::Echo(Mode::Auto);
    a_download_survives_a_silent_failure: Silent, Flow::Download;
    an_upload_survives_a_silent_failure: Silent, Flow::Upload;

    an_echo_on_one_lane_survives_a_failure_of_what_it_sends: OneWayUp, Flow::Echo(Mode::Single);
    an_echo_on_two_lanes_survives_a_failure_of_what_it_sends: OneWayUp, Flow::Echo(Mode::Auto);
    a_download_survives_a_failure_of_what_it_sends: OneWayUp, Flow::Download;
    an_upload_survives_a_failure_of_what_it_sends: OneWayUp, Flow::Upload;

    an_echo_on_one_lane_survives_a_failure_of_what_it_is_sent: OneWayDown, Flow::Echo(Mode::Single);
    an_echo_on_two_lanes_survives_a_failure_of_what_it_is_sent: OneWayDown, Flow::Echo(Mode::Auto);
    a_download_survives_a_failure_of_what_it_is_sent: OneWayDown, Flow::Download;
    an_upload_survives_a_failure_of_what_it_is_sent: OneWayDown, Flow::Upload;

    an_echo_on_one_lane_survives_one_isp_after_the_other: Swap, Flow::Echo(Mode::Single);
    an_echo_on_two_lanes_survives_one_isp_after_the_other: Swap, Flow::Echo(Mode::Auto);
    a_download_survives_one_isp_after_the_other: Swap, Flow::Download;
    an_upload_survives_one_isp_after_the_other: Swap, Flow::Upload;
}
