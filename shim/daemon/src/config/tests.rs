use std::time::Duration;

use super::*;
use crate::proxy::policy::{Decision, PeerDown};
use throughline_proto::types::{AddressClass, Mode, PeerId};

const A: PeerId = PeerId::from_bytes([1; 32]);
const B: PeerId = PeerId::from_bytes([3; 32]);

/// The keys of [`A`] and [`B`] where the text says `KEY-A` and `KEY-B`.
fn parse(text: &str) -> Result<Config, ConfigError> {
    let text = text.replace("KEY-A", &A.to_string()).replace("KEY-B", &B.to_string());
    Config::parse("/etc/throughline/t.toml", &text)
}

const WHOLE: &str = r#"
identity = "identity.key"
listen   = ["[::]:5443", "127.0.0.1:0"]
default  = "direct"
linger   = "12h"
memory   = "256MiB"
admin    = "/run/t.sock"
manage-routes = true

[uplinks.isp-b]
prefixes = ["2001:db8:b::/48", "192.0.2.7"]
class = "pi"
[uplinks.isp-a]
interface = "wwan0"
metered = true

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
"#;

#[test]
fn a_whole_configuration_becomes_real_types_in_the_order_of_the_file() {
    let config = parse(WHOLE).unwrap();
    let IdentitySource::File(identity) = &config.identity else { panic!("not a file") };
    assert_eq!(identity, Path::new("/etc/throughline/identity.key"));
    assert_eq!(config.listen, ["[::]:5443".parse().unwrap(), "127.0.0.1:0".parse().unwrap()]);
    assert_eq!(config.limits.linger, Duration::from_secs(12 * 3600));
    assert_eq!(config.limits.memory, 256 << 20);
    assert_eq!(config.admin, Admin::At("/run/t.sock".into()));

    assert!(config.manage_routes);
    let uplinks: Vec<_> = config.uplinks.iter().map(|u| (u.name.as_str(), u.class)).collect();
    assert_eq!(
        uplinks,
        [("isp-b", AddressClass::ProviderIndependent), ("isp-a", AddressClass::ProviderAssigned)]
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
fn rules_then_the_ingress_then_the_default_decide() {
    let config = parse(WHOLE).unwrap();
    let decide = |ingress, target: &str| config.policy.decide(ingress, &target.parse().unwrap());
    let peers =
        |via: &[PeerId], mode| Decision::Peers { via: via.to_vec(), mode, down: PeerDown::Wait };
    assert_eq!(decide("socks", "10.20.1.1:5433"), peers(&[A, B], Mode::Bond));
    assert_eq!(decide("socks", "git.corp.example:22"), peers(&[A, B], Mode::Bond));
    assert_eq!(decide("socks", "192.0.2.1:80"), Decision::Reject);
    assert_eq!(decide("socks", "203.0.113.1:80"), Decision::Direct);
    assert_eq!(decide("db", "db.internal:5432"), peers(&[B], Mode::Single));
}

#[test]
fn little_is_needed() {
    let config = parse("identity = '/k'").unwrap();
    assert!(config.listen.is_empty() && config.peers.is_empty());
    assert_eq!(config.admin, Admin::Default);
    let nothing = config.policy.decide("x", &"h:1".parse().unwrap());
    assert_eq!(nothing, Decision::Reject);
}

#[test]
fn an_error_shows_the_place_and_the_cure() {
    let error = parse("identity = \"k\"\n[peers.b]\nlocater = [\"h:1\"]\n").err().unwrap();
    let expected = "\
/etc/throughline/t.toml:3:1: There is no field `locater` here; did you mean `locators`?
  |
3 | locater = [\"h:1\"]
  | ^^^^^^^";
    assert_eq!(error.to_string(), expected);
}

/// (text after `identity`, line, column, message)
const WRONG: &[(&str, usize, usize, &str)] = &[
    ("lisen = 'x'", 2, 1, "There is no field `lisen` here; did you mean `listen`?"),
    (
        "peer-down = 'drop'",
        2,
        13,
        "`drop` is nothing to do while peers are down; use wait, direct or reject.",
    ),
    (
        "[[rule]]\nvia = 'direct'\npeer-down = 'wait'",
        4,
        13,
        "`peer-down` is for flows that go through peers, and this rule names none in `via`; remove it.",
    ),
    ("identity = 'again'", 2, 1, "This cannot be read: duplicate key."),
    (
        "listen = '127.0.0.1'",
        2,
        10,
        "`127.0.0.1` is no address to listen on; write an IP address and a port, like 127.0.0.1:1080 or [::]:5443.",
    ),
    ("listen = ['[::]:1', '[::]:1']", 2, 21, "[::]:1 is listed twice; remove one."),
    (
        "listen = true",
        2,
        10,
        "This cannot be read: invalid type: boolean `true`, expected a string or a list of strings.",
    ),
    (
        "default = 'branch'",
        2,
        11,
        "`branch` is no default; write \"direct\" or \"reject\". To go through a peer, write a [[rule]] without `to`.",
    ),
    (
        "linger = 'soon'",
        2,
        10,
        "`soon` is no duration (expected number at 0); write 90s, 30m or 12h.",
    ),
    ("memory = 'lots'", 2, 10, "`lots` is no amount of memory; write 256MiB."),
    ("memory = '1kB'", 2, 10, "`1kB` is too little; write at least 1MiB."),
    (
        "[uplinks.a]",
        2,
        10,
        "The uplink `a` has neither `prefixes` nor `interface`; write one, so that its addresses can be told.",
    ),
    (
        "[uplinks.a]\nprefixes = '10.0.0.0/33'",
        3,
        12,
        "`10.0.0.0/33` is no prefix; write one like 192.0.2.0/28 or 2001:db8:a::/48.",
    ),
    (
        "[uplinks.a]\nprefixes = '10.0.0.0/8'\n[uplinks.b]\nprefixes = '10.0.0.0/8'",
        5,
        12,
        "10.0.0.0/8 belongs to the uplink `a` already; give each uplink prefixes of its own.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nclass = 'pq'",
        4,
        9,
        "`pq` is no class; write \"pa\" (the provider's addresses) or \"pi\" (your own).",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\n[uplinks.b]\ninterface = 'e'",
        5,
        13,
        "The interface e belongs to the uplink `a` already; tell the two apart by `prefixes`.",
    ),
    (
        "manage-routes = 'yes'",
        2,
        17,
        "This cannot be read: invalid type: string \"yes\", expected a boolean.",
    ),
    ("[peers.b]", 2, 8, "The peer `b` has no `key`; print it with `throughline id FILE` there."),
    (
        "[peers.b]\nkey = 'xyz'",
        3,
        7,
        "A public key begins with `tlk1`; print one with `throughline id FILE`.",
    ),
    (
        "[peers.b]\nkey = 'tlk1bv2ihfjrkhkx5mulx5jgeygygvwmjczhbcegl6zagqrnonzzj3zq'",
        3,
        7,
        "This is no public key, though it looks like one: a character of it is wrong; copy it again, whole.",
    ),
    (
        "[peers.direct]\nkey = 'KEY-A'",
        2,
        8,
        "A peer cannot be called `direct`, a word that `via` uses; rename it.",
    ),
    (
        "[peers.b]\nkey = 'KEY-A'\n[peers.a]\nkey = 'KEY-A'",
        5,
        7,
        "The peer `a` has the key of the peer `b`; each host has its own.",
    ),
    (
        "[peers.b]\nkey = 'KEY-A'\nlocators = ['h:1', 'h']",
        4,
        20,
        "`h` has no port; write HOST:PORT.",
    ),
    (
        "[peers.b]\nkey = 'KEY-A'\nallow = ['10.0.0.0/8']",
        4,
        10,
        "`10.0.0.0/8` names no ports; write HOST:PORTS, or HOST:* for every port.",
    ),
    (
        "[peers.b]\nkey = 'KEY-A'\nallow = '*:http'",
        4,
        9,
        "`http` names no ports; write a number from 1 to 65535, a range like 8000-8080, or *.",
    ),
    ("[ingress.s]", 2, 10, "The ingress `s` has no `kind`; write kind = \"socks5\"."),
    (
        "[ingress.s]\nkind = 'socks5'",
        2,
        10,
        "The ingress `s` has no `listen`; write listen = \"127.0.0.1:1080\".",
    ),
    (
        "[ingress.s]\nkind = 'http'\nlisten = '127.0.0.1:1'",
        3,
        8,
        "\"http\" is no kind of ingress; there are \"socks5\" and \"forward\".",
    ),
    (
        "[ingress.s]\nkind = 'socks'\nlisten = '127.0.0.1:1'",
        3,
        8,
        "\"socks\" is no kind of ingress; there are \"socks5\" and \"forward\". Did you mean \"socks5\"?",
    ),
    (
        "[ingress.s]\nkind = 'socks5'\nlisten = '0.0.0.0:1'",
        4,
        10,
        "0.0.0.0:1 is open to other hosts, without authentication; add `username` and `password`, or listen on 127.0.0.1.",
    ),
    (
        "[ingress.s]\nkind = 'forward'\nto = 'h:1'\nlisten = '[::]:1'",
        5,
        10,
        "[::]:1 is open to other hosts, without authentication; a forwarded port cannot ask who comes, so listen on 127.0.0.1.",
    ),
    (
        "[ingress.s]\nkind = 'forward'\nlisten = '127.0.0.1:1'",
        2,
        10,
        "The ingress `s` has no `to`; write to = \"db.internal:5432\".",
    ),
    (
        "[ingress.s]\nkind = 'socks5'\nlisten = '127.0.0.1:1'\nto = 'h:1'",
        5,
        6,
        "An ingress of kind \"socks5\" takes no `to`; remove it.",
    ),
    (
        "[ingress.s]\nkind = 'socks5'\nlisten = '127.0.0.1:1'\nusername = 'u'",
        5,
        12,
        "There is a `username` but no `password`; write both.",
    ),
    (
        "[ingress.s]\nkind = 'socks5'\nlisten = '127.0.0.1:1'\n[ingress.a]\nkind = 'socks5'\nlisten = '127.0.0.1:1'",
        7,
        10,
        "127.0.0.1:1 is where the ingress `s` listens already; take another port.",
    ),
    (
        "[ingress.s]\nkind = 'socks5'\nlisten = '127.0.0.1:1'\nvia = 'branch2'\n[peers.branch1]\nkey = 'KEY-A'",
        5,
        7,
        "There is no peer `branch2`; did you mean `branch1`?",
    ),
    (
        "[ingress.s]\nkind = 'socks5'\nlisten = '127.0.0.1:1'\nmode = 'fast'",
        5,
        8,
        "`fast` is not a mode; use auto, single, bond or redundant.",
    ),
    ("[[rule]]\nvia = 'x'", 3, 7, "There is no peer `x`, and there are none."),
    ("[[rule]]\nto = '*'", 2, 1, "This rule has no `via`; name peers, \"direct\" or \"reject\"."),
    (
        "[[rule]]\nvia = []",
        3,
        7,
        "`via` is empty; name at least one peer, \"direct\" or \"reject\".",
    ),
    (
        "[[rule]]\nvia = ['b', 'direct']\n[peers.b]\nkey = 'KEY-A'",
        3,
        13,
        "\"direct\" stands alone; write via = \"direct\".",
    ),
    (
        "[[rule]]\nvia = 'direct'\nto = '10.0.0.0/40'",
        4,
        6,
        "`10.0.0.0/40` is no destination; write a prefix (10.20.0.0/16), an address, a name or *.a.domain. Ports go into `ports`.",
    ),
    (
        "[[rule]]\nvia = 'direct'\nto = 'h:80'",
        4,
        6,
        "`h:80` is no destination; write a prefix (10.20.0.0/16), an address, a name or *.a.domain. Ports go into `ports`.",
    ),
    (
        "[[rule]]\nvia = 'direct'\nports = [0]",
        4,
        10,
        "`0` names no ports; write a number from 1 to 65535, a range like 8000-8080, or *.",
    ),
    (
        "[[rule]]\nvia = 'direct'\ningress = 'sock'\n[ingress.socks]\nkind = 'socks5'\nlisten = '127.0.0.1:1'",
        4,
        11,
        "There is no ingress `sock`; did you mean `socks`?",
    ),
];

#[test]
fn every_error_says_where_what_and_how_to_mend_it() {
    for (text, line, column, message) in WRONG {
        let error = match parse(&format!("identity = 'k'\n{text}\n")) {
            Ok(_) => panic!("accepted:\n{text}"),
            Err(error) => error,
        };
        assert_eq!(error.message(), *message, "{text}");
        assert_eq!(error.position(), Some((*line, *column)), "{text}");
    }
}

#[test]
fn a_missing_identity_and_an_unreadable_file_are_told() {
    let error = parse("").err().unwrap().to_string();
    assert_eq!(
        error,
        "/etc/throughline/t.toml: There is no `identity`; make one with `throughline keygen FILE` \
         and write identity = \"FILE\"."
    );
    let error = Config::load("/nonexistent/t.toml").err().unwrap().to_string();
    assert_eq!(
        error,
        "/nonexistent/t.toml: The configuration file cannot be read: No such file or directory \
         (os error 2); give the path of one (docs/CONFIG.md has all that may be in it)."
    );
}

#[test]
fn broken_toml_is_told_with_its_place() {
    let error = parse("identity = 'k'\nlisten = [\n").err().unwrap();
    assert!(error.message().starts_with("This cannot be read: "), "{error}");
    assert!(error.position().is_some());
}

#[test]
fn peer_down_is_read_for_the_whole_for_an_ingress_and_for_a_rule() {
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
    let down = |ingress, target: &str| match config.policy.decide(ingress, &target.parse().unwrap())
    {
        Decision::Peers { down, .. } => down,
        other => panic!("{other:?}"),
    };
    assert_eq!(down("one", "h:1"), PeerDown::Reject);
    assert_eq!(down("two", "h:1"), PeerDown::Direct);
    assert_eq!(down("two", "patient:1"), PeerDown::Wait);
}
