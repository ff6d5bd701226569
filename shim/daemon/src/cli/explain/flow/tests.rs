//! What is said of a flow, by the report of a daemon.

use super::*;
use crate::report::HoldDownReport;
use crate::report::tests::sample::sample;

fn explained(change: impl Fn(&mut SessionReport)) -> String {
    let mut report = sample();
    let session = &mut report.peers[0].sessions[0];
    let mut second = session.lanes[0].clone();
    (second.id, second.uplink) = (1, Some("isp-b".to_owned()));
    session.lanes.push(second);
    session.hold_downs.clear();
    let flow = &mut session.flows[0];
    (flow.displaced_from, flow.last_move) = (None, None);
    change(session);
    let name = FlowName { session: Some("0123".to_owned()), id: 4 };
    explain(find(&report, &name)[0], None)
}

#[test]
fn a_flow_that_never_moved_is_on_the_first_lane() {
    let text = explained(|session| session.flows[0].secondary_lane = Some(1));
    assert!(
        text.starts_with(
            "f4 to 10.20.0.1:22 through branch1, mode auto, thin, in session 01234567"
        ),
        "{text}"
    );
    assert!(text.contains("l0 over isp-a carries its bytes: it is in good health"), "{text}");
    assert!(text.contains("l1 over isp-b carries them a second time"), "{text}");
    assert!(text.ends_with("it has never moved"), "{text}");
}

#[test]
fn where_a_flow_went_and_why_and_when_it_returns_is_said() {
    let moved = |reason: &str| Some(MoveReport { from: 0, ago_s: 4.2, reason: reason.to_owned() });
    let text = explained(|session| {
        session.lanes[0].state = "suspect".to_owned();
        let flow = &mut session.flows[0];
        flow.primary_lane = Some(1);
        (flow.displaced_from, flow.last_move) = (Some(0), moved("suspect"));
    });
    assert!(text.contains("l0 over isp-a is not used: it is suspect"), "{text}");
    assert!(
        text.contains("it moved 4s ago, away from l0 over isp-a: that lane was suspect"),
        "{text}"
    );
    assert!(text.contains("it returns to l0 over isp-a at once if"), "{text}");
    let held = explained(|session| {
        session.lanes[0].cost = "held-down".to_owned();
        session.hold_downs.push(HoldDownReport { domain: "isp-a".to_owned(), duration_s: 10.0 });
        session.flows[0].primary_lane = Some(1);
        session.flows[0].last_move = moved("gone");
    });
    assert!(held.contains("l0 over isp-a is not used: it failed, and is held down"), "{held}");
    assert!(
        held.contains("returns to l0 over isp-a when its hold-down is over, 10 s after it answers"),
        "{held}"
    );
    let bulk = explained(|session| {
        session.lanes[0].cost = "wait-to-restore".to_owned();
        (session.flows[0].primary_lane, session.flows[0].thin) = (Some(1), false);
    });
    assert!(bulk.contains("well for as long again"), "{bulk}");
    let displaced = explained(|session| {
        (session.flows[0].displaced_from, session.flows[0].thin) = (Some(0), false);
    });
    assert!(displaced.contains("else when it has been well for as long again"), "{displaced}");
    let drained = explained(|session| {
        session.lanes[0].draining = true;
        session.flows[0].primary_lane = Some(1);
        session.flows[0].last_move = moved("draining");
    });
    assert!(drained.contains("l0 over isp-a is not used: it is drained"), "{drained}");
    let none = explained(|session| session.lanes.clear());
    assert!(none.contains("no lane is left"), "{none}");
}

#[test]
fn a_flow_that_the_peer_opened_is_let_in_by_allow() {
    let text = explained(|session| session.side = "acceptor".to_owned());
    assert!(text.contains("branch1 opened it"), "{text}");
}

#[test]
fn a_lane_that_may_carry_a_part_is_not_called_unused() {
    for mode in ["bond", "auto+bond"] {
        let text = explained(|session| session.flows[0].mode = mode.to_owned());
        assert!(text.contains("l1 over isp-b may carry a part of its bytes"), "{mode}: {text}");
        let lossy = explained(|session| {
            session.flows[0].mode = mode.to_owned();
            session.lanes[1].lossy = true;
        });
        assert!(lossy.contains("l1 over isp-b is not used: it loses much"), "{mode}: {lossy}");
    }
    assert!(explained(|_| ()).contains("l1 over isp-b is not used"));
}
