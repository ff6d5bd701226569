use super::*;

pub(crate) fn sample() -> Report {
    Report {
        id: "tlk1abc".to_owned(),
        version: "0.1.0".to_owned(),
        uptime_s: 3723.4,
        listen: vec!["[::]:5443".parse().unwrap()],
        uplinks: vec![UplinkReport {
            name: "isp-a".to_owned(),
            addresses: vec!["192.0.2.7".parse().unwrap()],
            class: "pa".to_owned(),
            metered: true,
            egress_checks: vec![
                EgressReport {
                    local: "192.0.2.7".parse().unwrap(),
                    remote: "198.51.100.1:5443".parse().unwrap(),
                    interface: Some("eth0".to_owned()),
                    gateway: None,
                    state: "own".to_owned(),
                    uplink: None,
                    trouble: None,
                },
                EgressReport {
                    local: "192.0.2.7".parse().unwrap(),
                    remote: "203.0.113.1:5443".parse().unwrap(),
                    interface: Some("eth1".to_owned()),
                    gateway: Some("198.51.100.1".parse().unwrap()),
                    state: "wrong-uplink".to_owned(),
                    uplink: None,
                    trouble: Some("packets leave by eth1; mend it".to_owned()),
                },
            ],
            draining: true,
            lanes: 1,
        }],
        peers: vec![
            PeerReport {
                name: "branch1".to_owned(),
                id: "tlk1def".to_owned(),
                locators: vec!["branch1.example:5443".to_owned()],
                failing: Some(FailingReport {
                    since_s: 61.5,
                    error: "from 192.0.2.7 to 198.51.100.2:5443: no answer within 4s".to_owned(),
                }),
                sessions: vec![SessionReport {
                    id: "0123456789abcdef0123456789abcdef".to_owned(),
                    side: "initiator".to_owned(),
                    detached_s: None,
                    lanes: vec![LaneReport {
                        id: 0,
                        uplink: Some("isp-a".to_owned()),
                        interface: Some("eth0".to_owned()),
                        local: "192.0.2.7:40001".parse().unwrap(),
                        remote: "198.51.100.1:5443".parse().unwrap(),
                        state: "up".to_owned(),
                        rtt_ms: 20.26,
                        cwnd_bytes: 65536,
                        mtu_bytes: 1452,
                        sent_bytes: 1_234_567,
                        received_bytes: 89_012,
                        lost_bytes: 0,
                        doubts: 3,
                        migrations: 1,
                    }],
                    flows: vec![FlowReport {
                        id: 4,
                        target: "10.20.0.1:22".to_owned(),
                        mode: "auto".to_owned(),
                        sent_bytes: 999,
                        received_bytes: 123_456_789,
                        resent_bytes: 0,
                        duplicate_bytes: 1_000,
                        copy_bytes: 900,
                    }],
                }],
            },
            PeerReport {
                name: "branch2".to_owned(),
                id: "tlk1ghi".to_owned(),
                locators: vec![],
                failing: None,
                sessions: vec![],
            },
        ],
    }
}

#[test]
fn the_table_tells_a_person_what_there_is() {
    let expected = "\
tlk1abc  up 1h 2m 3s
listening on udp [::]:5443
uplink isp-a  192.0.2.7  pa  metered  draining
  ! packets leave by eth1; mend it

peer branch1  tlk1def
  no dial gets through for 1m 1s; the last: from 192.0.2.7 to 198.51.100.2:5443: no answer within 4s
  session 01234567  initiator  attached
    lane  uplink  local            remote             state  rtt      sent    received  moved
    l0    isp-a   192.0.2.7:40001  198.51.100.1:5443  up     20.3 ms  1.2 MB  89.0 kB   1x
    flow  target        mode  sent   received  resent  duplicate  copies
    f4    10.20.0.1:22  auto  999 B  123 MB    0 B     100 B      900 B

peer branch2  tlk1ghi
  no lane: it has no locators here, so it has to dial us
";
    assert_eq!(sample().to_string(), expected);
}

#[test]
fn where_there_is_no_lane_the_table_says_why() {
    let peer = |failing: Option<(f64, &str)>, locator: bool| {
        let mut report = sample();
        report.peers.truncate(1);
        let peer = &mut report.peers[0];
        peer.sessions.clear();
        peer.failing =
            failing.map(|(since_s, error)| FailingReport { since_s, error: error.to_owned() });
        if !locator {
            peer.locators.clear();
        }
        report.to_string().lines().last().unwrap().to_owned()
    };
    let why = "from 192.0.2.7 to 198.51.100.2:5443: no answer within 4s";
    assert_eq!(peer(Some((0.4, why)), true), format!("  no lane: {why}"));
    assert_eq!(peer(Some((61.5, why)), true), format!("  no lane: {why} (for 1m 1s by now)"));
    assert_eq!(peer(None, true), "  no lane yet: the first dials are under way");
    assert_eq!(peer(None, false), "  no lane: it has no locators here, so it has to dial us");
}

#[test]
fn the_json_has_the_names_that_programs_rely_on() {
    let json = serde_json::to_value(sample()).unwrap();
    let lane = &json["peers"][0]["sessions"][0]["lanes"][0];
    assert_eq!(lane["local"], "192.0.2.7:40001");
    assert_eq!(lane["rtt_ms"], 20.26);
    assert_eq!((&lane["received_bytes"], &lane["doubts"]), (&89_012.into(), &3.into()));
    assert_eq!(lane["interface"], "eth0");
    assert_eq!(json["uplinks"][0]["egress_checks"][1]["state"], "wrong-uplink");
    assert_eq!(json["uplinks"][0]["egress_checks"][0]["trouble"], serde_json::Value::Null);
    assert_eq!(json["peers"][0]["sessions"][0]["detached_s"], serde_json::Value::Null);
    assert_eq!(json["peers"][0]["sessions"][0]["flows"][0]["duplicate_bytes"], 1000);
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), sample());
}

#[test]
fn the_uplinks_alone_make_a_table() {
    let expected = "\
uplink  addresses  class  metered  state     lanes
isp-a   192.0.2.7  pa     yes      draining  1
";
    assert_eq!(sample().uplink_table(), expected);
}
