//! The soak, for half a minute: that it runs, and finds nothing.

use std::time::Duration;

use interop_tests::soak::{self, Soak};
use interop_tests::support::{Outcome, alone};

#[tokio::test(flavor = "multi_thread")]
async fn half_a_minute_of_failures_leaves_every_byte_right_and_nothing_behind() -> Outcome {
    let _alone = alone().await;
    let soak = Soak {
        time: Duration::from_secs(25),
        rest_every: Duration::from_secs(25),
        settle: Duration::from_secs(8),
        rate: 20_000_000,
        seed: 5,
        lasting: 20,
        passing: 5,
    };
    let report = soak::run(&soak, |at, rest| println!("    {at:?}: {rest:?}")).await?;
    println!("    {:?}", report.counts);
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    assert!(report.counts.connections > 10 && report.counts.messages > 50, "{:?}", report.counts);
    let growth = report.growth();
    assert!(growth.is_empty(), "{growth:#?}");
    Ok(())
}
