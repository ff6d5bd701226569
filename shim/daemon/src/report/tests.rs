pub(crate) mod sample;

use self::sample::sample;
use super::*;

#[test]
fn the_table_shows_the_whole_state() {
    let expected = "\
tlk1abc  up 1h 2m 3s
listening on udp [::]:5443
12 of 768 descriptors for connections in use; the limit is 1024
ingress all intercepts tcp of programs of every user, by the table inet throughline-0a1b2c3d
  ! nft does not answer
lanes failed 2 times; 57 live flows in all went on
uplink isp-a  192.0.2.7  pa  metered  draining
  ! 16.0 GB of 20.0 GB used, 4.0 GB left until 2026-12-01, 00:00 UTC
  ! packets leave by eth1; add a rule

peer branch1  tlk1def
  ! no new lane for 7s: the peer refused us: key tlk1abc is unknown
  every dial has failed for 1m 1s; the last one: from 192.0.2.7 to 198.51.100.2:5443: no answer within 4s
  session 01234567  initiator  attached
    ! redundancy lost for 1m 1s: isp-b: it has no address
    lane  uplink  local            remote             state                    rtt      sent    received  migrated
    l0    isp-a   192.0.2.7:40001  198.51.100.1:5443  up, pauses up to 180 ms  20.3 ms  1.2 MB  89.0 kB   1x
    flow  target        mode  sent   received  resent  duplicate  intended
    f4    10.20.0.1:22  auto  999 B  123 MB    0 B     100 B      900 B

peer branch2  tlk1ghi
  no lane: it has no `locators` in this configuration, so it has to dial us
";
    assert_eq!(sample().to_string(), expected);
}

#[test]
fn without_a_lane_the_table_says_why() {
    let peer = |failure: Option<(f64, &str)>, locator: bool| {
        let mut report = sample();
        report.peers.truncate(1);
        let peer = &mut report.peers[0];
        peer.sessions.clear();
        peer.dial_failure = failure.map(|(duration_s, reason)| DialFailureReport {
            duration_s,
            reason: reason.to_owned(),
        });
        if !locator {
            peer.locators.clear();
        }
        report.to_string().lines().last().unwrap().to_owned()
    };
    let reason = "from 192.0.2.7 to 198.51.100.2:5443: no answer within 4s";
    assert_eq!(peer(Some((0.4, reason)), true), format!("  no lane: {reason}"));
    assert_eq!(peer(Some((61.5, reason)), true), format!("  no lane: {reason} (for 1m 1s)"));
    assert_eq!(peer(None, true), "  no lane yet: the first dials are in progress");
    assert_eq!(
        peer(None, false),
        "  no lane: it has no `locators` in this configuration, so it has to dial us"
    );
}

#[test]
fn the_json_has_the_documented_fields() {
    let json = serde_json::to_value(sample()).unwrap();
    let lane = &json["peers"][0]["sessions"][0]["lanes"][0];
    assert_eq!(lane["local"], "192.0.2.7:40001");
    assert_eq!(lane["rtt_ms"], 20.26);
    assert_eq!((&lane["received_bytes"], &lane["suspicions"]), (&89_012.into(), &3.into()));
    assert_eq!(lane["usual_pause_ms"], 180.4);
    assert_eq!(lane["interface"], "eth0");
    assert_eq!(json["descriptors"]["for_connections"], 768);
    assert_eq!(json["file"], "/etc/throughline/throughline.toml");
    assert_eq!(json["tasks"], 57);
    assert_eq!(json["interception"]["ingresses"][0]["port"], 40_007);
    assert_eq!(json["totals"][0]["surviving_flows"], 57);
    assert_eq!(json["uplinks"][0]["egress_checks"][1]["state"], "wrong-uplink");
    assert_eq!(json["uplinks"][0]["egress_checks"][0]["problem"], serde_json::Value::Null);
    assert_eq!(json["peers"][0]["sessions"][0]["detached_s"], serde_json::Value::Null);
    assert_eq!(json["peers"][0]["sessions"][0]["flows"][0]["duplicate_bytes"], 1000);
    assert_eq!(json["peers"][0]["sessions"][0]["redundancy_losses"][0]["domain"], "isp-b");
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), sample());
}

#[test]
fn uplink_list_is_a_table_of_the_uplinks() {
    let expected = "\
uplink  addresses  class  metered  state     lanes
isp-a   192.0.2.7  pa     yes      draining  1
";
    assert_eq!(sample().uplink_table(), expected);
}

#[test]
fn uplink_list_does_not_call_a_dead_uplink_in_use_and_leaves_idle_loopback_out() {
    let mut report = sample();
    let state = |report: &Report| {
        let table = report.uplink_table();
        table
            .lines()
            .nth(1)
            .map(|row| row.split("  ").filter(|c| !c.is_empty()).nth(4).unwrap().trim().to_owned())
    };
    report.uplinks[0].draining = false;
    assert_eq!(state(&report).as_deref(), Some("in use"));
    report.uplinks[0].lanes = 0;
    assert_eq!(state(&report).as_deref(), Some("standby"), "it is metered");
    report.uplinks[0].metered = false;
    report.uplinks[0].lanes = 1;
    report.uplinks[0].lanes_up = 0;
    assert_eq!(state(&report).as_deref(), Some("no answer"));
    report.uplinks[0].lanes = 0;
    assert_eq!(state(&report).as_deref(), Some("no lane"));
    report.uplinks[0].addresses = vec!["127.0.0.1".parse().unwrap()];
    assert_eq!(state(&report).as_deref(), Some("no lane"), "it is configured");
    report.uplinks[0].discovered = true;
    assert_eq!(state(&report), None);
}

#[test]
fn what_says_why_an_uplink_has_no_address_reads_the_daemons_own_configuration() {
    let mut report = Report { interception: None, peers: Vec::new(), ..sample() };
    report.uplinks[0].egress_checks.clear();
    report.uplinks[0].addresses.clear();
    report.uplinks[0].draining = false;
    let problem = |command| [format!("uplink isp-a has no usable address; `{command}` says why")];
    report.file = Some("/etc/my file.toml".into());
    assert_eq!(report.problems(), problem("throughline check -c '/etc/my file.toml'"));
    report.file = None;
    assert_eq!(report.problems(), problem("throughline check"));
}

#[test]
fn what_is_wrong_is_named_and_nothing_else() {
    let mut report = sample();
    report.peers[0].dial_failure = None;
    assert_eq!(
        report.problems(),
        [
            "nft does not answer",
            "packets leave by eth1; add a rule",
            "peer branch1 lost its redundancy 62 s ago: isp-b: it has no address",
            "peer branch1 gets no new lane: the peer refused us: key tlk1abc is unknown",
        ]
    );
    let mut spent = report.clone();
    for (at_budget, expected) in [
        (
            "stop",
            "the budget of 20.0 GB is spent: nothing goes over it until 2026-12-01, 00:00 UTC",
        ),
        (
            "thin",
            "the budget of 20.0 GB is spent: only thin flows use it, where no other answers, until 2026-12-01, 00:00 UTC",
        ),
    ] {
        let budget = spent.uplinks[0].budget.as_mut().unwrap();
        (budget.state, budget.at_budget) = ("spent".to_owned(), at_budget.to_owned());
        assert_eq!(spent.problems()[1], format!("uplink isp-a: {expected}"));
    }
    spent.uplinks[0].draining = false;
    assert_eq!(spent.uplinks[0].state(), "in use", "by thin flows");
    spent.uplinks[0].budget.as_mut().unwrap().at_budget = "stop".to_owned();
    assert_eq!(spent.uplinks[0].state(), "budget spent");
    report.interception = None;
    report.uplinks[0].egress_checks.clear();
    report.peers[0].sessions[0].redundancy_losses.clear();
    report.peers[0].key_refusal = None;
    assert!(report.problems().is_empty(), "branch2 has to come by itself, and need not");
    report.uplinks[0].addresses.clear();
    assert!(report.problems().is_empty(), "the uplink is drained");
    report.uplinks[0].draining = false;
    report.peers[0].sessions[0].detached_s = Some(2.0);
    assert_eq!(report.problems().len(), 1, "an outage that may pass");
    assert!(report.problems()[0].starts_with("uplink isp-a has no usable address; "));
    report.peers[0].sessions[0].detached_s = Some(7.6);
    assert_eq!(report.problems()[1], "peer branch1 has had no lane for 8 s");
    let mut gone = report.clone();
    gone.peers[0].locators.clear();
    assert_eq!(gone.problems().len(), 2, "its flows wait");
    gone.peers[0].sessions[0].live_flows = 0;
    assert_eq!(gone.problems().len(), 1, "it need not come");
    let mut unreached = report.clone();
    unreached.peers[0].sessions.clear();
    assert_eq!(unreached.problems()[1], "peer branch1 has no lane yet");
    unreached.uptime_s = 1.0;
    assert_eq!(unreached.problems().len(), 1, "the first dials have their time");
    report.peers[0].dial_failure =
        Some(DialFailureReport { duration_s: 1.0, reason: "no answer within 4s".to_owned() });
    assert_eq!(report.problems()[1], "peer branch1 has no lane: no answer within 4s");
}
