//! The kernel's rules, which are there while the daemon is, and are as before when it is not.

use std::process::{Command, Stdio};

use crate::programs::Ping;
use crate::site::{Site, Visitor, rules, seen_by, until, with_nft};
use crate::world::PROGRAM;

const HOST: &str = "203.0.113.1";
const DIRECT: &str = "192.0.2.5";

/// A table of somebody else's, which is to be as it was.
const ANOTHERS: &str = "table inet filter { chain input { type filter hook input priority 0; policy accept; \
                        tcp dport 22 accept; }; };";

fn nft(script: &str) {
    let status = Command::new("nft").arg(script).status().unwrap();
    assert!(status.success(), "{script}");
}

#[test]
fn rules_are_as_before_after_the_end_a_crash_and_a_hundred_reloads() {
    let name = "upkeep::rules_are_as_before_after_the_end_a_crash_and_a_hundred_reloads";
    with_nft(name, || {
        let site = Site::new();
        nft(ANOTHERS);
        let before = rules();
        let near = site.start("users = \"*\"", "");
        let during = rules();
        assert_ne!(during, before);
        near.stop();
        assert_eq!(rules(), before);

        let near = site.start("users = \"*\"", "");
        near.crash();
        assert_ne!(rules(), before, "whatever was intercepted still is");
        let near = site.start("users = \"*\"", "");
        assert_eq!(rules().matches("table inet throughline").count(), 1, "{}", rules());
        assert_eq!(seen_by(HOST, None, None), HOST);

        let first = rules();
        let mut open = Ping::connect(HOST);
        for round in 0..50 {
            let ports = format!("users = \"*\"\nports = [8080, {}]", 9000 + round);
            near.reload(&site.config(&ports, "")).unwrap();
            near.reload(&site.config("users = \"*\"", "")).unwrap();
            open.ping();
        }
        assert_eq!(rules(), first);
        // Without the ingress nobody is intercepted, and what is open goes on.
        let none = "[peers.far]\nkey = \"KEY\"\n".to_owned();
        let key = site.config("", "");
        let key = key.split("key = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        near.reload(&none.replace("KEY", &key)).unwrap();
        assert_eq!(seen_by(HOST, None, None), DIRECT);
        open.ping();
        near.stop();
        assert_eq!(rules(), before);

        // A crash's rules go at the next start also where nothing is to be intercepted any more.
        site.start("users = \"*\"", "").crash();
        let near = crate::world::Daemon::start(site.path(), "near", "", None);
        assert_eq!(rules(), before, "{}", near.log());
    });
}

#[test]
fn rules_that_somebody_flushes_or_changes_are_put_back() {
    let name = "upkeep::rules_that_somebody_flushes_or_changes_are_put_back";
    with_nft(name, || {
        let site = Site::new();
        let near = site.start("users = \"*\"", "");
        let during = rules();
        nft("flush ruleset");
        assert_eq!(seen_by(HOST, None, None), DIRECT);
        until("the rules are put back", || rules() == during);
        assert_eq!(seen_by(HOST, None, None), HOST);
        assert!(near.log().contains("somebody has removed the rules"), "{}", near.log());
        let table = during.split_whitespace().nth(2).unwrap().to_owned();
        nft(&format!("flush chain inet {table} output"));
        until("the rules are put back", || rules() == during);
        assert!(near.log().contains("somebody has changed the rules"), "{}", near.log());
    });
}

#[test]
fn a_successor_goes_on_with_what_is_intercepted() {
    let name = "upkeep::a_successor_goes_on_with_what_is_intercepted";
    with_nft(name, || {
        let site = Site::new();
        let before = rules();
        let former = site.start("users = \"*\"", "");
        let during = rules();
        let mut open = Ping::connect(HOST);
        open.ping();
        let near = former.successor();
        open.ping();
        assert!(former.wait_for_success());
        open.ping();
        // The same port, so that nothing has changed.
        assert_eq!(rules(), during);
        assert_eq!(seen_by(HOST, None, None), HOST, "{}", near.log());
        open.ping();
        near.stop();
        assert_eq!(rules(), before);
    });
}

#[test]
fn while_daemons_succeed_one_another_every_connection_is_intercepted_and_none_refused() {
    let name = "upkeep::while_daemons_succeed_one_another_every_connection_is_intercepted_and_none_refused";
    with_nft(name, || {
        let site = Site::new();
        let mut near = site.start("users = \"*\"", "");
        let visitor = Visitor::begin(HOST);
        for _ in 0..3 {
            visitor.makes_more(20);
            let next = near.successor();
            assert!(near.wait_for_success());
            near = next;
        }
        visitor.makes_more(20);
        visitor.finish();
    });
}

#[test]
fn a_reload_begins_an_interception_and_leaves_what_was_open_before_alone() {
    let name = "upkeep::a_reload_begins_an_interception_and_leaves_what_was_open_before_alone";
    with_nft(name, || {
        let site = Site::new();
        // Nothing tracks connections yet: each that is open looks new to the kernel when something does.
        let mut open = Ping::connect(HOST);
        open.ping();
        let near = site.start_without("all");
        assert_eq!(seen_by(HOST, None, None), DIRECT);
        assert!(near.status()["interception"].is_null());
        let dry = near.reload_dry(&site.config("users = \"*\"", "")).unwrap();
        assert!(dry.contains("ingress all added, which intercepts"), "{dry}");
        assert_eq!(seen_by(HOST, None, None), DIRECT);
        near.reload(&site.config("users = \"*\"", "")).unwrap();
        assert_eq!(seen_by(HOST, None, None), HOST);
        open.ping();
        let now = near.status()["interception"].clone();
        assert_eq!(now["ingresses"][0]["of"], "programs of every user");
        assert_eq!(now["ingresses"][0]["port"], crate::site::port());
        assert!(
            near.status_text().contains("ingress all intercepts tcp of programs of every user")
        );
    });
}

#[test]
fn a_daemon_that_may_not_intercept_says_what_it_needs() {
    let name = "upkeep::a_daemon_that_may_not_intercept_says_what_it_needs";
    with_nft(name, || {
        let site = Site::new();
        let before = rules();
        let file = site.path().join("near.toml");
        let config = site.config("users = \"*\"", "");
        std::fs::write(&file, format!("identity = \"near.key\"\nadmin = \"near.sock\"\n{config}"))
            .unwrap();
        let output = Command::new("setpriv")
            .args(["--bounding-set=-net_admin", PROGRAM, "run", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        for part in ["CAP_NET_ADMIN", "throughline.service.d/intercept.conf"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(rules(), before);
    });
}
