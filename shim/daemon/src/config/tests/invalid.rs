//! Every error of the configuration file: its position and its text.

use super::parse;

/// Invalid configurations: (text after `identity`, line, column, message).
const INVALID: &[(&str, usize, usize, &str)] = &[
    ("lisen = 'x'", 2, 1, "There is no field `lisen` here; did you mean `listen`?"),
    (
        "peer-down = 'drop'",
        2,
        13,
        "`drop` is not a `peer-down` action; write \"wait\", \"direct\" or \"reject\".",
    ),
    (
        "[[rule]]\nvia = 'direct'\npeer-down = 'wait'",
        4,
        13,
        "`peer-down` is for flows that go through peers, and this rule names none in `via`; remove it.",
    ),
    ("identity = 'again'", 2, 1, "This is not valid: duplicate key."),
    (
        "listen = '127.0.0.1'",
        2,
        10,
        "`127.0.0.1` is not an address to listen on; write an IP address and a port, like 127.0.0.1:1080 or [::]:5443.",
    ),
    ("listen = ['[::]:1', '[::]:1']", 2, 21, "[::]:1 is listed twice; remove one."),
    (
        "listen = true",
        2,
        10,
        "This is not valid: invalid type: boolean `true`, expected a string or a list of strings.",
    ),
    (
        "default = 'branch'",
        2,
        11,
        "`branch` is not a `default`; write \"direct\" or \"reject\". To go through a peer, write a [[rule]] without `to`.",
    ),
    (
        "linger = 'soon'",
        2,
        10,
        "`soon` is not a duration (expected number at 0); write one like 90s, 30m or 12h.",
    ),
    ("linger = '0s'", 2, 10, "`0s` is out of range; write a duration from 1s to 365d."),
    ("linger = '9000y'", 2, 10, "`9000y` is out of range; write a duration from 1s to 365d."),
    ("memory = 'lots'", 2, 10, "`lots` is not an amount of memory; write one like 256MiB."),
    ("memory = '1kB'", 2, 10, "`1kB` is too little memory; write at least 1MiB."),
    (
        "[uplinks.a]",
        2,
        10,
        "The uplink `a` has neither `prefixes` nor `interface`; write one of them, so that its addresses are known.",
    ),
    (
        "[uplinks.a]\nprefixes = '10.0.0.0/33'",
        3,
        12,
        "`10.0.0.0/33` is not a prefix; write one like 192.0.2.0/28 or 2001:db8:a::/48.",
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
        "`pq` is not a `class`; write \"pa\" (provider-assigned addresses) or \"pi\" (provider-independent addresses).",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\n[uplinks.b]\ninterface = 'e'",
        5,
        13,
        "The interface e belongs to the uplink `a` already; distinguish the two by `prefixes`.",
    ),
    (
        "manage-routes = 'yes'",
        2,
        17,
        "This is not valid: invalid type: string \"yes\", expected a boolean.",
    ),
    (
        "[peers.b]",
        2,
        8,
        "The peer `b` has no `key`; print it with `throughline id FILE` on that host.",
    ),
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
        "A peer cannot be named `direct`, which `via` gives a meaning; rename it.",
    ),
    (
        "[peers.b]\nkey = 'KEY-A'\n[peers.a]\nkey = 'KEY-A'",
        5,
        7,
        "The peer `a` has the same key as the peer `b`; each host has its own.",
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
        "`10.0.0.0/8` has no ports; write HOST:PORTS, or HOST:* for every port.",
    ),
    (
        "[peers.b]\nkey = 'KEY-A'\nallow = '*:http'",
        4,
        9,
        "`http` is not a port range; write a number from 1 to 65535, a range like 8000-8080, or *.",
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
        "\"http\" is not a kind of ingress; write \"socks5\" or \"forward\".",
    ),
    (
        "[ingress.s]\nkind = 'socks'\nlisten = '127.0.0.1:1'",
        3,
        8,
        "\"socks\" is not a kind of ingress; write \"socks5\" or \"forward\". Did you mean \"socks5\"?",
    ),
    (
        "[ingress.s]\nkind = 'socks5'\nlisten = '0.0.0.0:1'",
        4,
        10,
        "0.0.0.0:1 is open to other hosts without authentication; add `username` and `password`, or listen on 127.0.0.1.",
    ),
    (
        "[ingress.s]\nkind = 'forward'\nto = 'h:1'\nlisten = '[::]:1'",
        5,
        10,
        "[::]:1 is open to other hosts without authentication; a forwarded port cannot authenticate its clients, so listen on 127.0.0.1.",
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
        "An ingress of kind \"socks5\" has no `to`; remove it.",
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
        "The ingress `s` listens on 127.0.0.1:1 already; write another port.",
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
    ("[[rule]]\nvia = 'x'", 3, 7, "There is no peer `x`; none is configured."),
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
        "\"direct\" cannot be combined with others; write via = \"direct\".",
    ),
    (
        "[[rule]]\nvia = 'direct'\nto = '10.0.0.0/40'",
        4,
        6,
        "`10.0.0.0/40` is not a destination; write a prefix (10.20.0.0/16), an address, a name or *.a.domain. Ports go into `ports`.",
    ),
    (
        "[[rule]]\nvia = 'direct'\nto = 'h:80'",
        4,
        6,
        "`h:80` is not a destination; write a prefix (10.20.0.0/16), an address, a name or *.a.domain. Ports go into `ports`.",
    ),
    (
        "[[rule]]\nvia = 'direct'\nports = [0]",
        4,
        10,
        "`0` is not a port range; write a number from 1 to 65535, a range like 8000-8080, or *.",
    ),
    (
        "[[rule]]\nvia = 'direct'\ningress = 'sock'\n[ingress.socks]\nkind = 'socks5'\nlisten = '127.0.0.1:1'",
        4,
        11,
        "There is no ingress `sock`; did you mean `socks`?",
    ),
];

#[test]
fn every_error_has_its_position_and_says_what_is_wrong_and_how_to_correct_it() {
    for (text, line, column, message) in INVALID {
        let error = match parse(&format!("identity = 'k'\n{text}\n")) {
            Ok(_) => panic!("accepted:\n{text}"),
            Err(error) => error,
        };
        assert_eq!(error.message(), *message, "{text}");
        assert_eq!(error.position(), Some((*line, *column)), "{text}");
    }
}
