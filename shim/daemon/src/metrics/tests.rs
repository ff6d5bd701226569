use super::families::text;
use crate::report::tests::sample::sample;

/// Returns the names in the lines of one kind, `TYPE` or `HELP`.
fn names<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let prefix = format!("# {kind} ");
    text.lines().filter_map(|line| line.strip_prefix(&prefix)?.split(' ').next()).collect()
}

#[test]
fn every_metric_has_a_help_a_type_and_the_value_of_the_report() {
    let text = text(&sample()).unwrap();
    for line in [
        "throughline_build_info{version=\"0.1.0\"} 1",
        "throughline_uptime_seconds 3723.4",
        "throughline_connection_descriptors 12",
        "throughline_uplink_addresses{uplink=\"isp-a\"} 1",
        "throughline_uplink_draining{uplink=\"isp-a\"} 1",
        "throughline_uplink_budget_bytes{uplink=\"isp-a\"} 20000000000",
        "throughline_uplink_budget_remaining_bytes{uplink=\"isp-a\"} 4000000000",
        "throughline_uplink_sent_bytes_total{uplink=\"isp-a\"} 2234567",
        "throughline_lanes_failed_total{uplink=\"isp-a\"} 2",
        "throughline_flows_survived_total{uplink=\"isp-a\"} 57",
        "throughline_peer_flows{peer=\"branch1\"} 1",
        "throughline_peer_reachable{peer=\"branch1\"} 1",
        "throughline_peer_reachable{peer=\"branch2\"} 0",
        "throughline_peer_dials_failing{peer=\"branch1\"} 1",
        "throughline_peer_dials_failing{peer=\"branch2\"} 0",
        "throughline_peer_redundancy_losses{peer=\"branch1\"} 1",
        "throughline_lanes_up{peer=\"branch1\",uplink=\"isp-a\"} 1",
        "throughline_lane_rtt_seconds{peer=\"branch1\",uplink=\"isp-a\"} 0.02026",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert_eq!(names(&text, "TYPE"), names(&text, "HELP"));
}

#[test]
fn names_cannot_break_the_format() {
    let mut report = sample();
    report.peers[0].name = "a\"b\\c\nd".to_owned();
    let text = text(&report).unwrap();
    assert!(text.contains(r#"throughline_peer_reachable{peer="a\"b\\c\nd"} 1"#), "{text}");
}

#[test]
fn the_manual_names_every_metric() {
    let manual = include_str!("../../../../docs/CONFIG.md");
    for name in names(&text(&sample()).unwrap(), "TYPE") {
        assert!(manual.contains(&format!("`{name}")), "CONFIG.md does not name {name}");
    }
}
