//! What there is without us, in the same lab: it must be what it claims, or it compares nothing.

use std::time::Duration;

use interop_tests::lab::failure::Failure;
use interop_tests::lab::flow::Kind;
use interop_tests::lab::scenario::{FlowSeen, Scenario, System};
use interop_tests::lab::{Shape, Side};
use interop_tests::support::Outcome;

use crate::in_the_lab;

/// An echo while the client's first ISP is silent.
async fn echo(system: System) -> Outcome<FlowSeen> {
    let scenario = Scenario {
        shape: Shape { rate: 50_000_000, ..Shape::default() },
        system,
        failure: Failure::Blackhole,
        side: Side::Client,
        flows: vec![Kind::Echo],
    };
    let seen = scenario.run().await?;
    println!("    {system:?}: {:?} {:?}", seen.flows[0].gap, seen.flows[0].end);
    Ok(seen.flows[0].clone())
}

in_the_lab!("systems", plain_tcp_is_stuck_when_its_isp_is_silent, async {
    let seen = echo(System::Tcp).await?;
    assert!(seen.end.is_err(), "{seen:?}");
    Ok(())
});

in_the_lab!("systems", mptcp_goes_on_over_the_other_isp, async {
    if !std::path::Path::new("/proc/sys/net/mptcp/enabled").exists() {
        println!("SKIPPED: this kernel has no MPTCP");
        return Ok(());
    }
    let seen = echo(System::Mptcp).await?;
    assert!(seen.end.is_ok(), "{seen:?}");
    // Its stall is what makes it another system than ours; ten seconds would be none at all.
    assert!(seen.gap < Duration::from_secs(10), "{seen:?}");
    Ok(())
});
