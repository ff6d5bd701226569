//! The rules of hold-down, one by one; every state and input in `cells`.

mod cells;

use super::*;
use crate::types::AddressClass::{ProviderAssigned as Pa, ProviderIndependent as Pi};

const SEC: Duration = Duration::from_secs(1);

fn uplink(n: u8) -> FailureDomain {
    FailureDomain::Uplink(format!("isp-{n}"))
}

fn prefix(n: u8) -> FailureDomain {
    FailureDomain::Prefix(Prefix::of(([10, 9, n, 1], 5443).into()))
}

fn observed(from: u8, to: u8) -> LaneObservation {
    let domains = [(uplink(from), Pa), (prefix(to), Pa)];
    LaneObservation { domains, is_up: false, has_failed: false }
}

/// A lane over uplink `from` to prefix `to` that answers.
fn up(from: u8, to: u8) -> LaneObservation {
    LaneObservation { is_up: true, ..observed(from, to) }
}

/// A lane that does not answer, which may still be chance.
fn suspect(from: u8, to: u8) -> LaneObservation {
    observed(from, to)
}

/// A lane that is down.
fn failed(from: u8, to: u8) -> LaneObservation {
    LaneObservation { has_failed: true, ..observed(from, to) }
}

/// The same lane over an uplink with addresses of this class.
fn of_class(class: AddressClass, mut lane: LaneObservation) -> LaneObservation {
    lane.domains[0].1 = class;
    lane
}

/// Uplink 1 fails at `at` for `duration`, beside uplink 2, which answers. Returns when it is back.
fn flap(hold_down: &mut HoldDown, at: Instant, duration: Duration, class: AddressClass) -> Instant {
    let well = [of_class(class, up(1, 1)), up(2, 2)];
    let one_down = [of_class(class, failed(1, 1)), up(2, 2)];
    hold_down.observe(at, &well);
    hold_down.observe(at, &one_down);
    hold_down.observe(at + GRACE, &one_down);
    hold_down.observe(at + duration, &well);
    at + duration
}

#[test]
fn a_pa_uplink_is_held_for_ten_seconds_after_it_answers_and_waits_to_restore_for_ten_more() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    let back = flap(&mut hold_down, t, 5 * SEC, Pa);
    let at = |hold_down: &HoldDown, after| hold_down.state(back + after, &uplink(1));
    assert_eq!(at(&hold_down, Duration::ZERO), HoldState::HeldDown);
    assert_eq!(at(&hold_down, PA_HOLD - GRACE), HoldState::HeldDown);
    assert_eq!(at(&hold_down, PA_HOLD), HoldState::WaitToRestore);
    assert_eq!(at(&hold_down, 2 * PA_HOLD), HoldState::Normal);
    assert_eq!(hold_down.next_change(back), Some(back + PA_HOLD));
    assert_eq!(hold_down.next_change(back + PA_HOLD), Some(back + 2 * PA_HOLD));
    assert_eq!(hold_down.state(back, &uplink(2)), HoldState::Normal);
}

#[test]
fn each_flap_doubles_the_hold_of_a_pa_uplink_up_to_three_hundred_seconds() {
    let (mut at, mut hold_down) = (Instant::now(), HoldDown::default());
    for expected in [10, 20, 40, 80, 160, 300, 300] {
        let back = flap(&mut hold_down, at, 5 * SEC, Pa);
        assert_eq!(hold_down.next_change(back), Some(back + expected * SEC));
        at = back + SEC;
    }
}

#[test]
fn a_brief_failure_holds_a_pa_uplink_for_twice_as_long_and_repeated_ones_for_longer() {
    let (mut at, mut hold_down) = (Instant::now(), HoldDown::default());
    for (silence, expected) in [(300, 1_000), (800, 3_200), (800, 6_400), (20_000, 80_000)] {
        let back = flap(&mut hold_down, at, silence * SEC / 1000, Pa);
        let expected = Duration::from_millis(expected);
        assert_eq!(hold_down.next_change(back), Some(back + expected), "{silence} ms");
        at = back + SEC;
    }
}

#[test]
fn a_pi_uplink_is_held_for_sixty_seconds_however_often_it_flaps() {
    let (mut at, mut hold_down) = (Instant::now(), HoldDown::default());
    for _ in 0..4 {
        let back = flap(&mut hold_down, at, SEC, Pi);
        let after = |time| hold_down.state(back + time, &uplink(1));
        assert_eq!(after(PI_HOLD - SEC), HoldState::HeldDown);
        assert_eq!(after(PI_HOLD), HoldState::WaitToRestore);
        at = back + SEC;
    }
}

#[test]
fn an_event_is_scored_once_however_often_it_is_seen() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    let lanes = [failed(1, 1), failed(1, 1), up(2, 2)];
    for step in 0..100 {
        hold_down.observe(t + step * SEC, &lanes);
    }
    let back = t + 100 * SEC;
    hold_down.observe(back, &[up(1, 1), up(2, 2)]);
    assert_eq!(hold_down.next_change(back), Some(back + PA_HOLD));
}

#[test]
fn a_silence_shorter_than_the_grace_is_no_flap() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    hold_down.observe(t, &[failed(1, 1), up(2, 2)]);
    assert_eq!(hold_down.next_change(t), Some(t + GRACE));
    hold_down.observe(t + GRACE / 2, &[up(1, 1), up(2, 2)]);
    hold_down.observe(t + 2 * GRACE, &[up(1, 1), up(2, 2)]);
    assert_eq!(hold_down.state(t + 2 * GRACE, &uplink(1)), HoldState::Normal);
}

#[test]
fn a_suspicion_alone_is_never_scored() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    for step in 0..10 {
        hold_down.observe(t + step * SEC, &[suspect(1, 1), up(2, 2)]);
    }
    assert_eq!(hold_down.state(t + 10 * SEC, &uplink(1)), HoldState::Normal);
}

#[test]
fn a_total_outage_holds_nothing_down() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    hold_down.observe(t, &[failed(1, 1), up(2, 2)]);
    hold_down.observe(t + GRACE / 2, &[failed(1, 1), failed(2, 2)]);
    hold_down.observe(t + 40 * SEC, &[]);
    hold_down.observe(t + 60 * SEC, &[up(2, 2)]);
    hold_down.observe(t + 60 * SEC + GRACE / 2, &[up(1, 1), up(2, 2)]);
    let later = t + 61 * SEC;
    hold_down.observe(later, &[up(1, 1), up(2, 2)]);
    for domain in [uplink(1), uplink(2), prefix(1), prefix(2)] {
        assert_eq!(hold_down.state(later, &domain), HoldState::Normal, "{domain:?}");
    }
}

#[test]
fn of_a_crosswise_failure_the_two_domains_are_held_down_that_failed() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    hold_down.observe(t, &[failed(1, 1), failed(2, 2)]);
    // The path that is left is found.
    hold_down.observe(t + SEC, &[failed(1, 1), failed(2, 2), up(2, 1)]);
    let decided = t + SEC + GRACE;
    hold_down.observe(decided, &[up(2, 1)]);
    assert_eq!(hold_down.state(decided, &uplink(1)), HoldState::HeldDown);
    assert_eq!(hold_down.state(decided, &prefix(2)), HoldState::HeldDown);
    assert_eq!(hold_down.state(decided, &uplink(2)), HoldState::Normal);
    assert_eq!(hold_down.state(decided, &prefix(1)), HoldState::Normal);
}

#[test]
fn a_domain_with_another_lane_that_answers_has_not_failed() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    for step in 0..3 {
        hold_down.observe(t + step * SEC, &[failed(1, 1), up(1, 2)]);
    }
    assert_eq!(hold_down.state(t + 2 * SEC, &uplink(1)), HoldState::Normal);
    assert_eq!(hold_down.state(t + 2 * SEC, &prefix(1)), HoldState::HeldDown);
}

#[test]
fn a_silence_while_held_down_starts_the_hold_anew_though_nothing_else_answers() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    let back = flap(&mut hold_down, t, 5 * SEC, Pa);
    hold_down.observe(back + 5 * SEC, &[failed(1, 1)]);
    hold_down.observe(back + 8 * SEC, &[up(1, 1)]);
    assert_eq!(hold_down.next_change(back + 8 * SEC), Some(back + 18 * SEC));
}

#[test]
fn a_flap_is_forgotten_for_every_ten_normal_minutes() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    let back = flap(&mut hold_down, t, 5 * SEC, Pa);
    let back = flap(&mut hold_down, back + SEC, 5 * SEC, Pa);
    // Two flaps: held down for 20 s, waiting to restore for 20 more, then normal.
    let well = back + 40 * SEC;
    let lanes = [up(1, 1), up(2, 2)];
    hold_down.observe(well + FORGET_AFTER, &lanes);
    let again = flap(&mut hold_down, well + FORGET_AFTER, 5 * SEC, Pa);
    assert_eq!(hold_down.next_change(again), Some(again + 20 * SEC), "one of two is forgotten");
    hold_down.observe(again + 40 * SEC + 2 * FORGET_AFTER, &lanes);
    assert!(hold_down.scores.is_empty(), "nothing is remembered for ever");
}

#[test]
fn a_domain_that_is_absent_for_ten_minutes_is_forgotten_though_it_never_answered() {
    let (t, mut hold_down) = (Instant::now(), HoldDown::default());
    for at in [t, t + GRACE] {
        hold_down.observe(at, &[failed(1, 1), up(2, 2)]);
    }
    let down = |hold_down: &HoldDown| -> Vec<FailureDomain> {
        hold_down.held_down(t + GRACE).into_iter().map(|(domain, _)| domain).collect()
    };
    let both = [uplink(1), prefix(1)];
    assert_eq!(down(&hold_down), both);
    let remains = |domain: &FailureDomain| *domain == prefix(1);
    hold_down.forget_absent(t, remains);
    hold_down.forget_absent(t + FORGET_AFTER - Duration::from_millis(1), remains);
    assert_eq!(down(&hold_down), both, "not yet");
    hold_down.forget_absent(t + FORGET_AFTER, remains);
    assert_eq!(down(&hold_down), [prefix(1)]);
    // It comes back for a moment, and the time begins anew.
    hold_down.forget_absent(t, |_| false);
    hold_down.forget_absent(t + FORGET_AFTER / 2, |_| true);
    hold_down.forget_absent(t + FORGET_AFTER, |_| false);
    assert_eq!(down(&hold_down), [prefix(1)]);
}
