//! Tests of a placement over time: how one thing after another moves a flow.

use super::*;

const BULK: Demand = Demand { mode: Mode::Single, thin: false };
const THIN: Demand = Demand { mode: Mode::Auto, thin: true };

fn ids(placement: &Placement) -> (Option<u64>, Option<u64>, Option<u64>) {
    let id = |lane: Option<LaneId>| lane.map(|l| l.0);
    (id(placement.primary), id(placement.secondary), id(placement.displaced_from))
}

fn placed(demand: Demand, lanes: &[Candidate]) -> Placement {
    let mut placement = Placement::default();
    assert!(placement.select(Instant::now(), lanes, demand));
    placement
}

#[test]
fn a_flow_goes_on_as_many_lanes_as_its_mode_asks_for() {
    let lanes = [lane(1), lane(2), lane(3)];
    for (mode, thin, used) in [
        (Mode::Auto, true, vec![1, 2]),
        (Mode::Auto, false, vec![1]),
        (Mode::Single, true, vec![1]),
        (Mode::Redundant, false, vec![1, 2]),
        (Mode::Bond, true, vec![1, 2, 3]),
    ] {
        let placement = placed(Demand { mode, thin }, &lanes);
        let uses = |id: &u64| placement.uses(Instant::now(), LaneId(*id), &lanes, mode);
        assert_eq!((1..=3).filter(uses).collect::<Vec<_>>(), used, "{mode} {thin}");
    }
}

#[test]
fn a_thin_flow_stays_on_a_late_lane_and_is_copied_to_another_and_bulk_is_not() {
    let late = [Candidate { late: true, ..lane(1) }, lane(2)];
    for (mode, thin, copy) in [
        (Mode::Single, true, Some(2)),
        (Mode::Single, false, None),
        (Mode::Auto, true, Some(2)),
        (Mode::Auto, false, None),
    ] {
        let demand = Demand { mode, thin };
        let mut placement = placed(demand, &[lane(1), lane(2)]);
        placement.select(Instant::now(), &late, demand);
        assert_eq!(ids(&placement), (Some(1), copy, None), "{demand:?}");
    }
    let single = Demand { mode: Mode::Single, thin: true };
    let mut placement = placed(single, &late);
    placement.select(Instant::now(), &[lane(1), lane(2)], single);
    assert_eq!(ids(&placement), (Some(1), None, None), "late no longer");
}

#[test]
fn a_displaced_flow_comes_back_only_after_a_spurious_suspicion() {
    let suspect = [Candidate { suspect: true, ..lane(1) }, lane(2)];
    for (spurious, back) in [(true, Some(1)), (false, Some(2))] {
        let mut placement = placed(BULK, &[lane(1), lane(2)]);
        placement.select(Instant::now(), &suspect, BULK);
        assert_eq!(ids(&placement), (Some(2), None, Some(1)));
        placement.suspicion_ended(Instant::now(), LaneId(2), spurious);
        assert_eq!(ids(&placement), (Some(2), None, Some(1)), "it left another lane");
        placement.suspicion_ended(Instant::now(), LaneId(1), spurious);
        assert_eq!(ids(&placement), (back, None, None));
    }
}

#[test]
fn a_flow_that_is_displaced_twice_remembers_the_first_lane() {
    let suspect = |id| Candidate { suspect: true, ..lane(id) };
    let mut placement = placed(BULK, &[lane(1), lane(2), lane(3)]);
    placement.select(Instant::now(), &[suspect(1), lane(2), lane(3)], BULK);
    placement.select(Instant::now(), &[suspect(1), suspect(2), lane(3)], BULK);
    assert_eq!(ids(&placement), (Some(3), None, Some(1)));
    placement.lane_removed(LaneId(1));
    assert_eq!(ids(&placement), (Some(3), None, None));
}

#[test]
fn only_a_bulk_flow_that_leaves_a_lane_uses_it_for_a_while() {
    let now = Instant::now();
    let draining = [Candidate { draining: true, ..lane(1) }, lane(2)];
    for (demand, uses_both) in [(BULK, true), (THIN, false)] {
        let mut placement = placed(demand, &[lane(1)]);
        assert!(placement.handover.is_none(), "there was no lane before");
        placement.select(now, &draining, demand);
        let uses = |ms, id| {
            let at = now + Duration::from_millis(ms);
            placement.uses(at, LaneId(id), &draining, demand.mode)
        };
        assert_eq!((uses(0, 1), uses(0, 2)), (uses_both, true));
        assert!(!uses(900, 1));
    }
}

#[test]
fn a_flow_without_lanes_has_no_primary_lane_and_forgets_nothing_else() {
    let mut placement = placed(THIN, &[lane(1), lane(2)]);
    assert!(!placement.select(Instant::now(), &[], THIN));
    assert_eq!(ids(&placement), (None, Some(2), None));
}

#[test]
fn the_flows_that_revert_move_to_the_lane_if_it_is_the_best() {
    let lanes = [lane(1), Candidate { order: 1, ..lane(2) }];
    for (to, reversion, demand, primary) in [
        (1, Reversion::All, BULK, 1),
        (1, Reversion::Thin, BULK, 2),
        (1, Reversion::Thin, THIN, 1),
        (1, Reversion::None, THIN, 2),
        (2, Reversion::All, BULK, 2),
    ] {
        let mut placement = placed(demand, &lanes[1..]);
        placement.revert(Instant::now(), LaneId(to), reversion, &lanes, demand);
        assert_eq!(placement.primary, Some(LaneId(primary)), "{to} {reversion:?} {demand:?}");
    }
    let mut placement = placed(BULK, &lanes[..1]);
    placement.revert(Instant::now(), LaneId(2), Reversion::All, &lanes, BULK);
    assert_eq!(placement.primary, Some(LaneId(1)), "not to a lane that is not the best");
}

#[test]
fn a_flow_remembers_where_from_and_why_it_moved_last() {
    let one = |change: fn(&mut Candidate)| {
        let mut first = lane(1);
        change(&mut first);
        [first, lane(2)]
    };
    let table: [(MoveReason, Vec<Candidate>); 6] = [
        (MoveReason::Suspect, one(|l| l.suspect = true).to_vec()),
        (MoveReason::Unready, one(|l| l.synced = false).to_vec()),
        (MoveReason::Draining, one(|l| l.draining = true).to_vec()),
        (MoveReason::Metered, one(|l| l.cost = Cost::from_wire(200)).to_vec()),
        (MoveReason::Lossy, one(|l| l.lossy = true).to_vec()),
        (MoveReason::Gone, vec![lane(2)]),
    ];
    for (reason, lanes) in table {
        let mut placement = placed(BULK, &[lane(1), lane(2)]);
        assert_eq!(placement.last_move, None, "its first lane is no move");
        let at = Instant::now();
        placement.select(at, &lanes, BULK);
        assert_eq!(placement.last_move, Some(Move { from: LaneId(1), at, reason }));
        placement.select(Instant::now(), &lanes, BULK);
        assert_eq!(placement.last_move, Some(Move { from: LaneId(1), at, reason }), "it stays");
    }
    let suspect = one(|l| l.suspect = true);
    let mut placement = placed(BULK, &[lane(1), lane(2)]);
    placement.select(Instant::now(), &suspect, BULK);
    let back = Instant::now();
    placement.suspicion_ended(back, LaneId(1), true);
    let spurious = Move { from: LaneId(2), at: back, reason: MoveReason::Spurious };
    assert_eq!(placement.last_move, Some(spurious));
    // What no lane carries is remembered, too, until one does.
    assert!(!placement.select(back, &[], BULK));
    assert_eq!(placement.last_move.map(|last| last.reason), Some(MoveReason::Gone));
    assert!(size_of::<Option<Move>>() <= 32);
}
