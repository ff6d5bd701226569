//! Tests of what holds for any set of lanes.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

fn some_lanes(rng: &mut SmallRng) -> Vec<Candidate> {
    let count = rng.random_range(0..6);
    let lane = |id| Candidate {
        id: LaneId(id),
        local_risk: rng.random_range(0..3),
        remote_risk: rng.random_range(0..3),
        cost: Cost::from_wire([0, 1, 33, 70, 200][rng.random_range(0..5)]),
        order: rng.random_range(0..3),
        rtt: Duration::from_millis(rng.random_range(0..100)),
        synced: rng.random_bool(0.9),
        late: rng.random_bool(0.3),
        suspect: rng.random_bool(0.3),
        confirmed: rng.random_bool(0.5),
        draining: rng.random_bool(0.2),
        lossy: rng.random_bool(0.2),
        evidence: Evidence::default(),
    };
    (1..=count).map(lane).collect()
}

fn some_demand(rng: &mut SmallRng) -> Demand {
    let modes = [Mode::Auto, Mode::Single, Mode::Bond, Mode::Redundant];
    Demand { mode: modes[rng.random_range(0..4)], thin: rng.random_bool(0.5) }
}

fn find(lanes: &[Candidate], id: Option<LaneId>) -> Option<&Candidate> {
    lanes.iter().find(|l| Some(l.id) == id)
}

/// Runs `check` on many placements before and after a selection among other lanes than before.
fn each_selection(check: impl Fn(&[Candidate], Demand, Placement, Placement)) {
    for seed in 0..5_000 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let demand = some_demand(&mut rng);
        let now = Instant::now();
        let mut placement = Placement::default();
        placement.select(now, &some_lanes(&mut rng), demand);
        let before = placement;
        let lanes = some_lanes(&mut rng);
        placement.select(now, &lanes, demand);
        check(&lanes, demand, before, placement);
    }
}

#[test]
fn a_flow_has_a_primary_lane_wherever_one_can_carry_bytes_and_one_that_is_up_if_any_is() {
    each_selection(|lanes, _, _, after| {
        let primary = find(lanes, after.primary);
        assert_eq!(primary.is_some(), lanes.iter().any(|l| l.synced), "{lanes:?}");
        assert!(primary.is_none_or(|l| l.synced), "{lanes:?}");
        let any_up = lanes.iter().any(Candidate::is_up);
        assert!(primary.is_none_or(|l| l.is_up() == any_up), "{lanes:?}");
    });
}

#[test]
fn a_flow_leaves_a_lane_that_is_up_only_for_one_of_lesser_defects() {
    each_selection(|lanes, _, before, after| {
        if before.primary != after.primary
            && let Some(left) = find(lanes, before.primary).filter(|l| l.is_up())
        {
            let primary = find(lanes, after.primary).unwrap();
            assert!(primary.defects() < left.defects(), "{left:?} for {primary:?}");
        }
    });
}

#[test]
fn the_secondary_lane_is_over_another_uplink_and_may_be_up_and_is_not_metered() {
    each_selection(|lanes, demand, _, after| {
        let found = (find(lanes, after.primary), find(lanes, after.secondary));
        let (Some(primary), Some(secondary)) = found else { return };
        assert!(secondary.is_up_by_guess() && !secondary.draining && !secondary.cost.is_metered());
        assert_ne!(secondary.local_risk, primary.local_risk);
        let copied = demand.thin && (demand.mode == Mode::Auto || primary.late);
        assert!(demand.mode == Mode::Redundant || copied);
    });
}

#[test]
fn the_same_lanes_are_chosen_again_and_again() {
    each_selection(|lanes, demand, _, after| {
        let mut again = after;
        again.select(Instant::now(), lanes, demand);
        assert_eq!(again, after, "{lanes:?}");
    });
}
