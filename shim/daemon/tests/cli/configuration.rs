//! What a configuration says, and what is wrong with one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::program::*;

#[test]
fn a_configuration_with_a_password_that_every_user_can_read_is_refused() {
    let site = Site::new();
    site.keygen();
    let ingress = "[ingress.s]\nkind = 'socks5'\nlisten = '127.0.0.1:0'\nusername = 'u'\n";
    let config = site.config(&format!("{ingress}password = 'secret'\n"));
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, stderr) = outcome(&["check", &config], 2);
    assert!(stderr.contains("holds a password") && stderr.contains("chmod"), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
    outcome(&["check", &config], 0);
}

#[test]
fn a_peer_with_our_own_key_is_reported_with_its_line() {
    let site = Site::new();
    let key = site.keygen();
    let config = site.config(&format!("[peers.mirror]\nkey = \"{key}\"\n"));
    for arguments in [&["check", &config][..], &["run", "-c", &config]] {
        let (_, stderr) = outcome(arguments, 2);
        assert!(
            stderr.contains("t.toml:4:7: The peer `mirror` has this host's own key"),
            "{stderr}"
        );
        assert!(stderr.contains(&format!("4 | key = \"{key}\"")), "{stderr}");
    }
}

#[test]
fn check_says_what_it_found() {
    let site = Site::new();
    let key = site.keygen();
    let config = site.config(&format!(
        "listen = '[::]:5443'
         manage-routes = true
         [peers.branch1]
         key = '{}'
         allow = ['10.0.0.0/8:22', '127.0.0.1/32:22', '[::1]:22']
         [ingress.socks]
         kind = 'socks5'
         listen = '127.0.0.1:1080'
         via = 'branch1'
         peer-down = 'reject'
         [ingress.any]
         kind = 'socks5'
         listen = '127.0.0.1:1081'",
        throughline::PeerId::from_bytes([1; 32])
    ));
    let (stdout, _) = outcome(&["check", &config], 0);
    let expected = format!(
        "identity {key}
listens for peers on udp [::]:5443
uplinks are discovered; now: UPLINKS
manages rules and routes for the uplinks (needs CAP_NET_ADMIN)
peer branch1: dials us; may reach 10.0.0.0/8:22, 127.0.0.1:22, [::1]:22 through us
ingress socks: socks5 on tcp 127.0.0.1:1080 via branch1; while no peer is reachable: reject
ingress any: socks5 on tcp 127.0.0.1:1081, rules decide
the configuration is valid
"
    );
    let (bounds, rest): (Vec<_>, Vec<_>) =
        stdout.lines().partition(|line| line.contains("descriptors"));
    // Which there are is this machine's business.
    let without_uplinks = |line: &str| match line.split_once("; now: ") {
        Some((before, _)) => format!("{before}; now: UPLINKS\n"),
        None => format!("{line}\n"),
    };
    assert_eq!(rest.into_iter().map(without_uplinks).collect::<String>(), expected);
    let numbers = bounds[0].split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<usize>>();
    let [limit, for_connections] = numbers[..] else { panic!("{bounds:?}") };
    assert!(for_connections >= limit.min(1 << 20) / 2 && for_connections < limit, "{bounds:?}");
}

#[test]
fn check_says_what_each_uplink_is_now_and_takes_its_file_either_way() {
    let site = Site::new();
    site.keygen();
    let config = site.config(
        "[uplinks.isp-a]\nprefixes = '127.0.0.77'\n[uplinks.isp-b]\ninterface = 'no-such-link'",
    );
    for arguments in [&["check", &config][..], &["check", "-c", &config]] {
        let (stdout, _) = outcome(arguments, 0);
        assert!(stdout.contains("uplink isp-a: 127.0.0.77; now: 127.0.0.77\n"), "{stdout}");
        let missing = "uplink isp-b: interface no-such-link; now: no address\n  note: There is no interface no-such-link; there are";
        assert!(stdout.contains(missing), "{stdout}");
    }
    outcome(&["check"], 2);
    outcome(&["check", &config, "-c", &config], 2);
}

#[test]
fn check_says_what_is_intercepted_and_what_is_left_to_the_kernel() {
    let site = Site::new();
    site.keygen();
    let config = site.config(&format!(
        "[peers.branch1]
         key = '{}'
         [ingress.all]
         kind = 'intercept'
         users = ['alice', 1001]
         interfaces = 'lan0'
         to = '10.0.0.0/8'
         ports = [443, '8000-8080']
         except = '10.9.0.0/16'
         via = 'branch1'
         [[rule]]
         to = ['10.1.2.3/16', 'a.example']
         ports = 443
         via = 'direct'",
        throughline::PeerId::from_bytes([1; 32])
    ));
    let (stdout, _) = outcome(&["check", &config], 0);
    let expected = "ingress all: intercepts tcp of programs of alice, programs of user 1001, hosts behind lan0 \
                    to 10.0.0.0/8 at port 443, 8000-8080 except to 10.9.0.0/16 via branch1\n  \
                    left to the kernel, as direct: 10.1.0.0/16 at 443\n  \
                    by the nftables table inet throughline-";
    assert!(stdout.contains(expected), "{stdout}");
    for (target, expected) in [
        ("10.2.0.1:443", "through branch1, by the ingress's `via`"),
        (
            "10.1.0.1:443",
            "left to the kernel, as direct, by rule 1 (to 10.1.2.3/16 or a.example, ports 443)",
        ),
        ("10.1.0.1:8080", "through branch1, by the ingress's `via`"),
        ("10.9.0.1:443", "not intercepted, as the ingress does not select it"),
        ("10.2.0.1:22", "not intercepted, as the ingress does not select it"),
        ("a.example:443", "directly from this host, by rule 1"),
    ] {
        let (stdout, _) = outcome(&["explain", target, "-c", &config], 0);
        assert!(stdout.starts_with(&format!("{target}, entering at all: {expected}")), "{stdout}");
    }
}

#[test]
fn explain_says_where_a_connection_goes_and_why() {
    let site = Site::new();
    site.keygen();
    let config = site.config(&format!(
        "[peers.branch1]
         key = '{}'
         [ingress.socks]
         kind = 'socks5'
         listen = '127.0.0.1:0'
         [ingress.db]
         kind = 'forward'
         listen = '127.0.0.1:0'
         to = 'db:5432'
         via = 'branch1'
         [[rule]]
         to = ['10.0.0.0/8', '*.internal']
         ports = 22
         via = 'branch1'
         mode = 'redundant'
         [[rule]]
         to = '192.168.0.0/16'
         via = 'direct'",
        throughline::PeerId::from_bytes([1; 32])
    ));
    for (target, ingress, expected) in [
        (
            "h.internal:22",
            "socks",
            "h.internal:22, entering at socks: through branch1, by rule 1 (to 10.0.0.0/8 or *.internal, \
             ports 22); mode redundant; while no peer is reachable: wait\n  branch1: not known, as no \
             daemon answers\n",
        ),
        (
            "192.168.1.1:80",
            "socks",
            "192.168.1.1:80, entering at socks: directly from this host, by rule 2 (to 192.168.0.0/16)\n",
        ),
        (
            "10.0.0.1:80",
            "socks",
            "10.0.0.1:80, entering at socks: rejected, by `default`, as no rule matches\n",
        ),
        (
            "db:5432",
            "db",
            "db:5432, entering at db: through branch1, by the ingress's `via`; mode auto; while no peer is \
             reachable: wait\n  branch1: not known, as no daemon answers\n",
        ),
    ] {
        let (stdout, _) = outcome(&["explain", target, "--ingress", ingress, "-c", &config], 0);
        assert_eq!(stdout, expected);
    }
    let (both, _) = outcome(&["explain", "h.internal:22", "-c", &config], 0);
    assert_eq!(both.lines().filter(|line| line.contains("entering at")).count(), 2, "{both}");
    let (_, stderr) = outcome(&["explain", "h:1", "--ingress", "x", "-c", &config], 2);
    assert!(stderr.contains("There is no ingress `x`; there are socks, db"), "{stderr}");
    let (_, stderr) = outcome(&["explain", "2001:db8::5:22", "-c", &config], 2);
    assert!(stderr.contains("in brackets"), "{stderr}");
}

#[test]
fn an_unknown_field_is_reported_with_the_nearest_name() {
    let site = Site::new();
    let config = site.config("[peers.b]\nlocater = 'h:1'");
    for arguments in [&["check", &config][..], &["run", "-c", &config], &["status", "-c", &config]]
    {
        let (_, stderr) = outcome(arguments, 2);
        let expected = format!(
            "error: {config}:4:1: There is no field `locater` here; did you mean `locators`?"
        );
        assert!(stderr.starts_with(&expected), "{stderr}");
    }
}
