//! Two configurations and what lies between them, as tables.

use super::*;

const A: PeerId = PeerId::from_bytes([1; 32]);
const B: PeerId = PeerId::from_bytes([3; 32]);
const OURS: PeerId = PeerId::from_bytes([4; 32]);

fn config(text: &str) -> Config {
    let text = text.replace("KEY-A", &A.to_string()).replace("KEY-B", &B.to_string());
    Config::parse("t.toml", &format!("identity = 'i'\n{text}")).unwrap()
}

fn between(old: &str, new: &str) -> Result<Transition, NotChangeable> {
    let (old, new) = (config(old), config(new));
    Transition::between(Resolved { config: &old, key: OURS }, Resolved { config: &new, key: OURS })
}

fn changes(old: &str, new: &str) -> String {
    let plan = between(old, new).unwrap();
    let texts: Vec<_> = plan.changes.iter().map(ToString::to_string).collect();
    texts.join("\n").replace(&A.to_string(), "KEY-A").replace(&B.to_string(), "KEY-B")
}

/// Old, new, and what changes, a line each.
const CHANGES: &[(&str, &str, &str)] = &[
    ("", "", ""),
    ("linger = '12h'", "", ""),
    ("linger = '1h'", "", "`linger` is 12h instead of 1h, for sessions to come"),
    ("", "memory = '64MiB'", "`memory` is 64MiB instead of 256MiB"),
    (
        "",
        "limits = { flows = 100, connections = 7, dials = 3, sessions = 9, lanes = 32 }",
        "`flows` is 100 instead of 16384, for sessions to come\n\
         `sessions` is 9 instead of 4\n`lanes` is 32 instead of 16\n\
         `connections` is 7 instead of 32768\n`dials` is 3 instead of 512",
    ),
    (
        "tcp-keepalive = 'off'",
        "tcp-user-timeout = '30s'",
        "`tcp-keepalive` is 2m instead of off, for connections to come\n\
         `tcp-user-timeout` is 30s instead of off, for connections to come",
    ),
    ("", "log = 'debug'", "`log` is debug instead of the default"),
    ("", "on-event = ['/a', 'b']", "`on-event` is /a b instead of off"),
    ("", "web = '127.0.0.1:9481'", "`web` is 127.0.0.1:9481 instead of off"),
    (
        "web = '127.0.0.1:9481'\nweb-token-file = '/t'",
        "web = '127.0.0.1:9482'",
        "`web` is 127.0.0.1:9482 instead of 127.0.0.1:9481\n`web-token-file` is off instead of /t",
    ),
    ("", "existing-flows = 'keep'", "`existing-flows` is keep instead of end"),
    ("", "manage-routes = true", "`manage-routes` is true instead of false"),
    ("", "default = 'direct'", "the rules changed, for connections to come"),
    ("", "peer-down = 'reject'", "the rules changed, for connections to come"),
    (
        "listen = ['[::]:1', '[::]:2']",
        "listen = ['[::]:2', '[::]:3']",
        "peers may no longer dial us at [::]:1; the lanes there go on\npeers may dial us at [::]:3",
    ),
    (
        "[uplinks.a]\ninterface = 'a'\n[uplinks.b]\ninterface = 'b'",
        "[uplinks.b]\ninterface = 'b'\nbudget = '1GB'\n[uplinks.c]\ninterface = 'c'",
        "uplink a removed; its lanes drain\nuplink b changed\nuplink c added",
    ),
    (
        "[uplinks.a]\ninterface = 'a'\n[uplinks.b]\ninterface = 'b'",
        "[uplinks.b]\ninterface = 'b'\n[uplinks.a]\ninterface = 'a'",
        "the order of the uplinks changed",
    ),
    (
        "[peers.a]\nkey = 'KEY-A'",
        "[peers.b]\nkey = 'KEY-B'",
        "peer a removed; its sessions end\npeer b added",
    ),
    // The same name with another key is another host.
    (
        "[peers.a]\nkey = 'KEY-A'",
        "[peers.a]\nkey = 'KEY-B'",
        "peer a removed; its sessions end\npeer a added",
    ),
    ("[peers.a]\nkey = 'KEY-A'", "[peers.b]\nkey = 'KEY-A'", "peer a is called b"),
    (
        "[peers.a]\nkey = 'KEY-A'",
        "[peers.a]\nkey = 'KEY-A'\nkeys = 'KEY-B'",
        "peer a may show the key KEY-B",
    ),
    (
        "[peers.a]\nkey = 'KEY-A'\nkeys = ['KEY-B']",
        "[peers.a]\nkey = 'KEY-B'",
        "peer a may no longer show the key KEY-A; lanes with it end\n\
         peer a is known by the key KEY-B; lanes with another are dialed anew",
    ),
    (
        "[peers.a]\nkey = 'KEY-A'\nlocators = ['x:1']",
        "[peers.a]\nkey = 'KEY-A'\nlocators = ['x:1', '192.0.2.1:2']",
        "peer a is dialed at x:1, 192.0.2.1:2",
    ),
    (
        "[peers.a]\nkey = 'KEY-A'\nlocators = ['x:1']",
        "[peers.a]\nkey = 'KEY-A'",
        "peer a has no locators; it has to dial this host",
    ),
    (
        "[peers.a]\nkey = 'KEY-A'\nallow = ['10.0.0.0/8:22', 'localhost:80']",
        "[peers.a]\nkey = 'KEY-A'\nallow = ['localhost:80', '10.1.0.0/16:22']",
        "peer a may reach 10.1.0.0/16:22, and no longer reach 10.0.0.0/8:22",
    ),
    (
        "[peers.a]\nkey = 'KEY-A'\nallow = 'localhost:80'",
        "[peers.a]\nkey = 'KEY-A'",
        "peer a may no longer reach localhost:80",
    ),
    (
        "[ingress.a]\nkind = 'socks5'\nlisten = '127.0.0.1:1'",
        "[ingress.b]\nkind = 'socks5'\nlisten = '127.0.0.1:1'\nusername = 'u'\npassword = 'p'",
        "ingress a is called b\ningress b changed, for connections to come\n\
         the rules changed, for connections to come",
    ),
    (
        "[ingress.a]\nkind = 'socks5'\nlisten = '127.0.0.1:1'",
        "[ingress.a]\nkind = 'socks5'\nlisten = '127.0.0.1:2'",
        "ingress a removed; its connections go on\ningress a added at 127.0.0.1:2",
    ),
    (
        "[ingress.a]\nkind = 'forward'\nlisten = '127.0.0.1:1'\nto = 'x:1'",
        "[ingress.a]\nkind = 'forward'\nlisten = '127.0.0.1:1'\nto = 'x:1'\nprotocol = 'udp'",
        "ingress a removed; its connections go on\ningress a added at 127.0.0.1:1",
    ),
    (
        "[ingress.a]\nkind = 'forward'\nlisten = '127.0.0.1:1'\nto = 'x:1'",
        "[ingress.a]\nkind = 'forward'\nlisten = '127.0.0.1:1'\nto = 'x:2'",
        "ingress a changed, for connections to come",
    ),
    (
        "[peers.a]\nkey = 'KEY-A'\n[[rule]]\nto = 'x.example'\nvia = 'a'",
        "[peers.a]\nkey = 'KEY-A'\n[[rule]]\nto = 'y.example'\nvia = 'a'",
        "the rules changed, for connections to come",
    ),
    // Rules that name a peer are the same rules when only its key or name is another.
    (
        "[peers.a]\nkey = 'KEY-A'\nkeys = 'KEY-B'\n[[rule]]\nvia = 'a'",
        "[peers.b]\nkey = 'KEY-B'\nkeys = 'KEY-A'\n[[rule]]\nvia = 'b'",
        "peer a is called b\npeer b is known by the key KEY-B; lanes with another are dialed anew",
    ),
];

#[test]
fn every_difference_is_named_and_nothing_else() {
    for (old, new, expected) in CHANGES {
        assert_eq!(&changes(old, new), expected, "from\n{old}\nto\n{new}");
        assert_eq!(changes(new, new), "", "{new}");
    }
}

#[test]
fn another_key_of_this_host_is_a_change() {
    let config = config("");
    let [old, new] = [A, B].map(|key| Resolved { config: &config, key });
    let plan = Transition::between(old, new).unwrap();
    assert_eq!(plan.changes, [Change::OwnKey { from: A, to: B }]);
}

#[test]
fn what_cannot_change_is_refused_by_name_with_the_cure() {
    let refused = between("", "admin = '/run/other.sock'").unwrap_err();
    assert_eq!(refused, NotChangeable::Admin);
    let text = refused.to_string();
    assert!(text.contains("`admin`") && text.contains("restart"), "{text}");
    let refused = between("", "metrics = '127.0.0.1:9480'").unwrap_err();
    assert_eq!(refused, NotChangeable::Metrics);
    let text = refused.to_string();
    assert!(text.contains("`metrics`") && text.contains("restart"), "{text}");
}

#[test]
fn an_ingress_goes_on_at_its_address_whatever_it_is_called() {
    let ingress = |name: &str, port: u16| {
        format!("[ingress.{name}]\nkind = 'socks5'\nlisten = '127.0.0.1:{port}'\n")
    };
    let placed = |old: &[(&str, u16)], new: &[(&str, u16)]| {
        let text = |list: &[(&str, u16)]| -> String {
            list.iter().map(|(name, port)| ingress(name, *port)).collect()
        };
        between(&text(old), &text(new)).unwrap().ingresses
    };
    use Placement::{Bound, Kept};
    assert_eq!(placed(&[("a", 1), ("b", 2)], &[("a", 2), ("b", 1)]), [Kept(1), Kept(0)]);
    assert_eq!(placed(&[("a", 1)], &[("a", 3), ("b", 1)]), [Bound, Kept(0)]);
    assert_eq!(placed(&[("a", 0), ("b", 0)], &[("b", 0), ("c", 0)]), [Kept(1), Bound]);
}
