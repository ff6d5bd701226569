//! Every state of a lane against everything that can be the case around it.

use super::*;

/// By then whatever waits is due.
const LATER: Duration = Duration::from_secs(12);

/// What the plan says of lane 9, and what it dials.
fn said(plan: &Plan) -> String {
    let x = LaneId(9);
    let mut words: Vec<String> = plan.dial.iter().map(|p| format!("dial {}", p.order)).collect();
    words.extend(plan.migrate.iter().filter(|m| m.0 == x).map(|m| format!("move {}", m.1.order)));
    for (word, lanes) in [("drain", &plan.drain), ("last", &plan.last), ("close", &plan.close)] {
        words.extend(lanes.iter().filter(|id| **id == x).map(|_| word.to_owned()));
    }
    words.join(", ")
}

#[test]
fn every_state_and_event_of_a_lane() {
    let t = Instant::now();
    type Change = fn(LaneView, Instant) -> LaneView;
    let states: [(&str, Change); 4] = [
        ("up", |l, _| l),
        ("doubted", |l, t| LaneView { suspect_since: Some(t), ..l }),
        ("silent", |l, t| LaneView { suspect_since: Some(t), confirmed: true, ..l }),
        ("moving", |l, t| LaneView { moved_at: Some(t), proven: false, ..l }),
    ];
    let (p11, p12, p21, p22) = (path(1, 1), path(1, 2), path(2, 1), path(2, 2));
    let draining = Path { draining: true, ..p11.clone() };
    let (two, other) = ([p11.clone(), p21.clone()], lane(1, &p21));
    // What is the case; the paths, the other lanes, lane 9 itself; and for each state what is
    // said at once, and later.
    type Row =
        (&'static str, Vec<Path>, Vec<LaneView>, LaneView, [(&'static str, &'static str); 4]);
    let x = lane(9, &p11);
    let table: Vec<Row> = vec![
        (
            "it is alone",
            vec![p11.clone()],
            vec![],
            x.clone(),
            [("", ""), ("", ""), ("dial 1", "dial 1"), ("", "dial 1")],
        ),
        (
            "another uplink has no lane",
            two.to_vec(),
            vec![],
            x.clone(),
            [
                ("dial 2", "dial 2"),
                ("dial 2", "dial 2"),
                ("dial 1", "dial 1, move 2"),
                ("dial 2", "dial 1, dial 2"),
            ],
        ),
        (
            "another is up",
            two.to_vec(),
            vec![other.clone()],
            x.clone(),
            [("", ""), ("", ""), ("dial 1", "dial 1"), ("", "dial 1")],
        ),
        (
            "its address is gone",
            vec![p21.clone()],
            vec![],
            x.clone(),
            [
                ("dial 2, drain, last", "dial 2, drain, last"),
                ("move 2", "move 2"),
                ("move 2", "move 2"),
                ("dial 2", "dial 2"),
            ],
        ),
        (
            "its address is gone, another is up",
            vec![p21.clone()],
            vec![other.clone()],
            x.clone(),
            [("drain", "close"), ("", ""), ("", ""), ("", "")],
        ),
        (
            "its uplink drains",
            vec![draining.clone(), p21.clone()],
            vec![],
            x.clone(),
            [
                ("dial 2, drain, last", "dial 2, drain, last"),
                ("dial 2, drain, last", "dial 2, drain, last"),
                ("drain, last", "dial 1, move 2, drain, last"),
                ("dial 2, drain, last", "dial 1, dial 2, drain, last"),
            ],
        ),
        (
            "its uplink drains, another is up",
            vec![draining.clone(), p21.clone()],
            vec![other],
            x.clone(),
            [("drain", "close"), ("drain", "close"), ("close", "close"), ("drain", "close")],
        ),
        (
            "its uplink drains, there is no other",
            vec![draining],
            vec![],
            x.clone(),
            [
                ("drain, last", "drain, last"),
                ("drain, last", "drain, last"),
                ("dial 1, drain, last", "dial 1, drain, last"),
                ("drain, last", "dial 1, drain, last"),
            ],
        ),
        (
            "the peer drains it",
            vec![p11.clone(), p22.clone()],
            vec![lane(1, &p22)],
            LaneView { peer_drains: true, ..x.clone() },
            [("drain", "close"), ("drain", "close"), ("close", "close"), ("drain", "close")],
        ),
        (
            "it costs, a free one is up",
            vec![metered(p11.clone()), p21.clone()],
            vec![lane(1, &p21)],
            LaneView { metered: true, ..x.clone() },
            [("", "drain"), ("", "drain"), ("", "close"), ("", "drain")],
        ),
        (
            "it is one too many",
            vec![p11.clone(), p12.clone(), p21, p22.clone()],
            vec![lane(1, &p11), lane(2, &p22)],
            lane(9, &p12),
            [("", "drain"), ("", "drain"), ("", ""), ("", "")],
        ),
    ];
    for (event, paths, others, x, row) in table {
        for ((state, change), (at_once, later)) in states.iter().zip(row) {
            let mut lanes = others.clone();
            lanes.push(change(x.clone(), t));
            let mut planner = Planner::default();
            assert_eq!(said(&plan(&mut planner, t, &paths, &lanes)), at_once, "{state}, {event}");
            let plan = plan(&mut planner, t + LATER, &paths, &lanes);
            assert_eq!(said(&plan), later, "{state}, {event}, later");
        }
    }
}
