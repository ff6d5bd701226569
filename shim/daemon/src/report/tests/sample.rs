//! A report in which every field has a value.

use crate::report::*;

pub(crate) fn sample() -> Report {
    let silent_peer = PeerReport {
        name: "branch2".to_owned(),
        id: "tlk1ghi".to_owned(),
        other_keys: vec![],
        locators: vec![],
        dial_failure: None,
        key_refusal: None,
        sessions: vec![],
    };
    Report {
        id: "tlk1abc".to_owned(),
        version: "0.1.0".to_owned(),
        uptime_s: 3723.4,
        listen: vec!["[::]:5443".parse().unwrap()],
        descriptors: DescriptorsReport { limit: 1024, for_connections: 768, connections: 12 },
        file: Some("/etc/throughline/throughline.toml".into()),
        tasks: 57,
        interception: Some(InterceptionReport {
            table: "throughline-0a1b2c3d".to_owned(),
            problem: Some("nft does not answer".to_owned()),
            ingresses: vec![InterceptingReport {
                name: "all".to_owned(),
                protocol: "tcp".to_owned(),
                of: "programs of every user".to_owned(),
                port: 40_007,
            }],
        }),
        uplinks: vec![uplink()],
        totals: vec![TotalsReport {
            uplink: Some("isp-a".to_owned()),
            lanes: 3,
            failed_lanes: 2,
            surviving_flows: 57,
            suspicions: 9,
            sent_bytes: 2_234_567,
            received_bytes: 189_012,
            lost_bytes: 1_200,
        }],
        peers: vec![peer(), silent_peer],
    }
}

fn uplink() -> UplinkReport {
    let own = EgressReport {
        local: "192.0.2.7".parse().unwrap(),
        remote: "198.51.100.1:5443".parse().unwrap(),
        interface: Some("eth0".to_owned()),
        gateway: None,
        state: "own".to_owned(),
        uplink: None,
        problem: None,
    };
    let wrong = EgressReport {
        local: "192.0.2.7".parse().unwrap(),
        remote: "203.0.113.1:5443".parse().unwrap(),
        interface: Some("eth1".to_owned()),
        gateway: Some("198.51.100.1".parse().unwrap()),
        state: "wrong-uplink".to_owned(),
        uplink: None,
        problem: Some("packets leave by eth1; add a rule".to_owned()),
    };
    UplinkReport {
        name: "isp-a".to_owned(),
        addresses: vec!["192.0.2.7".parse().unwrap()],
        class: "pa".to_owned(),
        metered: true,
        overflow_after_s: None,
        budget: Some(BudgetReport {
            budget_bytes: 20_000_000_000,
            used_bytes: 16_000_000_000,
            remaining_bytes: 4_000_000_000,
            state: "low".to_owned(),
            at_budget: "stop".to_owned(),
            resets_on: Some("2026-12-01".to_owned()),
        }),
        egress_checks: vec![own, wrong],
        discovered: false,
        draining: true,
        lanes: 1,
        lanes_up: 1,
    }
}

fn peer() -> PeerReport {
    PeerReport {
        name: "branch1".to_owned(),
        id: "tlk1def".to_owned(),
        other_keys: Vec::new(),
        locators: vec!["branch1.example:5443".to_owned()],
        dial_failure: Some(DialFailureReport {
            duration_s: 61.5,
            reason: "from 192.0.2.7 to 198.51.100.2:5443: no answer within 4s".to_owned(),
        }),
        key_refusal: Some(DialFailureReport {
            duration_s: 7.25,
            reason: "the peer refused us: key tlk1abc is unknown".to_owned(),
        }),
        sessions: vec![SessionReport {
            id: "0123456789abcdef0123456789abcdef".to_owned(),
            side: "initiator".to_owned(),
            detached_s: None,
            redundancy_losses: vec![RedundancyLossReport {
                domain: "isp-b".to_owned(),
                duration_s: 61.5,
                reason: "it has no address".to_owned(),
            }],
            hold_downs: vec![HoldDownReport { domain: "isp-b".to_owned(), duration_s: 10.0 }],
            lanes: vec![lane()],
            live_flows: 1,
            flows: vec![flow()],
        }],
    }
}

fn lane() -> LaneReport {
    LaneReport {
        id: 0,
        uplink: Some("isp-a".to_owned()),
        interface: Some("eth0".to_owned()),
        local: "192.0.2.7:40001".parse().unwrap(),
        remote: "198.51.100.1:5443".parse().unwrap(),
        our_key: "tlk1ghi".to_owned(),
        peer_key: "tlk1def".to_owned(),
        state: "up".to_owned(),
        rtt_ms: 20.26,
        cwnd_bytes: 65536,
        mtu_bytes: 1452,
        sent_bytes: 1_234_567,
        received_bytes: 89_012,
        lost_bytes: 0,
        suspicions: 3,
        usual_pause_ms: 180.4,
        cost: "preferred".to_owned(),
        draining: false,
        lossy: false,
        migrations: 1,
    }
}

fn flow() -> FlowReport {
    FlowReport {
        id: 4,
        target: "10.20.0.1:22".to_owned(),
        mode: "auto".to_owned(),
        sent_bytes: 999,
        received_bytes: 123_456_789,
        resent_bytes: 0,
        duplicate_bytes: 1_000,
        intended_duplicate_bytes: 900,
        dropped_datagrams: 0,
        thin: true,
        primary_lane: Some(0),
        secondary_lane: None,
        displaced_from: Some(1),
        last_move: Some(MoveReport { from: 1, ago_s: 4.5, reason: "suspect".to_owned() }),
    }
}
