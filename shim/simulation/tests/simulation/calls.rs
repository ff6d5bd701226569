//! A voice-like call over a datagram flow, and one failure: what is lost of it.

use std::time::Duration;

use throughline_proto::types::Mode::{self, Auto, Redundant, Single};
use throughline_simulation::{CallReport, Failure, World};

use crate::number;

/// All that one failure of an ISP, or of an address, can be.
const FAILURES: [Failure; 5] =
    [Failure::Blackhole, Failure::Carrier, Failure::OneWayUp, Failure::OneWayDown, Failure::Drain];

/// Plays a failure at either side, by some seeds.
fn play(failure: Failure, mode: Mode) -> Vec<CallReport> {
    let seeds = number("THROUGHLINE_SIM_BARS").unwrap_or(5);
    let trace = number("THROUGHLINE_SIM_TRACE") == Some(1);
    let of_side = |side| (0..seeds).map(move |seed| World::call(failure, side, mode, seed, trace));
    let mut reports: Vec<_> = (0..2).flat_map(of_side).collect();
    reports.sort_by_key(|report| report.lost);
    println!("{failure:?} {mode:?}: {:?}, {:?}", reports[0], reports[reports.len() - 1]);
    reports
}

#[test]
fn a_call_on_two_lanes_loses_nothing_and_is_no_later_than_the_other_path() {
    for failure in FAILURES {
        for mode in [Auto, Redundant] {
            for report in play(failure, mode) {
                assert!(report.sent > 150, "{report:?}");
                assert_eq!(report.lost, 0, "{failure:?} {mode:?}: {report:?}");
                // The other path takes 10 ms.
                assert!(report.slowest <= Duration::from_millis(15), "{failure:?}: {report:?}");
            }
        }
    }
}

#[test]
fn a_call_of_long_datagrams_on_two_lanes_loses_nothing_either() {
    for failure in FAILURES {
        for (side, seed) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
            let report = World::long_call(failure, side, Auto, seed, false);
            assert!(report.sent >= 10, "{report:?}");
            assert_eq!(report.lost, 0, "{failure:?}: {report:?}");
            assert!(report.slowest <= Duration::from_millis(20), "{failure:?}: {report:?}");
        }
    }
}

#[test]
fn a_call_on_one_lane_loses_what_is_sent_until_its_silence_is_noticed() {
    for failure in FAILURES {
        let reports = play(failure, Single);
        // At most two each way.
        let worst = reports.iter().map(|report| report.lost).max();
        assert!(worst <= Some(4), "{failure:?}: {reports:?}");
    }
}
