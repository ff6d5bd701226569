//! What holds whatever happens, in whichever order.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::bench::Bench;
use super::given::Given;
use super::input::Input;
use crate::lane::action::{Action, LaneAction};
use crate::lane::condition::LaneState;
use crate::lane::report::Report;
use crate::lane::rules::Rules;

/// Follows a monitor's actions, and panics where they contradict each other.
#[derive(Default)]
struct Watch {
    at_risk: bool,
    reported: bool,
    closed: bool,
}

impl Watch {
    fn follow(&mut self, bench: &mut Bench) {
        for action in std::mem::take(&mut bench.actions) {
            assert!(!self.closed, "{action:?} after the close");
            match action {
                Action::MarkAtRisk => self.at_risk = true,
                Action::Trust { .. } => {
                    assert!(self.at_risk, "trusted without having been suspected");
                    self.at_risk = false;
                }
                Action::Lane(LaneAction::Report(Report::Suspected { .. })) => self.reported = true,
                Action::Lane(LaneAction::Report(Report::Recovered { .. })) => {
                    assert!(self.reported, "a recovery from what was not reported");
                    self.reported = false;
                }
                Action::Lane(LaneAction::Report(Report::Withdrawn { .. })) => {
                    assert!(!self.reported, "what was reported is withdrawn");
                }
                Action::Lane(LaneAction::Close(_)) => self.closed = true,
                _ => {}
            }
        }
        let condition = bench.monitor.condition();
        assert_eq!(self.at_risk, bench.monitor.is_suspected());
        assert_eq!(self.at_risk, condition.suspected_since.is_some());
        let fine = [LaneState::Alive, LaneState::Late].contains(&bench.monitor.state());
        assert_eq!(self.at_risk || self.closed, !fine);
        assert!(condition.confirmed || !condition.failed);
        assert!(bench.monitor.next_check().is_none_or(|at| at > bench.now), "asked again at once");
    }
}

#[test]
fn whatever_happens_actions_do_not_contradict_each_other() {
    for seed in 0..300 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut bench = Given::Idle.bench(Rules::default());
        let mut watch = Watch::default();
        for _ in 0..40 {
            let input = Input::ALL[rng.random_range(0..Input::ALL.len())];
            match input {
                // Not to die of the first.
                Input::Silence10s if rng.random_bool(0.9) => continue,
                // What ends a lane ends its reports.
                Input::Ends => continue,
                Input::WeMigrate | Input::PeerMigrates => watch.reported = false,
                _ => {}
            }
            if rng.random_bool(0.2) {
                bench.busy();
            }
            input.happen(&mut bench);
            watch.follow(&mut bench);
        }
        assert!(bench.since_start().as_secs() < 600);
    }
}
