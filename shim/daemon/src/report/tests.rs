mod sample;

use self::sample::sample;
use super::*;

#[test]
fn the_table_shows_the_whole_state() {
    let expected = "\
tlk1abc  up 1h 2m 3s
listening on udp [::]:5443
uplink isp-a  192.0.2.7  pa  metered  draining
  ! packets leave by eth1; add a rule

peer branch1  tlk1def
  every dial has failed for 1m 1s; the last one: from 192.0.2.7 to 198.51.100.2:5443: no answer within 4s
  session 01234567  initiator  attached
    lane  uplink  local            remote             state  rtt      sent    received  migrated
    l0    isp-a   192.0.2.7:40001  198.51.100.1:5443  up     20.3 ms  1.2 MB  89.0 kB   1x
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
    assert_eq!(lane["interface"], "eth0");
    assert_eq!(json["uplinks"][0]["egress_checks"][1]["state"], "wrong-uplink");
    assert_eq!(json["uplinks"][0]["egress_checks"][0]["problem"], serde_json::Value::Null);
    assert_eq!(json["peers"][0]["sessions"][0]["detached_s"], serde_json::Value::Null);
    assert_eq!(json["peers"][0]["sessions"][0]["flows"][0]["duplicate_bytes"], 1000);
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
