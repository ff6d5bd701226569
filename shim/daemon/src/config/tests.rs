mod invalid;
mod invalid_money;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::proxy::rules::{Decision, PeerDown};
use throughline::{AddressClass, Mode};

const A: PeerId = PeerId::from_bytes([1; 32]);
const B: PeerId = PeerId::from_bytes([3; 32]);

/// Parses `text`, with the keys of [`A`] and [`B`] for `KEY-A` and `KEY-B`.
fn parse(text: &str) -> Result<Config, ConfigError> {
    let text = text.replace("KEY-A", &A.to_string()).replace("KEY-B", &B.to_string());
    Config::parse("/etc/throughline/t.toml", &text)
}

const COMPLETE: &str = r#"
identity = "identity.key"
listen   = ["[::]:5443", "127.0.0.1:0"]
default  = "direct"
linger   = "12h"
memory   = "256MiB"
limits   = { flows = 30000, sessions = 3, lanes = 8, dials = 20 }
admin    = "/run/t.sock"
web      = "[::]:9481"
web-token-file = "web.token"
manage-routes = true

[uplinks.isp-b]
prefixes = ["2001:db8:b::/48", "192.0.2.7"]
class = "pi"
[uplinks.isp-a]
interface = "wwan0"
metered = true
budget = "20GB"
reset-day = 31
at-budget = "thin"
[uplinks.sat]
interface = "sat0"
overflow = true
budget = "500MB"

[peers.zulu]
key = "KEY-A"
locators = ["branch1.example:5443", "[2001:db8:b::5]:5443"]
allow = ["10.20.0.0/16:22", "localhost:5432"]
[peers.alpha]
key = "KEY-B"

[ingress.socks]
kind = "socks5"
listen = "0.0.0.0:1080"
username = "u"
password = "p"
[ingress.db]
kind = "forward"
listen = "127.0.0.1:5432"
to = "db.internal:5432"
via = "alpha"
mode = "single"

[[rule]]
to = ["10.20.0.0/16", "*.corp.example"]
ports = [22, "5432-5433"]
via = ["zulu", "alpha"]
mode = "bond"
[[rule]]
to = "192.0.2.1"
ingress = "socks"
via = "reject"
[[rule]]
to = "192.0.2.2"
via = "zulu"
bulk = "bond"
[[rule]]
to = "192.0.2.3"
via = "zulu"
mode = "auto"
bulk = "best"
"#;

#[test]
fn a_complete_configuration_is_typed_and_keeps_the_order_of_the_file() {
    let config = parse(COMPLETE).unwrap();
    let IdentitySource::File(identity) = &config.identity else { panic!("not a file") };
    assert_eq!(identity, Path::new("/etc/throughline/identity.key"));
    assert_eq!(config.listen, ["[::]:5443".parse().unwrap(), "127.0.0.1:0".parse().unwrap()]);
    assert_eq!(config.limits.linger, Duration::from_secs(12 * 3600));
    assert_eq!(config.limits.memory, 256 << 20);
    let limits = &config.limits;
    let node = (limits.flows_per_session, limits.sessions_per_peer, limits.lanes_per_session);
    assert_eq!(node, (30_000, 3, 8));
    let connections = config.connections;
    assert_eq!((connections.per_ingress, connections.dials_of_peer), (60_000, 20));
    assert_eq!(config.admin, Admin::At("/run/t.sock".into()));
    let web = config.web.as_ref().unwrap();
    assert_eq!(web.listen, "[::]:9481".parse().unwrap());
    assert_eq!(web.token_file.as_deref(), Some(Path::new("/etc/throughline/web.token")));

    assert!(config.manage_routes);
    let uplinks: Vec<_> = config.uplinks.iter().map(|u| (u.name.as_str(), u.class)).collect();
    assert_eq!(
        uplinks,
        [
            ("isp-b", AddressClass::ProviderIndependent),
            ("isp-a", AddressClass::ProviderAssigned),
            ("sat", AddressClass::ProviderAssigned)
        ]
    );
    let overflows = config.uplinks.iter().map(|uplink| uplink.overflow);
    assert_eq!(overflows.collect::<Vec<_>>(), [None, None, Some(Duration::from_secs(3))]);
    let budgets: Vec<_> =
        config.budgets.iter().map(|(name, budget)| format!("{name}: {budget}")).collect();
    assert_eq!(
        budgets,
        ["isp-a: 20GB a month from day 31, then thin", "sat: 500MB a month from day 1, then stop"]
    );
    assert_eq!(config.uplinks[0].prefixes[1], "192.0.2.7/32".parse().unwrap());
    assert!(config.uplinks[1].metered);

    let peers: Vec<_> =
        config.peers.iter().map(|p| (p.config.name.as_str(), p.config.id)).collect();
    assert_eq!(peers, [("zulu", A), ("alpha", B)]);
    assert_eq!(config.peers[0].config.locators.len(), 2);
    assert_eq!(config.peers[0].acl.entries().len(), 2);
    assert!(config.peers[1].acl.entries().is_empty());

    let ingresses: Vec<_> = config.ingresses.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(ingresses, ["socks", "db"]);
    let IngressKind::Socks5(Some(_)) = &config.ingresses[0].kind else { panic!("no password") };
    assert_eq!(config.ingresses[1].kind, IngressKind::Forward("db.internal:5432".parse().unwrap()));
}

#[test]
fn rules_take_precedence_over_the_ingress_and_the_ingress_over_the_default() {
    let config = parse(COMPLETE).unwrap();
    let decide = |ingress, target: &str| config.policy.decide(ingress, &target.parse().unwrap());
    let peers = |via: &[PeerId], mode| Decision::Peers {
        via: via.to_vec(),
        mode,
        peer_down: PeerDown::Wait,
    };
    assert_eq!(decide("socks", "10.20.1.1:5433"), peers(&[A, B], Mode::Bond));
    assert_eq!(decide("socks", "git.corp.example:22"), peers(&[A, B], Mode::Bond));
    assert_eq!(decide("socks", "192.0.2.1:80"), Decision::Reject);
    assert_eq!(decide("socks", "203.0.113.1:80"), Decision::Direct);
    assert_eq!(decide("db", "db.internal:5432"), peers(&[B], Mode::Single));
    assert_eq!(decide("socks", "192.0.2.2:80"), peers(&[A], Mode::AutoBond));
    assert_eq!(decide("db", "192.0.2.3:80"), peers(&[A], Mode::Auto));
}

#[test]
fn only_the_identity_is_required() {
    let config = parse("identity = '/k'").unwrap();
    assert!(config.listen.is_empty() && config.peers.is_empty());
    assert_eq!(config.admin, Admin::Default);
    let nothing = config.policy.decide("x", &"h:1".parse().unwrap());
    assert_eq!(nothing, Decision::Reject);
}

#[test]
fn a_daemon_may_have_no_admin_socket() {
    assert_eq!(parse("identity = '/k'\nadmin = false").unwrap().admin, Admin::Off);
}

#[test]
fn an_error_shows_the_position_and_a_hint() {
    let error = parse("identity = \"k\"\n[peers.b]\nlocater = [\"h:1\"]\n").err().unwrap();
    let expected = "\
/etc/throughline/t.toml:3:1: There is no field `locater` here; did you mean `locators`?
  |
3 | locater = [\"h:1\"]
  | ^^^^^^^";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_missing_identity_and_an_unreadable_file_are_errors() {
    let error = parse("").err().unwrap().to_string();
    assert_eq!(
        error,
        "/etc/throughline/t.toml: There is no `identity`; create one with `throughline keygen FILE` \
         and write identity = \"FILE\"."
    );
    let error = Config::load("/nonexistent/t.toml").err().unwrap().to_string();
    assert_eq!(
        error,
        "/nonexistent/t.toml: The configuration file cannot be read: No such file or directory \
         (os error 2); check the path (docs/CONFIG.md describes the file)."
    );
}

#[test]
fn invalid_toml_is_an_error_with_its_position() {
    let error = parse("identity = 'k'\nlisten = [\n").err().unwrap();
    assert!(error.message().starts_with("This is not valid: "), "{error}");
    assert!(error.position().is_some());
}

#[test]
fn peer_down_can_be_set_at_the_top_level_for_an_ingress_and_for_a_rule() {
    let text = format!(
        "identity = 'k'
         peer-down = 'reject'
         [peers.a]
         key = '{A}'
         [ingress.one]
         kind = 'socks5'
         listen = '127.0.0.1:0'
         via = 'a'
         [ingress.two]
         kind = 'socks5'
         listen = '127.0.0.1:0'
         via = 'a'
         peer-down = 'direct'
         [[rule]]
         to = 'patient'
         via = 'a'
         peer-down = 'wait'"
    );
    let config = parse(&text).unwrap();
    let peer_down =
        |ingress, target: &str| match config.policy.decide(ingress, &target.parse().unwrap()) {
            Decision::Peers { peer_down, .. } => peer_down,
            other => panic!("{other:?}"),
        };
    assert_eq!(peer_down("one", "h:1"), PeerDown::Reject);
    assert_eq!(peer_down("two", "h:1"), PeerDown::Direct);
    assert_eq!(peer_down("two", "patient:1"), PeerDown::Wait);
}

#[test]
fn a_status_page_that_others_reach_needs_a_token_and_an_address_of_its_own() {
    for (text, at, says) in [
        ("web = '0.0.0.0:9481'", (2, 7), "add `web-token-file`, or listen on 127.0.0.1"),
        ("web = '192.0.2.1:9481'", (2, 7), "Others can connect to 192.0.2.1:9481"),
        (
            "metrics = '127.0.0.1:1'\nweb = '127.0.0.1:1'",
            (3, 7),
            "`metrics` has 127.0.0.1:1 already",
        ),
        ("web-token-file = 'token'", (2, 18), "write web = \"127.0.0.1:9481\" as well"),
    ] {
        let error = parse(&format!("identity = 'i'\n{text}")).err().expect(text);
        assert_eq!(error.position(), Some(at), "{text}");
        assert!(error.message().contains(says), "{error}");
    }
    for text in ["web = '[::1]:9481'", "web = '127.0.0.1:0'\nmetrics = '127.0.0.1:0'"] {
        assert!(parse(&format!("identity = 'i'\n{text}")).is_ok(), "{text}");
    }
}
