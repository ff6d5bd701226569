//! What there is without us, in the same lab: it must be what it claims, or it compares nothing.

use std::time::Duration;

use interop_tests::lab::bgp::Bgp;
use interop_tests::lab::failure::Failure;
use interop_tests::lab::flow::Kind;
use interop_tests::lab::scenario::{FlowSeen, PATIENCE, Scenario, System};
use interop_tests::lab::{Shape, Side};
use interop_tests::process;
use interop_tests::support::Outcome;
use throughline::Mode;

use crate::in_the_lab;

/// An echo while the client's first ISP is silent.
async fn echo(system: System, bgp: Option<Bgp>, patience: Duration) -> Outcome<FlowSeen> {
    let scenario = Scenario {
        shape: Shape { rate: 50_000_000, bgp, ..Shape::default() },
        system,
        failure: Failure::Blackhole,
        side: Side::Client,
        flows: vec![Kind::Echo],
        patience,
    };
    let seen = scenario.run().await?;
    println!("    {system:?}, {bgp:?}: {:?} {:?}", seen.flows[0].gap, seen.flows[0].end);
    Ok(seen.flows[0].clone())
}

in_the_lab!("systems", plain_tcp_is_stuck_when_its_isp_is_silent, async {
    let seen = echo(System::Tcp, None, Duration::from_secs(5)).await?;
    assert!(seen.end.is_err(), "{seen:?}");
    Ok(())
});

in_the_lab!("systems", mptcp_goes_on_over_the_other_isp, async {
    if !std::path::Path::new("/proc/sys/net/mptcp/enabled").exists() {
        println!("SKIPPED: this kernel has no MPTCP");
        return Ok(());
    }
    let seen = echo(System::Mptcp, None, PATIENCE).await?;
    assert!(seen.end.is_ok(), "{seen:?}");
    // Its stall is what makes it another system than ours; ten seconds would be none at all.
    assert!(seen.gap < Duration::from_secs(10), "{seen:?}");
    Ok(())
});

/// Whether the test can be run; says why if not.
fn has_bird() -> bool {
    let has = process::installed("bird").is_some();
    if !has {
        println!("SKIPPED: bird is not installed (apt-get install bird2)");
    }
    has
}

in_the_lab!("systems", tcp_from_the_sites_own_prefix_waits_for_bgps_hold_time, async {
    if !has_bird() {
        return Ok(());
    }
    let hold = Duration::from_secs(9);
    let seen = echo(System::Tcp, Some(Bgp { hold, bfd: false }), PATIENCE).await?;
    assert!(seen.end.is_ok(), "{seen:?}");
    // The neighbour's last word is up to a third of the hold time old.
    assert!(seen.gap > hold / 2, "{seen:?}");
    Ok(())
});

in_the_lab!("systems", bfd_tells_bgp_within_a_moment, async {
    if !has_bird() {
        return Ok(());
    }
    let hold = Duration::from_secs(9);
    let seen = echo(System::Tcp, Some(Bgp { hold, bfd: true }), PATIENCE).await?;
    assert!(seen.end.is_ok(), "{seen:?}");
    assert!(seen.gap < hold / 2, "{seen:?}");
    Ok(())
});

in_the_lab!("systems", throughline_beside_bgp_does_not_wait_for_it, async {
    if !has_bird() {
        return Ok(());
    }
    let bgp = Bgp { hold: Duration::from_secs(9), bfd: false };
    let seen = echo(System::Throughline(Mode::Auto), Some(bgp), PATIENCE).await?;
    assert!(seen.end.is_ok(), "{seen:?}");
    assert!(seen.gap < Duration::from_secs(1), "{seen:?}");
    Ok(())
});
