//! What is shown of a report.

use serde_json::Value;

use super::*;
use crate::report::tests::sample::sample;

fn frame(now: Millis) -> Frame<'static> {
    Frame { now, host: "host", can_change: false }
}

fn shown(meter: &mut Meter, report: &Report, now: Millis) -> Value {
    serde_json::to_value(meter.state(report, frame(now))).unwrap()
}

#[test]
fn rates_are_those_since_the_moment_before_if_that_was_not_long_ago() {
    let (mut report, mut meter) = (sample(), Meter::default());
    let first = shown(&mut meter, &report, 10_000);
    assert_eq!(first["uplinks"][0]["rate"], Value::Null);
    report.totals[0].received_bytes += 1_000_000;
    let session = &mut report.peers[0].sessions[0];
    session.lanes[0].sent_bytes += 500;
    session.flows[0].received_bytes += 250;
    let second = shown(&mut meter, &report, 12_000);
    assert_eq!(second["uplinks"][0]["rate"]["received"], 4_000_000);
    assert_eq!(second["lanes"][0]["rate"]["sent"], 2000);
    assert_eq!(second["flows"][0]["rate"]["received"], 1000);
    // A counter that begins anew is no rate of its own.
    report.totals[0].received_bytes = 0;
    assert_eq!(shown(&mut meter, &report, 13_000)["uplinks"][0]["rate"]["received"], 0);
    assert_eq!(shown(&mut meter, &report, 60_000)["uplinks"][0]["rate"], Value::Null);
    assert_eq!(shown(&mut meter, &report, 50_000)["uplinks"][0]["rate"], Value::Null);
}

#[test]
fn of_thousands_of_flows_the_busiest_are_shown_and_all_are_counted() {
    let (mut report, mut meter) = (sample(), Meter::default());
    let flow = report.peers[0].sessions[0].flows[0].clone();
    let flows = (0..10_000).map(|id| FlowReport { id, ..flow.clone() });
    report.peers[0].sessions[0].flows = flows.collect();
    let lane = report.peers[0].sessions[0].lanes[0].clone();
    report.peers[0].sessions[0].lanes =
        (0..200).map(|id| LaneReport { id, ..lane.clone() }).collect();
    shown(&mut meter, &report, 1000);
    report.peers[0].sessions[0].flows[7777].sent_bytes += 10;
    let state = shown(&mut meter, &report, 2000);
    assert_eq!(
        (state["flows_total"].as_u64(), state["lanes_total"].as_u64()),
        (Some(10_000), Some(200))
    );
    let flows = state["flows"].as_array().unwrap();
    assert_eq!((flows.len(), flows[0]["id"].as_u64()), (MAX_FLOWS, Some(7777)));
    assert_eq!(flows[0]["uplink"], "isp-a");
    assert_eq!(state["lanes"].as_array().unwrap().len(), MAX_LANES);
    assert!(state.to_string().len() < 64 * 1024, "{}", state.to_string().len());
}

#[test]
fn texts_of_others_are_printable_and_short() {
    let mut report = sample();
    let evil = format!("</script><img src=x onerror=alert(1)>\u{202e}\r\n\0{}", "y".repeat(5000));
    report.peers[0].name.clone_from(&evil);
    report.peers[0].sessions[0].flows[0].target.clone_from(&evil);
    report.peers[0].dial_failure.as_mut().unwrap().reason.clone_from(&evil);
    let state = shown(&mut Meter::default(), &report, 1000);
    for text in
        [&state["peers"][0]["name"], &state["flows"][0]["target"], &state["peers"][0]["problem"]]
    {
        let text = text.as_str().unwrap();
        assert!(text.chars().count() <= MAX_TEXT + 1 && text.ends_with('…'), "{text}");
        assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
    }
}

#[test]
fn an_uplink_that_was_only_discovered_is_shown_once_it_has_a_lane() {
    let mut report = sample();
    report.uplinks[0] =
        UplinkReport { discovered: true, lanes: 0, draining: false, ..report.uplinks[0].clone() };
    assert_eq!(reading(&report, 0).uplinks.len(), 0);
    report.uplinks[0].lanes = 1;
    let read = reading(&report, 5);
    assert_eq!((read.at, read.uplinks[0].received, read.uplinks[0].survivors), (5, 189_012, 57));
    assert_eq!(read.uplinks[0].rtt, Some(20.26));
}
