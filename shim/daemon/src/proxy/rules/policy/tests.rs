use super::*;

const A: PeerId = PeerId::from_bytes([1; 32]);
const B: PeerId = PeerId::from_bytes([2; 32]);

fn rule(to: &[&str], ports: &[&str], ingress: &[&str], via: Via, mode: Option<Mode>) -> Rule {
    Rule { mode, ..Rule::for_test(to, ports, ingress, via) }
}

fn policy() -> Policy {
    let own = IngressDefault {
        via: Some(Via::Peers(vec![B])),
        mode: Some(Mode::Single),
        peer_down: None,
    };
    Policy::new(
        vec![
            rule(&["10.20.99.0/24"], &[], &[], Via::Reject, None),
            rule(
                &["10.20.0.0/16", "*.corp.example"],
                &["22", "5432-5433"],
                &[],
                Via::Peers(vec![A, B]),
                Some(Mode::Bond),
            ),
            rule(&["2001:db8::/32"], &[], &["socks"], Via::Peers(vec![A]), None),
            rule(&["intranet"], &[], &[], Via::Direct, None),
        ],
        HashMap::from([("db".to_owned(), own)]),
        Via::Direct,
    )
}

#[test]
fn the_first_matching_rule_decides() {
    let peers = |via: &[PeerId], mode| Decision::Peers {
        via: via.to_vec(),
        mode,
        peer_down: PeerDown::Wait,
    };
    let table = [
        ("socks", "10.20.1.1:22", peers(&[A, B], Mode::Bond)),
        ("socks", "10.20.1.1:5433", peers(&[A, B], Mode::Bond)),
        ("socks", "10.20.1.1:80", Decision::Direct),
        ("socks", "10.20.99.1:22", Decision::Reject),
        ("socks", "[::ffff:10.20.1.1]:22", peers(&[A, B], Mode::Bond)),
        ("socks", "git.corp.example:22", peers(&[A, B], Mode::Bond)),
        ("socks", "a.b.CORP.example.:22", peers(&[A, B], Mode::Bond)),
        ("socks", "corp.example:22", Decision::Direct),
        ("socks", "evilcorp.example:22", Decision::Direct),
        ("socks", "[2001:db8::1]:1", peers(&[A], Mode::Auto)),
        ("other", "[2001:db8::1]:1", Decision::Direct),
        ("socks", "intranet:80", Decision::Direct),
        ("db", "intranet:80", Decision::Direct),
        ("db", "203.0.113.1:80", peers(&[B], Mode::Single)),
        ("db", "10.20.1.1:22", peers(&[A, B], Mode::Bond)),
    ];
    for (ingress, target, expected) in table {
        let decision = policy().decide(ingress, &target.parse().unwrap());
        assert_eq!(decision, expected, "{target} from {ingress}");
    }
}

#[test]
fn a_rule_without_a_mode_uses_the_mode_of_the_ingress() {
    let own = IngressDefault { via: None, mode: Some(Mode::Redundant), peer_down: None };
    let policy = Policy::new(
        vec![rule(&["h"], &[], &[], Via::Peers(vec![A]), None)],
        HashMap::from([("in".to_owned(), own)]),
        Via::Reject,
    );
    let decision = policy.decide("in", &"h:1".parse().unwrap());
    let peer_down = PeerDown::Wait;
    assert_eq!(decision, Decision::Peers { via: vec![A], mode: Mode::Redundant, peer_down });
    assert_eq!(policy.decide("in", &"i:1".parse().unwrap()), Decision::Reject);
}

#[test]
fn a_service_matches_no_rule() {
    let policy = Policy::new(
        vec![rule(&[], &[], &[], Via::Peers(vec![A]), None)],
        HashMap::new(),
        Via::Reject,
    );
    assert_eq!(policy.decide("in", &Target::service("echo")), Decision::Reject);
}

#[test]
fn peer_down_is_taken_from_the_rule_then_the_ingress_then_the_policy() {
    use PeerDown::{Direct, Reject, Wait};
    let decide = |rule_says, ingress_says, policy_says| {
        let mut rule = rule(&["h"], &[], &[], Via::Peers(vec![A]), None);
        rule.peer_down = rule_says;
        let own = IngressDefault { peer_down: ingress_says, ..IngressDefault::default() };
        let policy = Policy::new(vec![rule], HashMap::from([("in".to_owned(), own)]), Via::Reject);
        let policy = policy.with_peer_down(policy_says);
        match policy.decide("in", &"h:1".parse().unwrap()) {
            Decision::Peers { peer_down, .. } => peer_down,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(decide(None, None, Wait), Wait);
    assert_eq!(decide(None, None, Reject), Reject);
    assert_eq!(decide(None, Some(Direct), Reject), Direct);
    assert_eq!(decide(Some(Wait), Some(Direct), Reject), Wait);
}

#[test]
fn a_name_that_an_address_has_decides_where_no_rule_before_it_does_by_the_address() {
    let peers = |id| Via::Peers(vec![id]);
    let policy = Policy::new(
        vec![
            rule(&["10.0.0.0/8"], &["443"], &[], peers(A), None),
            rule(&["*.corp.example", "192.0.2.0/24"], &["443"], &[], peers(B), None),
            rule(&["ads.example"], &[], &["all"], Via::Reject, None),
        ],
        HashMap::new(),
        Via::Direct,
    );
    let target = |text: &str| text.parse::<Target>().unwrap();
    for (to, ingress, depends) in [
        ("10.1.2.3:443", "all", false),
        ("192.0.2.1:443", "all", false),
        ("203.0.113.1:443", "all", true),
        ("203.0.113.1:443", "other", true),
        ("203.0.113.1:80", "all", true),
        ("203.0.113.1:80", "other", false),
    ] {
        assert_eq!(policy.depends_on_name(ingress, &target(to)), depends, "{to} {ingress}");
    }
    let by = |to: &str, name| policy.decide_named("all", &target(to), name);
    let via = |decision: Decision| match decision {
        Decision::Peers { via, .. } => via,
        other => panic!("{other:?}"),
    };
    assert_eq!(via(by("10.1.2.3:443", Some("git.corp.example"))), [A]);
    assert_eq!(via(by("203.0.113.1:443", Some("git.corp.example"))), [B]);
    assert_eq!(by("203.0.113.1:80", Some("ADS.example.")), Decision::Reject);
    assert_eq!(by("203.0.113.1:80", Some("git.corp.example")), Decision::Direct);
    assert_eq!(by("203.0.113.1:443", None), Decision::Direct);
}
