//! Tests of lanes that cost money: when bulk uses them, and when it waits instead.

use super::*;
use crate::hold_down::HoldState;

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(100);
const BULK: Demand = Demand { mode: Mode::Auto, thin: false };
const THIN: Demand = Demand { mode: Mode::Auto, thin: true };

fn charged(id: u64, charge: Charge) -> Candidate {
    Candidate { cost: Cost::of_charge(0, charge, HoldState::Normal), ..lane(id) }
}

fn overflow(id: u64) -> Candidate {
    charged(id, Charge::Overflow(3 * SECOND))
}

fn full(id: u64, full_for: Duration) -> Candidate {
    Candidate { evidence: Evidence { full_for, ..Evidence::default() }, ..lane(id) }
}

/// Reviews for as long as `lanes` returns some, a tenth of a second apart; returns when the overflow lane 9 was used.
fn used(mode: Mode, lanes: impl Fn(Duration) -> Option<Vec<Candidate>>) -> Vec<(f64, bool)> {
    let (began, mut placement) = (Instant::now(), Placement::default());
    let (mut changes, mut was) = (Vec::new(), false);
    for step in 0.. {
        let elapsed = step * STEP;
        let Some(lanes) = lanes(elapsed) else { break };
        let now = began + elapsed;
        let demand = Demand { mode, thin: false };
        placement.select(now, &lanes, demand);
        placement.review(now, &lanes, demand);
        let is = placement.uses(now, LaneId(9), &lanes, mode);
        if is != was {
            changes.push((elapsed.as_secs_f64(), is));
        }
        was = is;
    }
    changes
}

#[test]
fn bulk_goes_over_a_lane_that_costs_money_once_every_other_has_been_full_for_so_long() {
    let one = |elapsed| (elapsed < 20 * SECOND).then(|| vec![full(1, elapsed), overflow(9)]);
    for mode in [Mode::Auto, Mode::AutoBond, Mode::Bond] {
        assert_eq!(used(mode, one), [(3.0, true)], "{mode}");
    }
    for mode in [Mode::Single, Mode::Redundant] {
        assert!(used(mode, one).is_empty(), "{mode}");
    }
    // Of two that cost nothing one has room.
    let roomy =
        |elapsed| (elapsed < 20 * SECOND).then(|| vec![full(1, elapsed), lane(2), overflow(9)]);
    assert!(used(Mode::Bond, roomy).is_empty());
    // That one is held down, and has no flow therefore.
    let held = Candidate { cost: held(1), ..lane(2) };
    let held = |elapsed| (elapsed < 20 * SECOND).then(|| vec![full(1, elapsed), held, overflow(9)]);
    assert_eq!(used(Mode::Bond, held), [(3.0, true)]);
    let metered = |elapsed| {
        (elapsed < 20 * SECOND).then(|| vec![full(1, elapsed), charged(9, Charge::Metered)])
    };
    assert!(used(Mode::Bond, metered).is_empty(), "what is only metered is for failures");
}

#[test]
fn bulk_leaves_it_when_there_has_been_room_elsewhere_for_a_while() {
    let full_for = |elapsed: Duration| match elapsed.as_secs() {
        0..20 => elapsed,
        // Room for two seconds is none.
        20..22 => Duration::ZERO,
        22..40 => elapsed - 22 * SECOND,
        _ => Duration::ZERO,
    };
    let lanes =
        |elapsed| (elapsed < 60 * SECOND).then(|| vec![full(1, full_for(elapsed)), overflow(9)]);
    assert_eq!(used(Mode::Auto, lanes), [(3.0, true), (50.0, false)]);
}

#[test]
fn a_failed_uplink_makes_it_a_lane_like_any_other_that_is_left_and_what_fails_or_drains_is_not_used()
 {
    let mut placement = Placement::default();
    let now = Instant::now();
    let dead = Candidate { suspect: true, confirmed: true, ..full(1, 9 * SECOND) };
    assert!(placement.select(now, &[dead, overflow(9)], BULK));
    assert_eq!(placement.primary, Some(LaneId(9)));
    placement.select(now, &[full(1, Duration::ZERO), overflow(9)], BULK);
    assert_eq!(placement.primary, Some(LaneId(1)), "it costs money");
    for unfit in [
        Candidate { suspect: true, ..overflow(9) },
        Candidate { draining: true, ..overflow(9) },
        Candidate { lossy: true, ..overflow(9) },
        Candidate { local_risk: 1, ..overflow(9) },
        Candidate { synced: false, ..overflow(9) },
    ] {
        let lanes = |elapsed| (elapsed < 6 * SECOND).then(|| vec![full(1, elapsed), unfit]);
        assert!(used(Mode::Auto, lanes).is_empty(), "{unfit:?}");
    }
    // A thin flow's second copy is worth no money.
    placement.select(now, &[lane(1), overflow(9)], THIN);
    assert_eq!(placement.secondary, None);
}

#[test]
fn where_only_thin_flows_are_paid_for_bulk_waits_and_goes_on_elsewhere() {
    let (now, thin_only) = (Instant::now(), charged(9, Charge::ThinFlows));
    let mut placement = Placement { primary: Some(LaneId(9)), ..Placement::default() };
    assert!(!placement.select(now, &[thin_only], BULK), "it waits");
    assert!(!placement.uses(now, LaneId(9), &[thin_only], Mode::Auto));
    let mut thin = Placement::default();
    assert!(thin.select(now, &[thin_only], THIN) && thin.primary == Some(LaneId(9)));
    for lanes in [[thin_only, lane(1)], [thin_only, charged(1, Charge::Metered)]] {
        assert!(placement.select(now, &lanes, BULK) && placement.primary == Some(LaneId(1)));
    }
    thin.select(now, &[thin_only, lane(1)], THIN);
    assert_eq!((thin.primary, thin.secondary), (Some(LaneId(1)), None));
}
