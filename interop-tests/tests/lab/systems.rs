//! What there is without us, in the same lab: it must be what it claims, or it compares nothing.

use std::time::Duration;

use interop_tests::lab::bgp::Bgp;
use interop_tests::lab::compete::Competition;
use interop_tests::lab::failure::Failure;
use interop_tests::lab::flow::{Congestion, Kind};
use interop_tests::lab::plan::Family;
use interop_tests::lab::scenario::{FINISH_TIMEOUT, FlowSeen, Scenario, System};
use interop_tests::lab::{Shape, Side};
use interop_tests::support::Outcome;
use interop_tests::{process, skip};
use throughline::Mode;

use crate::in_the_lab;

/// Runs an echo while the client's first ISP is silent.
async fn echo(
    system: System,
    family: Family,
    bgp: Option<Bgp>,
    finish_timeout: Duration,
) -> Outcome<FlowSeen> {
    let scenario = Scenario {
        shape: Shape { rate: 50_000_000, family, bgp, ..Shape::default() },
        system,
        failure: Failure::Blackhole,
        side: Side::Client,
        flows: vec![Kind::Echo],
        competition: Competition::default(),
        finish_timeout,
    };
    let seen = scenario.run().await?;
    println!(
        "    {system:?}, {family:?}, {bgp:?}: {:?} {:?}",
        seen.flows[0].gap, seen.flows[0].end
    );
    Ok(seen.flows[0].clone())
}

in_the_lab!("systems", plain_tcp_is_stuck_when_its_isp_is_silent, async {
    let seen =
        echo(System::Tcp(Congestion::Usual), Family::V4, None, Duration::from_secs(5)).await?;
    assert!(seen.end.is_err(), "{seen:?}");
    Ok(())
});

in_the_lab!("systems", mptcp_goes_on_over_the_other_isp, async {
    if !std::path::Path::new("/proc/sys/net/mptcp/enabled").exists() {
        skip::cannot("mptcp_goes_on_over_the_other_isp", "this kernel has no MPTCP");
        return Ok(());
    }
    let seen = echo(System::Mptcp, Family::V4, None, FINISH_TIMEOUT).await?;
    assert!(seen.end.is_ok(), "{seen:?}");
    // Its stall is what makes it another system than ours; ten seconds would be none at all.
    assert!(seen.gap < Duration::from_secs(10), "{seen:?}");
    Ok(())
});

/// Returns whether tests with BGP can be run; says why if not.
fn has_bird() -> bool {
    let has = process::installed("bird").is_some();
    if !has {
        skip::not_installed("BGP", "bird is not installed (apt-get install bird2)");
    }
    has
}

const HOLD: Duration = Duration::from_secs(9);

/// TCP from the site's own prefix: how long it stood still.
async fn tcp_by_bgp(family: Family, bfd: bool) -> Outcome<Duration> {
    let seen =
        echo(System::Tcp(Congestion::Usual), family, Some(Bgp { hold: HOLD, bfd }), FINISH_TIMEOUT)
            .await?;
    assert!(seen.end.is_ok(), "{seen:?}");
    Ok(seen.gap)
}

async fn waits_for_the_hold_time(family: Family) -> Outcome {
    // The neighbour's last word is up to a third of the hold time old.
    if has_bird() {
        let gap = tcp_by_bgp(family, false).await?;
        assert!(gap > HOLD / 2, "{gap:?}");
    }
    Ok(())
}

async fn is_told_within_a_moment(family: Family) -> Outcome {
    if has_bird() {
        let gap = tcp_by_bgp(family, true).await?;
        assert!(gap < HOLD / 2, "{gap:?}");
    }
    Ok(())
}

async fn throughline_does_not_wait(family: Family) -> Outcome {
    if has_bird() {
        let (system, bgp) = (System::Throughline(Mode::Auto), Bgp { hold: HOLD, bfd: false });
        let seen = echo(system, family, Some(bgp), FINISH_TIMEOUT).await?;
        assert!(seen.end.is_ok(), "{seen:?}");
        assert!(seen.gap < Duration::from_secs(1), "{seen:?}");
    }
    Ok(())
}

macro_rules! by_bgp {
    ($($name:ident: $body:ident, $family:ident;)*) => {$(
        in_the_lab!("systems", $name, $body(Family::$family));
    )*};
}

by_bgp! {
    tcp_from_the_sites_own_prefix_waits_for_bgps_hold_time: waits_for_the_hold_time, V4;
    tcp_from_the_sites_own_ipv6_prefix_waits_for_bgps_hold_time: waits_for_the_hold_time, V6;
    bfd_tells_bgp_within_a_moment: is_told_within_a_moment, V4;
    bfd_tells_bgp_within_a_moment_over_ipv6: is_told_within_a_moment, V6;
    throughline_beside_bgp_does_not_wait_for_it: throughline_does_not_wait, V4;
    throughline_beside_bgp_over_ipv6_does_not_wait_for_it: throughline_does_not_wait, V6;
    throughline_beside_bgp_of_both_families_does_not_wait_for_it: throughline_does_not_wait, Both;
}
