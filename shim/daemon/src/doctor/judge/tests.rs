//! A table: what was seen, and what it is called.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::catalogue::Code;
use crate::doctor::burst::RateSeen;
use crate::doctor::finding::Severity;
use crate::doctor::observation::*;
use crate::report::EgressReport;
use throughline::probe::MappingAnswer;
use throughline::{Identity, PeerId};
use throughline_uplinks::{
    Address, AddressState, DefaultRoute, Link, NetworkState, Snapshot, Uplink, UsableAddress,
};

const REMOTE: &str = "203.0.113.1:5443";

fn config(key: PeerId, extra: &str) -> Config {
    let text = format!(
        "identity = 'k'\n{extra}\n[uplinks.isp-a]\ninterface = 'a0'\n[uplinks.isp-b]\ninterface = 'b0'\n\
         [peers.far]\nkey = '{key}'\nlocators = ['{REMOTE}']\nallow = ['localhost:80']\n"
    );
    Config::parse("t.toml", &text).unwrap()
}

fn path(uplink: &str, local: &str, interface: &str) -> PathSeen {
    PathSeen {
        peer: "far".to_owned(),
        uplink: uplink.to_owned(),
        interface: interface.to_owned(),
        route: EgressReport {
            local: local.parse().unwrap(),
            remote: REMOTE.parse().unwrap(),
            interface: Some(interface.to_owned()),
            gateway: Some("192.0.2.1".parse().unwrap()),
            state: "own".to_owned(),
            uplink: None,
            problem: None,
        },
        mtu: Some(1500),
        next_hop_is_silent: false,
        udp: UdpAnswer::Answered,
        lane: LaneSeen::Reached {
            rtt: Duration::from_millis(2),
            mtu: 1480,
            mtu_sought: 1480,
            seen_from: Some(SocketAddr::new(local.parse().unwrap(), 4711)),
        },
        silences: Vec::new(),
        rate: None,
    }
}

fn network() -> Snapshot {
    let links = [(1, "lo", true), (2, "a0", false), (3, "b0", false)];
    let nets = [(2, "192.0.2.5/24"), (3, "198.51.100.5/24")];
    let network = NetworkState {
        links: links
            .map(|(index, name, loopback)| Link {
                index,
                name: name.to_owned(),
                up: true,
                loopback,
            })
            .to_vec(),
        addresses: nets
            .map(|(link, net)| Address {
                link,
                net: net.parse().unwrap(),
                state: AddressState::Preferred,
            })
            .to_vec(),
        defaults: [2, 3]
            .map(|link| DefaultRoute {
                link,
                v6: false,
                metric: link,
                gateway: None,
                onlink: false,
                source: None,
            })
            .to_vec(),
    };
    let uplink = |name: &str, link: u32| Uplink {
        name: name.to_owned(),
        class: Default::default(),
        metered: false,
        overflow: None,
        discovered: false,
        addresses: network
            .usable()
            .into_iter()
            .filter(|a: &UsableAddress| a.link == link)
            .collect(),
    };
    Snapshot { generation: 1, uplinks: vec![uplink("isp-a", 2), uplink("isp-b", 3)], network }
}

/// Both paths good.
fn good() -> Observations {
    Observations {
        network: network(),
        paths: vec![path("isp-a", "192.0.2.5", "a0"), path("isp-b", "198.51.100.5", "b0")],
        ..Observations::default()
    }
}

/// Nobody answers over B, for what `change` says besides.
fn silent_b(change: impl Fn(&mut PathSeen)) -> Observations {
    let mut seen = good();
    (seen.paths[1].udp, seen.paths[1].lane) = (UdpAnswer::Silent, LaneSeen::Silent);
    change(&mut seen.paths[1]);
    seen
}

fn far_key() -> PeerId {
    PeerId::from_bytes([1; 32])
}

fn worst(config: &Config, seen: &Observations) -> Finding {
    diagnose(config, seen).findings[0].clone()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_seen_of_a_path_has_one_cause() {
    use Refused::{Port, Prohibited, Unreachable};
    let by = |ip: &str, what| UdpAnswer::Refused(Refusal { by: Some(ip.parse().unwrap()), what });
    type Change = Box<dyn Fn(&mut PathSeen)>;
    let table: [(Code, &str, Change); 19] = [
        (Code::UdpBlocked, "answers over isp-a", Box::new(|_| ())),
        (Code::LocalFirewall, "packet filter", Box::new(|p| p.udp = UdpAnswer::NotPermitted)),
        (Code::PortRefused, "nobody listens", Box::new(move |p| p.udp = by("203.0.113.1", Port))),
        (
            Code::RefusedOnTheWay,
            "router 198.51.100.1",
            Box::new(move |p| p.udp = by("198.51.100.1", Prohibited)),
        ),
        (Code::RefusedOnTheWay, "forbids it", Box::new(move |p| p.udp = by("198.51.100.1", Port))),
        (
            Code::RefusedOnTheWay,
            "no way to the host",
            Box::new(move |p| p.udp = by("198.51.100.1", Unreachable)),
        ),
        (
            Code::RefusedOnTheWay,
            "peer's host 203",
            Box::new(move |p| p.udp = by("203.0.113.1", Prohibited)),
        ),
        (
            Code::RouterSilent,
            "192.0.2.1 does not answer",
            Box::new(move |p| p.udp = by("198.51.100.5", Unreachable)),
        ),
        (Code::RouterSilent, "on b0", Box::new(|p| p.next_hop_is_silent = true)),
        (Code::MtuTooSmall, "1200 bytes", Box::new(|p| p.mtu = Some(1200))),
        (Code::HandshakeBlocked, "single datagram", Box::new(|p| p.udp = UdpAnswer::Answered)),
        (Code::WrongUplink, "rule", Box::new(|p| p.route.state = "wrong-uplink".to_owned())),
        (Code::NoRoute, "No route", Box::new(|p| p.route.state = "no-route".to_owned())),
        (Code::NotProbed, "no time", Box::new(|p| p.lane = LaneSeen::NotTried)),
        (Code::KeyUnknownThere, "does not know", Box::new(|p| p.lane = LaneSeen::KeyUnknownThere)),
        (
            Code::VersionMismatch,
            "No common",
            Box::new(|p| p.lane = LaneSeen::NoCommonVersion("no common version".to_owned())),
        ),
        (
            Code::PeerRejects,
            "shutting down",
            Box::new(|p| p.lane = LaneSeen::Rejected("shutting down".to_owned())),
        ),
        (
            Code::SourceUnusable,
            "no socket",
            Box::new(|p| p.lane = LaneSeen::CannotBind("x".to_owned())),
        ),
        (
            Code::PathFailed,
            "Odd",
            Box::new(|p| {
                (p.udp, p.lane) = (UdpAnswer::Answered, LaneSeen::Failed("odd".to_owned()));
            }),
        ),
    ];
    for (code, cause, change) in table {
        let found = worst(&config(far_key(), ""), &silent_b(change));
        let severity = if code == Code::NotProbed { Severity::Note } else { Severity::Warning };
        assert_eq!((found.code, found.severity), (code, severity), "{found}");
        assert!(found.cause.contains(cause) && found.cure.is_some(), "{found}");
    }
}

#[test]
fn a_router_that_knows_no_way_to_a_private_address_is_not_blamed() {
    let by = Some("198.51.100.1".parse().unwrap());
    let seen = silent_b(|p| {
        p.route.remote = "10.9.0.1:5443".parse().unwrap();
        p.udp = UdpAnswer::Refused(Refusal { by, what: Refused::Unreachable });
    });
    let found = worst(&config(far_key(), ""), &seen);
    assert_eq!(found.code, Code::PrivateLocator, "{found}");
}

#[test]
fn a_path_that_works_is_described_and_what_is_odd_about_it_is_a_note() {
    let all_is_well = diagnose(&config(far_key(), ""), &good());
    assert_eq!(all_is_well.severity, Severity::Note, "{all_is_well}");
    assert_eq!(all_is_well.findings[0].code, Code::DaemonAbsent);
    let noted = |lane: LaneSeen| {
        let mut seen = good();
        seen.paths[1].lane = lane;
        let all = diagnose(&config(far_key(), ""), &seen);
        assert_eq!(all.severity, Severity::Note, "{all}");
        all.findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    let reached = |mtu, from: &str| LaneSeen::Reached {
        rtt: Duration::from_millis(2),
        mtu,
        mtu_sought: 1480,
        seen_from: from.parse().ok(),
    };
    assert!(noted(reached(1480, "203.0.113.7:1")).contains(&Code::Nat));
    assert!(noted(reached(1300, "198.51.100.5:1")).contains(&Code::MtuReduced));
    assert!(!noted(reached(1480, "")).contains(&Code::Nat));
}

#[test]
fn where_no_path_works_it_is_an_error_and_said_once_of_the_far_end() {
    let mut seen = silent_b(|_| ());
    (seen.paths[0].udp, seen.paths[0].lane) = (UdpAnswer::Silent, LaneSeen::Silent);
    let all = diagnose(&config(far_key(), ""), &seen);
    let errors: Vec<_> = all.findings.iter().filter(|f| f.severity == Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{all}");
    assert_eq!(errors[0].code, Code::PeerSilent);
    assert!(errors[0].subject.ends_with("over isp-a, isp-b"), "{all}");
}

#[test]
fn a_source_that_the_isp_has_not_assigned_is_told_from_an_isp_that_drops_udp() {
    let mut seen = good();
    let mut foreign = path("isp-b", "192.0.2.77", "b0");
    (foreign.udp, foreign.lane) = (UdpAnswer::Silent, LaneSeen::Silent);
    seen.paths.push(foreign);
    let found = worst(&config(far_key(), ""), &seen);
    assert_eq!(found.code, Code::SourceFiltered, "{found}");
    assert!(found.cause.contains("198.51.100.5"), "{found}");
}

#[test]
fn whose_key_was_shown_is_told() {
    let own = Identity::generate().peer_id();
    let shown = |key| silent_b(|p| p.lane = LaneSeen::OtherKey(key));
    let named = |seen: &Observations| worst(&config(far_key(), ""), seen);
    let mut ours = shown(own);
    ours.own_key = Some(Ok(own));
    assert_eq!(named(&ours).code, Code::SharedKey);
    let other = PeerId::from_bytes([9; 32]);
    let found = named(&shown(other));
    assert!(found.code == Code::OtherKey && found.cause.contains(&other.to_string()), "{found}");
    let configured = named(&shown(far_key()));
    assert!(configured.cause.contains("the peer far answers"), "{configured}");
}

#[test]
fn what_the_host_lacks_is_told() {
    type Change = fn(&mut HostFacts);
    let table: [(Code, Severity, Change); 4] = [
        (Code::FewDescriptors, Severity::Warning, |h| h.descriptor_limit = 256),
        (Code::NoOffload, Severity::Note, |h| h.offloads = Some((1, 64))),
        (Code::SmallBuffers, Severity::Note, |h| h.receive_buffer = Some(212_992)),
        (Code::WrongClock, Severity::Note, |h| h.clock_s = 0),
    ];
    for (code, severity, change) in table {
        let mut seen = good();
        change(&mut seen.host);
        let all = diagnose(&config(far_key(), ""), &seen).findings;
        let found = all.iter().find(|finding| finding.code == code).unwrap();
        assert!(found.severity == severity && found.cure.is_some(), "{found}");
    }
    let mut seen = good();
    seen.host.is_network_admin = false;
    let managing = config(far_key(), "manage-routes = true");
    assert_eq!(worst(&managing, &seen).code, Code::NotPrivileged);
    for fault in
        [Listening::Taken, Listening::NotOurs, Listening::Privileged, Listening::Other("x".into())]
    {
        let mut seen = good();
        let addr = "0.0.0.0:53".parse().unwrap();
        seen.ports.push(PortFault { purpose: "lanes".to_owned(), protocol: "udp", addr, fault });
        assert_eq!(worst(&config(far_key(), ""), &seen).code, Code::CannotListen);
    }
}

#[test]
fn an_uplink_without_an_address_says_why() {
    type Change = fn(&mut NetworkState);
    let table: [(Code, Change); 4] = [
        (Code::NoInterface, |n| n.links.retain(|link| link.name != "b0")),
        (Code::InterfaceDown, |n| n.links[2].up = false),
        (Code::NoAddress, |n| n.addresses.truncate(1)),
        (Code::AddressNotUsable, |n| n.addresses[1].state = AddressState::Unready),
    ];
    for (code, change) in table {
        let mut seen = good();
        change(&mut seen.network.network);
        if code == Code::NoInterface {
            seen.network.network.addresses.truncate(1);
        }
        seen.network.uplinks[1].addresses.clear();
        seen.paths.truncate(1);
        let found = worst(&config(far_key(), ""), &seen);
        assert_eq!((found.code, found.severity), (code, Severity::Warning), "{found}");
    }
}

#[test]
fn how_long_a_path_may_be_silent_is_judged_by_the_longest_that_it_kept() {
    use MappingAnswer::{Forgotten, Kept};
    use Severity::{Note, Ok, Warning};
    let unknown = || MappingAnswer::Unknown("older".to_owned());
    let table = [
        (vec![], None, ""),
        (vec![Kept, Kept, Kept, Kept], Some((Code::MappingKept, Ok)), "After 25 s of silence"),
        (
            vec![Kept, Kept, Kept, Forgotten],
            Some((Code::MappingKept, Ok)),
            "after 25 s they are not",
        ),
        // A packet was lost for another reason.
        (
            vec![Forgotten, Kept, Forgotten, Kept],
            Some((Code::MappingKept, Ok)),
            "After 25 s of silence",
        ),
        (
            vec![Kept, Kept, Forgotten, Forgotten],
            Some((Code::MappingShort, Warning)),
            "(after 10 s they were)",
        ),
        (vec![Forgotten; 4], Some((Code::MappingShort, Warning)), "After 5 s of silence"),
        (
            vec![unknown(), unknown(), unknown(), unknown()],
            Some((Code::MappingUnknown, Note)),
            "older",
        ),
        (vec![Kept, Kept], Some((Code::MappingUnknown, Note)), "a longer silence was not seen"),
    ];
    for (answers, expected, cause) in table {
        let mut seen = good();
        let silences = [5, 10, 16, 25].map(Duration::from_secs).into_iter();
        seen.paths[1].silences = silences.zip(answers.clone()).collect();
        let all = diagnose(&config(far_key(), ""), &seen).findings;
        let codes = [Code::MappingKept, Code::MappingShort, Code::MappingUnknown];
        let found = all.iter().find(|finding| codes.contains(&finding.code));
        assert_eq!(found.map(|f| (f.code, f.severity)), expected, "{answers:?}");
        assert!(found.is_none_or(|f| f.cause.contains(cause)), "{answers:?}: {found:?}");
    }
}

#[test]
fn what_limits_a_rate_is_told() {
    let (rate, delay) = (8e6, Duration::from_millis(90));
    let table = [
        (RateSeen::Free { offered: 50e6 }, Code::RateFree, Severity::Ok, "50 Mbit/s passed"),
        (
            RateSeen::Policed { rate, burst: 64e3, lost: 0.5 },
            Code::RatePoliced,
            Severity::Warning,
            "above 8.0 Mbit/s is dropped, once some 64 kB",
        ),
        (
            RateSeen::Shaped { rate, delay, lost: 0.0 },
            Code::RateShaped,
            Severity::Note,
            "here 90 ms",
        ),
        (RateSeen::Lossy { lost: 0.07 }, Code::RateLossy, Severity::Warning, "7 % of a burst"),
        (RateSeen::Unknown("odd".to_owned()), Code::RateUnknown, Severity::Note, "odd"),
    ];
    for (rate, code, severity, cause) in table {
        let mut seen = good();
        seen.paths[1].rate = Some(rate);
        let all = diagnose(&config(far_key(), ""), &seen).findings;
        let found = all.iter().find(|finding| finding.code == code).unwrap();
        assert_eq!(found.severity, severity, "{found}");
        assert!(found.cause.contains(cause), "{found}");
        assert_eq!(found.cure.is_none(), severity == Severity::Ok, "{found}");
        let unnamed = found.cure.as_ref().is_some_and(|cure| cure.contains("NAME"));
        assert!(!unnamed, "the uplink is known: {found}");
    }
}

#[test]
fn a_command_names_the_configuration_that_was_examined() {
    let all = diagnose(&config(far_key(), ""), &good()).of_file(Path::new("/etc/my file.toml"));
    let cure = all.findings[0].cure.as_ref().unwrap();
    assert!(cure.contains("`throughline run -c '/etc/my file.toml'`"), "{cure}");
}
