//! What an application sees of a failure at worst, in the model of two ISPs of 200 Mbit/s and
//! 20 ms: the median over seeds is within the bars. (How fast bulk is again is a matter of
//! congestion control, of which this model has none; the lab measures it.)
//!
//! Nothing here depends on the machine, so a bar that is not met is a rule that is wrong.
//! `THROUGHLINE_SIM_BARS=n` takes n seeds for each instead of 5, and prints what was seen.

use std::time::Duration;

use throughline_proto::types::Mode::{Auto, Single};
use throughline_simulation::{Case, Failure, Flow, SEC, World};

use crate::number;

/// The bars of a failure in milliseconds.
struct Bars {
    single: u64,
    auto: u64,
    bulk: u64,
}

fn hold(failure: Failure, standby: bool, bars: &Bars) {
    let seeds = number("THROUGHLINE_SIM_BARS").unwrap_or(5);
    let trace = number("THROUGHLINE_SIM_TRACE") == Some(1);
    let mut missed = Vec::new();
    for side in 0..2 {
        for (flow, bar) in [
            (Flow::Echo(Single), bars.single),
            (Flow::Echo(Auto), bars.auto),
            (Flow::Download(Auto), bars.bulk),
            (Flow::Upload(Auto), bars.bulk),
            (Flow::Download(Single), bars.bulk),
            (Flow::Upload(Single), bars.bulk),
        ] {
            let case = Case { failure, side, standby, flow };
            let mut seen: Vec<Duration> =
                (0..seeds).map(|seed| World::worst(case, seed, trace)).collect();
            seen.sort();
            let median = seen[seen.len() / 2];
            println!("{case:?}: {median:.1?} ({:.1?}-{:.1?})", seen[0], seen[seen.len() - 1]);
            if median > Duration::from_millis(bar) {
                missed.push(format!("{case:?}: {median:?} of {bar} ms"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

macro_rules! bars {
    ($($name:ident: $failure:expr, $standby:literal, $single:literal, $auto:literal, $bulk:literal;)*) => {$(
        #[test]
        fn $name() {
            hold($failure, $standby, &Bars { single: $single, auto: $auto, bulk: $bulk });
        }
    )*};
}

bars! {
    of_a_silent_blackhole: Failure::Blackhole, false, 60, 30, 60;
    of_a_lost_carrier_or_address: Failure::Carrier, false, 50, 30, 60;
    of_what_an_end_sends_being_lost: Failure::OneWayUp, false, 80, 30, 80;
    of_what_an_end_is_sent_being_lost: Failure::OneWayDown, false, 80, 30, 80;
    of_an_idle_standby: Failure::Blackhole, true, 150, 150, 150;
    of_a_crosswise_double_failure: Failure::Crosswise, false, 400, 400, 400;
    of_a_total_outage_of_40_s: Failure::AllDown(40 * SEC), false, 300, 300, 300;
    of_an_mtu_black_hole: Failure::Narrow, false, 300, 300, 300;
    of_a_drain: Failure::Drain, false, 25, 25, 40;
}
