use super::*;
use crate::types::Class::{ProviderAssigned as Pa, ProviderIndependent as Pi};

const SEC: Duration = Duration::from_secs(1);

fn uplink(n: u8) -> Part {
    Part::Uplink(format!("isp-{n}"))
}

fn prefix(n: u8) -> Part {
    Part::Prefix(Prefix::of(([10, 9, n, 1], 5443).into()))
}

/// A lane from uplink `from` to prefix `to`: `+` answers, `-` failed, `?` is in doubt.
fn lane(from: u8, to: u8, state: char) -> Seen {
    classed(from, to, state, Pa)
}

fn classed(from: u8, to: u8, state: char, class: Class) -> Seen {
    let parts = [(uplink(from), class), (prefix(to), Pa)];
    Seen { parts, up: state == '+', failed: state == '-' }
}

/// Two uplinks to two prefixes; the first fails at `at` for `lasts`. Returns when it answers.
fn flap(held: &mut HoldDown, at: Instant, lasts: Duration, class: Class) -> Instant {
    let lanes = |state| [classed(1, 1, state, class), lane(2, 2, '+')];
    held.observe(at, &lanes('+'));
    held.observe(at, &lanes('-'));
    held.observe(at + GRACE, &lanes('-'));
    held.observe(at + lasts, &lanes('+'));
    at + lasts
}

#[test]
fn a_pa_uplink_is_held_for_ten_seconds_after_it_answers_and_settles_for_ten_more() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    let back = flap(&mut held, t, 5 * SEC, Pa);
    let at = |held: &HoldDown, after| held.standing(back + after, &uplink(1));
    assert_eq!(at(&held, Duration::ZERO), Standing::Held);
    assert_eq!(at(&held, PA_HOLD - GRACE), Standing::Held);
    assert_eq!(at(&held, PA_HOLD), Standing::Settling);
    assert_eq!(at(&held, 2 * PA_HOLD), Standing::Well);
    assert_eq!(held.next_change(back), Some(back + PA_HOLD));
    assert_eq!(held.next_change(back + PA_HOLD), Some(back + 2 * PA_HOLD));
    assert_eq!(held.standing(back, &uplink(2)), Standing::Well);
}

#[test]
fn each_flap_doubles_the_hold_of_a_pa_uplink_up_to_three_hundred_seconds() {
    let (mut at, mut held) = (Instant::now(), HoldDown::default());
    for expected in [10, 20, 40, 80, 160, 300, 300] {
        let back = flap(&mut held, at, SEC, Pa);
        assert_eq!(held.next_change(back), Some(back + expected * SEC));
        at = back + SEC;
    }
}

#[test]
fn a_pi_uplink_is_held_for_sixty_seconds_however_often_it_flaps() {
    let (mut at, mut held) = (Instant::now(), HoldDown::default());
    for _ in 0..4 {
        let back = flap(&mut held, at, SEC, Pi);
        let after = |time| held.standing(back + time, &uplink(1));
        assert_eq!(after(PI_HOLD - SEC), Standing::Held);
        assert_eq!(after(PI_HOLD), Standing::Settling);
        at = back + SEC;
    }
}

#[test]
fn an_event_is_scored_once_however_often_it_is_seen() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    let lanes = [lane(1, 1, '-'), lane(1, 1, '-'), lane(2, 2, '+')];
    for step in 0..100 {
        held.observe(t + step * SEC, &lanes);
    }
    let back = t + 100 * SEC;
    held.observe(back, &[lane(1, 1, '+'), lane(2, 2, '+')]);
    assert_eq!(held.next_change(back), Some(back + PA_HOLD));
}

#[test]
fn a_silence_shorter_than_the_grace_is_no_flap() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    held.observe(t, &[lane(1, 1, '-'), lane(2, 2, '+')]);
    assert_eq!(held.next_change(t), Some(t + GRACE));
    held.observe(t + GRACE / 2, &[lane(1, 1, '+'), lane(2, 2, '+')]);
    held.observe(t + 2 * GRACE, &[lane(1, 1, '+'), lane(2, 2, '+')]);
    assert_eq!(held.standing(t + 2 * GRACE, &uplink(1)), Standing::Well);
}

#[test]
fn a_doubt_alone_is_never_scored() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    for step in 0..10 {
        held.observe(t + step * SEC, &[lane(1, 1, '?'), lane(2, 2, '+')]);
    }
    assert_eq!(held.standing(t + 10 * SEC, &uplink(1)), Standing::Well);
}

#[test]
fn a_total_outage_holds_nothing_down() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    held.observe(t, &[lane(1, 1, '-'), lane(2, 2, '+')]);
    held.observe(t + GRACE / 2, &[lane(1, 1, '-'), lane(2, 2, '-')]);
    held.observe(t + 40 * SEC, &[]);
    held.observe(t + 60 * SEC, &[lane(2, 2, '+')]);
    held.observe(t + 60 * SEC + GRACE / 2, &[lane(1, 1, '+'), lane(2, 2, '+')]);
    let later = t + 61 * SEC;
    held.observe(later, &[lane(1, 1, '+'), lane(2, 2, '+')]);
    for part in [uplink(1), uplink(2), prefix(1), prefix(2)] {
        assert_eq!(held.standing(later, &part), Standing::Well, "{part:?}");
    }
}

#[test]
fn of_a_crosswise_failure_the_two_parts_are_held_that_failed() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    held.observe(t, &[lane(1, 1, '-'), lane(2, 2, '-')]);
    // The path that is left is found.
    held.observe(t + SEC, &[lane(1, 1, '-'), lane(2, 2, '-'), lane(2, 1, '+')]);
    let decided = t + SEC + GRACE;
    held.observe(decided, &[lane(2, 1, '+')]);
    assert_eq!(held.standing(decided, &uplink(1)), Standing::Held);
    assert_eq!(held.standing(decided, &prefix(2)), Standing::Held);
    assert_eq!(held.standing(decided, &uplink(2)), Standing::Well);
    assert_eq!(held.standing(decided, &prefix(1)), Standing::Well);
}

#[test]
fn a_part_with_another_lane_that_answers_has_not_failed() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    for step in 0..3 {
        held.observe(t + step * SEC, &[lane(1, 1, '-'), lane(1, 2, '+')]);
    }
    assert_eq!(held.standing(t + 2 * SEC, &uplink(1)), Standing::Well);
    assert_eq!(held.standing(t + 2 * SEC, &prefix(1)), Standing::Held);
}

#[test]
fn silence_on_probation_begins_it_anew_though_nothing_else_answers() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    let back = flap(&mut held, t, SEC, Pa);
    held.observe(back + 5 * SEC, &[lane(1, 1, '-')]);
    held.observe(back + 8 * SEC, &[lane(1, 1, '+')]);
    assert_eq!(held.next_change(back + 8 * SEC), Some(back + 18 * SEC));
}

#[test]
fn a_flap_is_forgotten_for_every_ten_minutes_of_being_well() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    let back = flap(&mut held, t, SEC, Pa);
    let back = flap(&mut held, back + SEC, SEC, Pa);
    // Two flaps: on probation for 20 s, settling for 20 more, then well.
    let well = back + 40 * SEC;
    let lanes = [lane(1, 1, '+'), lane(2, 2, '+')];
    held.observe(well + FORGET, &lanes);
    let again = flap(&mut held, well + FORGET, SEC, Pa);
    assert_eq!(held.next_change(again), Some(again + 20 * SEC), "one of two is forgotten");
    held.observe(again + 40 * SEC + 2 * FORGET, &lanes);
    assert!(held.scores.is_empty(), "nothing is remembered for ever");
}

/// Every state of a part, and everything that can happen to it.
#[test]
fn a_part_that_is_gone_for_ten_minutes_is_forgotten_though_it_never_answered() {
    let (t, mut held) = (Instant::now(), HoldDown::default());
    for at in [t, t + GRACE] {
        held.observe(at, &[lane(1, 1, '-'), lane(2, 2, '+')]);
    }
    let down = |held: &HoldDown| -> Vec<Part> {
        held.held(t + GRACE).into_iter().map(|(part, _)| part).collect()
    };
    let both = [uplink(1), prefix(1)];
    assert_eq!(down(&held), both);
    let remains = |part: &Part| *part == prefix(1);
    held.forget_absent(t, remains);
    held.forget_absent(t + FORGET - Duration::from_millis(1), remains);
    assert_eq!(down(&held), both, "not yet");
    held.forget_absent(t + FORGET, remains);
    assert_eq!(down(&held), [prefix(1)]);
    // It comes back for a moment, and the time begins anew.
    held.forget_absent(t, |_| false);
    held.forget_absent(t + FORGET / 2, |_| true);
    held.forget_absent(t + FORGET, |_| false);
    assert_eq!(down(&held), [prefix(1)]);
}

#[test]
fn every_state_and_event_of_a_part() {
    use Standing::{Held, Settling, Well};
    // The part's lane, beside one that answers (or none), at the time of the event.
    let events: [(&str, &[Seen]); 5] = [
        ("it answers", &[lane(1, 1, '+'), lane(2, 2, '+')]),
        ("it is doubted", &[lane(1, 1, '?'), lane(2, 2, '+')]),
        ("it fails alone", &[lane(1, 1, '-'), lane(2, 2, '+')]),
        ("all fail", &[lane(1, 1, '-'), lane(2, 2, '-')]),
        ("it has no lane", &[lane(2, 2, '+')]),
    ];
    // What it is a grace after the event, and a hold after that if it answers then.
    let table = [
        ("well", [(Well, Well), (Well, Well), (Held, Settling), (Well, Well), (Well, Well)]),
        (
            "down",
            [
                (Held, Settling),
                (Held, Settling),
                (Held, Settling),
                (Held, Settling),
                (Held, Settling),
            ],
        ),
        (
            "held",
            [(Held, Settling), (Held, Settling), (Held, Held), (Held, Settling), (Held, Settling)],
        ),
        (
            "settling",
            [
                (Settling, Well),
                (Settling, Well),
                (Held, Held),
                (Settling, Settling),
                (Settling, Well),
            ],
        ),
    ];
    for (state, row) in table {
        for ((event, lanes), expected) in events.iter().zip(row) {
            let (t, mut held) = (Instant::now(), HoldDown::default());
            let now = match state {
                "well" => t,
                "down" => {
                    held.observe(t, &[lane(1, 1, '-'), lane(2, 2, '+')]);
                    held.observe(t + GRACE, &[lane(1, 1, '-'), lane(2, 2, '+')]);
                    t + SEC
                }
                "held" => flap(&mut held, t, SEC, Pa) + 9 * SEC,
                _ => flap(&mut held, t, SEC, Pa) + 12 * SEC,
            };
            held.observe(now, lanes);
            held.observe(now + GRACE, lanes);
            let soon = held.standing(now + GRACE, &uplink(1));
            let back = [lane(1, 1, '+'), lane(2, 2, '+')];
            held.observe(now + GRACE, &back);
            held.observe(now + GRACE + PA_HOLD, &back);
            let later = held.standing(now + GRACE + PA_HOLD, &uplink(1));
            assert_eq!((soon, later), expected, "{state}, {event}");
        }
    }
}
