//! Every state of a failure domain times everything that can happen to it.

use super::*;

/// The state of uplink 1 before something happens to it.
#[derive(Clone, Copy, Debug)]
enum Before {
    Normal,
    Down,
    HeldDown,
    WaitToRestore,
}

/// What happens to uplink 1.
#[derive(Clone, Copy, Debug)]
enum Input {
    Answers,
    IsSuspect,
    FailsAlone,
    FailsWithAllOthers,
    HasNoLane,
}

/// Brings uplink 1 into a state; returns the time.
fn bring_into(before: Before, hold_down: &mut HoldDown) -> Instant {
    let t = Instant::now();
    match before {
        Before::Normal => t,
        Before::Down => {
            for at in [t, t + GRACE] {
                hold_down.observe(at, &[failed(1, 1), up(2, 2)]);
            }
            t + 5 * SEC
        }
        Before::HeldDown => flap(hold_down, t, 5 * SEC, Pa) + PA_HOLD - SEC,
        Before::WaitToRestore => flap(hold_down, t, 5 * SEC, Pa) + PA_HOLD + 2 * SEC,
    }
}

fn lanes_after(input: Input) -> Vec<LaneObservation> {
    match input {
        Input::Answers => vec![up(1, 1), up(2, 2)],
        Input::IsSuspect => vec![suspect(1, 1), up(2, 2)],
        Input::FailsAlone => vec![failed(1, 1), up(2, 2)],
        Input::FailsWithAllOthers => vec![failed(1, 1), failed(2, 2)],
        Input::HasNoLane => vec![up(2, 2)],
    }
}

#[test]
fn every_state_times_every_input() {
    use Before as From;
    use HoldState::{HeldDown, Normal, WaitToRestore};
    use Input::{Answers, FailsAlone, FailsWithAllOthers, HasNoLane, IsSuspect};
    // State, input → the state GRACE later, and PA_HOLD after that if it answers by then.
    let cells = [
        (From::Normal, Answers, Normal, Normal),
        (From::Normal, IsSuspect, Normal, Normal),
        (From::Normal, FailsAlone, HeldDown, Normal),
        (From::Normal, FailsWithAllOthers, Normal, Normal),
        (From::Normal, HasNoLane, Normal, Normal),
        (From::Down, Answers, HeldDown, WaitToRestore),
        (From::Down, IsSuspect, HeldDown, WaitToRestore),
        (From::Down, FailsAlone, HeldDown, WaitToRestore),
        (From::Down, FailsWithAllOthers, HeldDown, WaitToRestore),
        (From::Down, HasNoLane, HeldDown, WaitToRestore),
        (From::HeldDown, Answers, HeldDown, WaitToRestore),
        (From::HeldDown, IsSuspect, HeldDown, WaitToRestore),
        (From::HeldDown, FailsAlone, HeldDown, HeldDown),
        (From::HeldDown, FailsWithAllOthers, HeldDown, WaitToRestore),
        (From::HeldDown, HasNoLane, HeldDown, WaitToRestore),
        (From::WaitToRestore, Answers, WaitToRestore, Normal),
        (From::WaitToRestore, IsSuspect, WaitToRestore, Normal),
        (From::WaitToRestore, FailsAlone, HeldDown, HeldDown),
        (From::WaitToRestore, FailsWithAllOthers, WaitToRestore, WaitToRestore),
        (From::WaitToRestore, HasNoLane, WaitToRestore, Normal),
    ];
    for (before, input, soon, later) in cells {
        let mut hold_down = HoldDown::default();
        let now = bring_into(before, &mut hold_down);
        let lanes = lanes_after(input);
        hold_down.observe(now, &lanes);
        hold_down.observe(now + GRACE, &lanes);
        assert_eq!(hold_down.state(now + GRACE, &uplink(1)), soon, "{before:?}, {input:?}");
        let back = [up(1, 1), up(2, 2)];
        hold_down.observe(now + GRACE, &back);
        hold_down.observe(now + GRACE + PA_HOLD, &back);
        let state = hold_down.state(now + GRACE + PA_HOLD, &uplink(1));
        assert_eq!(state, later, "{before:?}, {input:?}, later");
    }
}
