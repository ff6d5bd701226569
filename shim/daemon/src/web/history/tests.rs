//! A day in given time.

use super::*;

const PEER: Option<&str> = Some("far");

/// An event of lane `lane`, which is over `isp-a` if it is even, else over `isp-b`.
fn event(at: Millis, lane: u64, what: Happened<'_>) -> Occurrence<'_> {
    let uplink = if lane.is_multiple_of(2) { "isp-a" } else { "isp-b" };
    Occurrence { at, peer: PEER, session: Some(7), lane: Some(lane), uplink: Some(uplink), what }
}

/// An event of the session.
fn of_session(at: Millis, what: Happened<'_>) -> Occurrence<'_> {
    Occurrence { at, peer: PEER, session: Some(7), lane: None, uplink: None, what }
}

/// Returns the outages as text: uplink, severity, from and to, survivors.
fn outages(history: &History) -> Vec<String> {
    let line = |o: &Outage| {
        let to = o.to.map_or("…".to_owned(), |to| to.to_string());
        format!("{} {:?} {}-{to} {}", o.uplink, o.severity, o.from, o.survivors)
    };
    history.outages.all().map(line).collect()
}

/// Returns the longest gap and the failures of everything that is kept.
fn sums(history: &History) -> (Option<Millis>, u64, u64) {
    let json = serde_json::to_value(history.failures()).unwrap();
    let quarters = json["quarters"].as_array().unwrap();
    let sum = |field: &str| quarters.iter().map(|q| q[field].as_u64().unwrap()).sum();
    let worst = quarters.iter().filter_map(|q| q["worst"]["gap"].as_u64()).max();
    (worst, sum("failures"), sum("survivors"))
}

fn with_two_lanes() -> History {
    let mut history = History::new(0);
    for lane in [0, 1] {
        history.handle(&event(1000, lane, Happened::LaneUp));
    }
    history
}

fn reading(at: Millis, bytes: u64, survivors: u64) -> Reading {
    let of = |name: &str| UplinkReading {
        name: name.to_owned(),
        received: bytes,
        sent: bytes / 2,
        survivors,
        rtt: Some(20.04),
    };
    Reading { at, uplinks: vec![of("isp-a"), of("isp-b")] }
}

#[test]
fn a_lane_that_fails_beside_another_is_a_gap_of_its_silence_and_an_outage_until_its_uplink_answers()
{
    let mut history = with_two_lanes();
    history.handle(&event(2040, 0, Happened::LaneSuspected(40)));
    assert_eq!(outages(&history), ["isp-a Silent 2000-… 0"]);
    history.handle(&event(3000, 0, Happened::LaneDown("it answers no more")));
    assert_eq!(outages(&history), ["isp-a Down 2000-… 0"]);
    // Another uplink's lane does not end it, nor does an end of a lane that nobody suspects.
    history.handle(&event(3500, 3, Happened::LaneUp));
    history.handle(&event(3600, 3, Happened::LaneDown("it is not needed")));
    assert_eq!(outages(&history), ["isp-a Down 2000-… 0"]);
    history.handle(&event(9000, 2, Happened::LaneUp));
    assert_eq!(outages(&history), ["isp-a Down 2000-9000 0"]);
    assert_eq!(sums(&history), (Some(40), 1, 0));
}

#[test]
fn where_nothing_answers_the_gap_lasts_until_something_does() {
    let mut history = with_two_lanes();
    history.handle(&event(2040, 0, Happened::LaneSuspected(40)));
    history.handle(&event(3000, 1, Happened::LaneSuspected(100)));
    history.handle(&event(5000, 0, Happened::LaneDown("")));
    history.handle(&event(5000, 1, Happened::LaneDown("")));
    history.handle(&of_session(5000, Happened::SessionDetached));
    assert_eq!(sums(&history), (Some(40), 2, 0), "it is not over");
    history.handle(&event(10_000, 2, Happened::LaneUp));
    history.handle(&of_session(10_000, Happened::SessionResumed));
    let expected = ["isp-a Down 2000-10000 0", "isp-b Down 2900-… 0", " NoLane 5000-10000 0"];
    assert_eq!(outages(&history), expected);
    assert_eq!(sums(&history), (Some(7100), 2, 0));
}

#[test]
fn a_lane_that_answers_again_or_is_migrated_away_ends_or_worsens_its_outage() {
    let mut history = with_two_lanes();
    history.handle(&event(2100, 0, Happened::LaneSuspected(100)));
    history.handle(&event(2300, 0, Happened::LaneRecovered));
    history.handle(&event(4100, 0, Happened::LaneSuspected(100)));
    history.handle(&event(4200, 0, Happened::LaneOneWay));
    // The same lane is over the other uplink now.
    let moved = Occurrence {
        uplink: Some("isp-b"),
        ..event(4500, 0, Happened::LaneMigrated { from: "isp-a" })
    };
    history.handle(&moved);
    let expected = ["isp-a Silent 2000-2300 0", "isp-a Down 4000-… 0"];
    assert_eq!(outages(&history), expected);
    history.handle(&of_session(6000, Happened::SessionOver));
    assert_eq!(outages(&history)[1], "isp-a Down 4000-6000 0");
}

#[test]
fn lanes_that_are_older_than_the_events_are_known_and_what_was_missed_is_over() {
    let lane = |lane, uplink, suspect| LaneNow { peer: "far", session: 7, lane, uplink, suspect };
    let mut history = History::new(0);
    history.resync(1000, &[lane(0, "isp-a", false), lane(1, "isp-b", false)]);
    history.handle(&event(2040, 0, Happened::LaneSuspected(40)));
    assert_eq!(sums(&history), (Some(40), 1, 0), "the other one answers");
    history.handle(&event(2540, 1, Happened::LaneSuspected(40)));
    history.handle(&of_session(3000, Happened::SessionDetached));
    history.resync(9000, &[lane(0, "isp-a", false), lane(1, "isp-b", true)]);
    let expected = ["isp-a Silent 2000-9000 0", "isp-b Silent 2500-… 0", " NoLane 3000-9000 0"];
    assert_eq!(outages(&history), expected);
}

#[test]
fn flows_that_went_on_count_for_the_last_failure_of_their_uplink() {
    let mut history = with_two_lanes();
    assert!(!history.read(&reading(1000, 0, 5)), "those before are not ours");
    history.handle(&event(2040, 0, Happened::LaneSuspected(40)));
    history.handle(&event(2240, 0, Happened::LaneDown("")));
    let mut after = reading(6000, 0, 5);
    after.uplinks[0].survivors = 42;
    assert!(history.read(&after));
    assert_eq!(outages(&history), ["isp-a Down 2000-… 37"]);
    assert_eq!(sums(&history), (Some(40), 1, 37));
}

#[test]
fn rates_are_kept_for_an_hour_in_steps_and_for_a_day_in_minutes_and_not_longer() {
    let mut history = History::new(0);
    let steps = 20_000;
    for step in 0..=steps {
        let at = step * SLOT;
        assert!(history.wants_reading(at) && (step == 0 || !history.wants_reading(at - 3000)));
        // 1 Mbit/s received, half of it sent.
        history.read(&reading(at, step * 625_000, 0));
    }
    let columns = |columns: &series::Columns| serde_json::to_value(columns).unwrap();
    let (hour, day) = (columns(&history.series().hour()), columns(&history.series().day()));
    for (columns, length, step) in [(&hour, 720, SLOT), (&day, 1440, 60_000)] {
        let at = columns["at"].as_array().unwrap();
        assert_eq!((at.len(), columns["step_ms"].as_u64()), (length, Some(step)));
        let column = &columns["uplinks"]["isp-b"];
        for (name, value) in [("received", "1000000"), ("sent", "500000"), ("rtt", "20.0")] {
            let values = column[name].as_array().unwrap();
            assert_eq!((values.len(), values[length - 1].to_string()), (length, value.to_owned()));
        }
    }
    assert_eq!(hour["at"][719], steps * SLOT);
    let (at, row) = history.series().last_slot().unwrap();
    assert_eq!((at, row["isp-a"]), (steps * SLOT, (1_000_000, 500_000, Some(20.0))));
}

#[test]
fn a_clock_that_is_set_back_and_counters_that_begin_anew_do_no_harm() {
    let mut history = History::new(0);
    for at in [100_000, 105_000, 110_000] {
        history.read(&reading(at, at * 1000, 0));
    }
    history.read(&reading(102_000, 0, 0));
    assert_eq!(history.series().last_slot(), None, "both steps seem to be to come");
    assert!(history.wants_reading(50_000));
    history.read(&reading(107_000, 625_000, 0));
    let (at, row) = history.series().last_slot().unwrap();
    assert_eq!((at, row["isp-a"].0), (107_000, 1_000_000));
    let mut history = with_two_lanes();
    history.handle(&event(9000, 0, Happened::LaneSuspected(40)));
    history.handle(&event(500, 0, Happened::LaneRecovered));
    assert_eq!(outages(&history), ["isp-a Silent 8960-8960 0"]);
}

#[test]
fn no_peer_makes_it_grow() {
    let mut history = History::new(0);
    let long = "x".repeat(10_000);
    for n in 0..5000u64 {
        let (at, peer) = (n * 1000, format!("peer{}", n % 700));
        let of = |what| Occurrence {
            at,
            peer: Some(&peer),
            session: Some(u128::from(n)),
            lane: Some(n),
            uplink: Some("isp-a"),
            what,
        };
        for what in [Happened::LaneUp, Happened::LaneSuspected(40), Happened::LaneDown(&long)] {
            history.handle(&of(what));
        }
        let name = format!("eth{n}");
        let uplinks = vec![UplinkReading { name, received: n, ..UplinkReading::default() }];
        history.read(&Reading { at: n * SLOT, uplinks });
    }
    let json = serde_json::to_string(&history.failures()).unwrap();
    assert_eq!(history.outages.all().count(), 256);
    assert!(json.len() < 100_000, "{}", json.len());
    let uplinks = |columns: series::Columns| {
        serde_json::to_value(columns).unwrap()["uplinks"].as_object().unwrap().len()
    };
    assert!(uplinks(history.series().hour()) <= MAX_UPLINKS);
    let (_, failures, _) = sums(&history);
    assert!(failures >= 4000, "{failures}");
    // A day later nothing of it counts.
    let day = 5_000_000 + 24 * 3_600_000 + 900_000;
    history.handle(&event(day, 0, Happened::LaneSuspected(40)));
    assert_eq!(sums(&history).1, 1);
}
