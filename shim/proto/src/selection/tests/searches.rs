//! Tests of bulk flows that look for a better lane.

use super::*;

const MBIT: u64 = 125_000;
const STEP: Duration = Duration::from_millis(100);

/// A flow whose lanes are reviewed every 100 ms.
struct Run {
    now: Instant,
    elapsed: Duration,
    mode: Mode,
    placement: Placement,
}

impl Run {
    fn new(mode: Mode) -> Self {
        let placement = Placement { primary: Some(LaneId(1)), ..Placement::default() };
        Self { now: Instant::now(), elapsed: Duration::ZERO, mode, placement }
    }

    fn primary(&self) -> u64 {
        self.placement.primary.unwrap().0
    }

    fn uses(&self, lane: u64, lanes: &[Candidate]) -> bool {
        self.placement.uses(self.now, LaneId(lane), lanes, self.mode)
    }

    /// Reviews until `until` says so; returns after how many milliseconds, 20 s at most.
    fn find(
        &mut self,
        lanes: impl Fn(&Self) -> Vec<Candidate>,
        until: impl Fn(&Self, &[Candidate]) -> bool,
    ) -> Option<u128> {
        for step in 0..200 {
            let now = lanes(self);
            if until(self, &now) {
                return Some((step * STEP).as_millis());
            }
            self.now += STEP;
            self.elapsed += STEP;
            self.placement.review(self.now, &now, Demand { mode: self.mode, thin: false });
        }
        None
    }
}

fn delivers(id: u64, mbit: Option<u64>, full_for: Duration, bulk_flows: u32) -> Candidate {
    let rate = mbit.map(|mbit| mbit * MBIT);
    Candidate {
        evidence: Evidence { rate, full_for, bulk_flows, ..Evidence::default() },
        ..lane(id)
    }
}

/// Two lanes of these rates; what an idle one carries shows when the flow uses it.
fn isps(rates: [u64; 2]) -> impl Fn(&Run) -> Vec<Candidate> {
    move |run| {
        let lanes = [lane(1), lane(2)];
        let lane = |id: u64| {
            let on = run.primary() == id;
            let known = on || run.uses(id, &lanes);
            let full_for = if on { run.elapsed } else { Duration::ZERO };
            delivers(id, known.then_some(rates[id as usize - 1]), full_for, u32::from(on))
        };
        vec![lane(1), lane(2)]
    }
}

#[test]
fn a_long_flow_tries_a_lane_of_which_nothing_is_known_and_moves_where_there_is_much_more() {
    let mut run = Run::new(Mode::Auto);
    let moved = run.find(isps([20, 50]), |run, _| run.primary() == 2);
    assert!((3000..=4000).contains(&moved.unwrap()), "{moved:?}");
    assert_eq!(run.find(isps([20, 50]), |run, _| run.primary() == 1), None);
}

#[test]
fn a_sample_that_shows_nothing_better_ends_and_the_flow_stays() {
    for rates in [[20, 22], [50, 20]] {
        let mut run = Run::new(Mode::Auto);
        let tries = |run: &Run, lanes: &[Candidate]| run.uses(2, lanes);
        assert_eq!(run.find(isps(rates), tries), Some(3100));
        let ended = run.find(isps(rates), |run, lanes| !run.uses(2, lanes));
        assert_eq!((ended, run.primary()), (Some(2000), 1));
        assert_eq!(run.find(isps(rates), tries), Some(15_000), "the next sample");
    }
}

#[test]
fn a_flow_that_shares_its_lane_moves_where_its_share_is_larger() {
    let crowded = |there: u32| {
        move |run: &Run| {
            vec![
                delivers(1, Some(100), run.elapsed, 3),
                delivers(2, Some(100), Duration::ZERO, there),
            ]
        }
    };
    let moves = |run: &Run, _: &[Candidate]| run.primary() == 2;
    assert!(Run::new(Mode::Auto).find(crowded(0), moves).is_some());
    assert!(Run::new(Mode::Auto).find(crowded(1), moves).is_some());
    assert_eq!(Run::new(Mode::Auto).find(crowded(2), moves), None);
}

#[test]
fn a_flow_leaves_a_lane_that_broke_down_as_soon_as_another_delivers_more() {
    let broken = |run: &Run| {
        let mut lanes = isps([1, 50])(run);
        lanes[0].evidence.collapsed = true;
        lanes
    };
    let mut run = Run::new(Mode::Auto);
    let moved = run.find(broken, |run, _| run.primary() == 2).unwrap();
    assert!(moved <= 500, "{moved} ms");
    assert!(!run.uses(1, &[lane(1), lane(2)]), "what it is given now would come late");
}

#[test]
fn no_evidence_moves_a_flow_to_a_metered_held_suspect_lossy_or_draining_lane() {
    for other in [
        Candidate { cost: METERED, ..lane(2) },
        Candidate { cost: held(0), ..lane(2) },
        Candidate { suspect: true, ..lane(2) },
        Candidate { lossy: true, ..lane(2) },
        Candidate { draining: true, ..lane(2) },
    ] {
        for known in [None, Some(1000 * MBIT)] {
            for collapsed in [false, true] {
                for mode in [Mode::Auto, Mode::AutoBond] {
                    let lanes = |run: &Run| {
                        let mut first = delivers(1, Some(10), run.elapsed, 1);
                        first.evidence.collapsed = collapsed;
                        let evidence = Evidence { rate: known, ..Evidence::default() };
                        vec![first, Candidate { evidence, ..other }]
                    };
                    let used = Run::new(mode).find(lanes, |run, lanes| run.uses(2, lanes));
                    assert_eq!(used, None, "{other:?}");
                }
            }
        }
    }
}

#[test]
fn only_flows_in_mode_auto_move_by_evidence() {
    for mode in [Mode::Single, Mode::Bond, Mode::Redundant, Mode::AutoBond] {
        let mut run = Run::new(mode);
        let lanes = |run: &Run| {
            vec![delivers(1, Some(1), run.elapsed, 1), delivers(2, Some(99), Duration::ZERO, 0)]
        };
        assert_eq!(run.find(lanes, |run, _| run.primary() == 2), None, "{mode}");
    }
}

#[test]
fn a_bulk_flow_in_mode_auto_bond_bonds_lanes_once_it_fills_its_own() {
    let mut run = Run::new(Mode::AutoBond);
    let bonding = run.find(isps([20, 50]), |run, lanes| run.uses(2, lanes));
    assert!((1000..=1200).contains(&bonding.unwrap()), "{bonding:?}");
    let lanes = [lane(1), lane(2)];
    run.placement.select(run.now, &lanes, Demand { mode: Mode::AutoBond, thin: true });
    assert_eq!(run.placement.secondary, Some(LaneId(2)), "a thin flow is on two lanes");
    run.placement.select(run.now, &lanes, Demand { mode: Mode::AutoBond, thin: false });
    assert!(!run.uses(2, &lanes), "it is another transfer");
}

#[test]
fn two_lanes_of_changing_rates_do_not_toss_a_flow_to_and_fro() {
    let mut run = Run::new(Mode::Auto);
    let mut moves = 0;
    for round in 0..60 {
        let rates = if round % 2 == 0 { [10, 40] } else { [40, 10] };
        let before = run.primary();
        for _ in 0..20 {
            run.find(
                |run| {
                    let full = |id| if run.primary() == id { run.elapsed } else { Duration::ZERO };
                    vec![
                        delivers(1, Some(rates[0]), full(1), 1),
                        delivers(2, Some(rates[1]), full(2), 1),
                    ]
                },
                {
                    let at = run.elapsed;
                    move |run, _| run.elapsed > at
                },
            );
        }
        moves += u32::from(run.primary() != before);
    }
    assert!(moves <= 6, "{moves} moves in two minutes");
}
