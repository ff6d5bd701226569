//! One body, and a matrix of failures, sides, families and flows.

use std::time::Duration;

use interop_tests::lab::compete::Competition;
use interop_tests::lab::failure::Failure;
use interop_tests::lab::flow::Kind;
use interop_tests::lab::plan::Family;
use interop_tests::lab::scenario::{FINISH_TIMEOUT, Scenario, System};
use interop_tests::lab::{Shape, Side};
use interop_tests::support::Outcome;
use throughline::Mode;

use crate::in_the_lab;

const CLIENT: Side = Side::Client;
const SERVER: Side = Side::Server;
const V4: Family = Family::V4;
const V6: Family = Family::V6;

/// Little enough that two busy cores carry it in the dev profile.
const RATE: u64 = 50_000_000;

/// All flows at once, one failure; nothing stands still for longer than `bound`.
async fn survives(
    failure: Failure,
    side: Side,
    mode: Mode,
    family: Family,
    bound: Duration,
) -> Outcome {
    let scenario = Scenario {
        shape: Shape { rate: RATE, family, ..Shape::default() },
        system: System::Throughline(mode),
        failure,
        side,
        flows: vec![Kind::Echo, Kind::Download, Kind::Upload],
        competition: Competition::default(),
        finish_timeout: FINISH_TIMEOUT,
    };
    // A machine that does something else for a second is no failure of ours, twice in a row is.
    let mut slow = Vec::new();
    for _ in 0..2 {
        let seen = scenario.run().await?;
        for flow in &seen.flows {
            println!(
                "    {failure}, {:?} of {}: {:?} {:?}",
                flow.kind, seen.victim, flow.gap, flow.end
            );
            let carried = flow.end.clone()?;
            let least = if flow.kind == Kind::Echo { 100 } else { 1 << 20 };
            assert!(carried > least, "{:?} carried {carried}", flow.kind);
        }
        slow = seen.flows.into_iter().filter(|flow| flow.gap > bound).collect();
        if slow.is_empty() {
            return Ok(());
        }
    }
    panic!("{failure}: stood still for more than {bound:?}: {slow:#?}");
}

/// What a failure may cost where there is a lane to go on:
/// MPTCP's stalls are twice to four times as long.
const HALF: Duration = Duration::from_millis(500);
/// Where lanes have to be dialed, and after an outage. And where the only path drops large packets: three of our
/// probes, which are large, have to go unanswered before its lane is closed, and quinn's own small ones, which would
/// show it sooner, wait for them. That is 0.4–1.1 s, and not good.
const LONG: Duration = Duration::from_millis(1500);

macro_rules! survives {
    ($($name:ident: $failure:expr, $side:expr, $mode:ident, $family:expr, $bound:expr;)*) => {$(
        in_the_lab!("failures", $name, survives($failure, $side, Mode::$mode, $family, $bound));
    )*};
}

survives! {
    a_silent_isp_of_the_client: Failure::Blackhole, CLIENT, Auto, V4, HALF;
    a_silent_isp_of_the_client_in_mode_single: Failure::Blackhole, CLIENT, Single, V4, HALF;
    a_silent_isp_of_the_server: Failure::Blackhole, SERVER, Auto, V4, HALF;
    a_silent_isp_over_ipv6: Failure::Blackhole, CLIENT, Auto, V6, HALF;
    a_pulled_cable_of_the_client: Failure::Carrier, CLIENT, Auto, V4, HALF;
    a_pulled_cable_of_the_server: Failure::Carrier, SERVER, Auto, V4, HALF;
    an_address_that_is_taken_away: Failure::Address, CLIENT, Auto, V4, HALF;
    an_ipv6_address_of_the_server_that_is_taken_away: Failure::Address, SERVER, Auto, V6, HALF;
    an_isp_that_drops_what_is_sent: Failure::OneWayUp, CLIENT, Auto, V4, HALF;
    an_isp_that_drops_what_is_received: Failure::OneWayDown, CLIENT, Single, V4, HALF;
    an_isp_of_the_server_that_drops_what_is_received: Failure::OneWayDown, SERVER, Single, V4, HALF;
    a_cold_standby: Failure::Standby, CLIENT, Single, V4, LONG;
    a_crosswise_double_failure: Failure::Crosswise, CLIENT, Auto, V4, LONG;
    no_isp_at_all_for_three_seconds: Failure::AllDown(Duration::from_secs(3)), CLIENT, Auto, V4, LONG;
    an_isp_that_drops_large_packets: Failure::MtuHole, CLIENT, Auto, V4, LONG;
    the_only_isp_drops_large_packets: Failure::MtuHoleOnly, CLIENT, Auto, V4, LONG;
    the_servers_only_isp_drops_large_packets: Failure::MtuHoleOnly, SERVER, Auto, V4, LONG;
    a_nat_that_forgets: Failure::Rebinding, CLIENT, Auto, V4, LONG;
    a_brown_out: Failure::BrownOut, CLIENT, Auto, V4, LONG;
    an_isp_that_flaps: Failure::Flap(Duration::from_secs(1)), CLIENT, Auto, V4, LONG;
    a_renumbered_site: Failure::Renumbering, CLIENT, Auto, V4, LONG;
    a_site_renumbered_in_ipv6: Failure::Renumbering, CLIENT, Auto, V6, LONG;
    a_planned_drain: Failure::Drain, CLIENT, Auto, V4, HALF;
}

/// The part of its goodput that bulk keeps while one of two ISPs loses a packet in ten.
const KEPT: f64 = 0.8;
/// A machine that was later than this explains a missing fifth of five seconds, and then a run
/// says nothing.
const LATE: Duration = Duration::from_millis(100);

/// Bulk alone, in the five seconds after one of the ISPs began to lose.
async fn keeps_its_goodput(failure: Failure, kind: Kind) -> Outcome {
    let scenario = Scenario {
        shape: Shape { rate: RATE, ..Shape::default() },
        system: System::Throughline(Mode::Auto),
        failure,
        side: CLIENT,
        flows: vec![kind],
        competition: Competition::default(),
        finish_timeout: FINISH_TIMEOUT,
    };
    let mut kept = 0.0;
    for _ in 0..3 {
        let seen = scenario.run().await?;
        let flow = &seen.flows[0];
        let (before, after) = flow.rates.ok_or("bulk has rates")?;
        // More than an ISP carries was a flow that was just moving, over both.
        let clean = before.min(RATE as f64 / 1e6);
        let late = seen.machine;
        println!("    {failure}, {kind:?}: {before:.1} before, {after:.1} after; machine {late:?}");
        flow.end.clone()?;
        kept = after / clean;
        if kept >= KEPT {
            return Ok(());
        }
        if late < LATE {
            break;
        }
    }
    panic!("{failure}: {kept:.2} of the goodput is left, {KEPT} was wanted");
}

macro_rules! keeps_its_goodput {
    ($($name:ident: $failure:ident, $kind:ident;)*) => {$(
        in_the_lab!("failures", $name, keeps_its_goodput(Failure::$failure, Kind::$kind));
    )*};
}

keeps_its_goodput! {
    a_download_keeps_its_goodput_while_an_isp_loses: Loss, Download;
    an_upload_keeps_its_goodput_while_an_isp_loses: Loss, Upload;
    a_download_keeps_its_goodput_through_a_brown_out: BrownOut, Download;
    an_upload_keeps_its_goodput_through_a_brown_out: BrownOut, Upload;
}
