//! Whether packets leave by the uplink that their source address belongs to.
//!
//! The far router filters sources as providers do: the packets of a lane that is up leave by its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::world::{
    Daemon, Far, in_namespace, ip, ip_output, keygen, lane_from, lanes, two_providers,
};

/// Bounds a dial over a link without delay, on a busy machine.
const DIAL_TIMEOUT: Duration = Duration::from_secs(4);

/// Starts the far daemon and returns the near one's configuration.
///
/// By default all of the near host's packets leave by A: B's router is in a table that no rule uses.
fn set_up(directory: &Path, far: &Far) -> (Daemon, String) {
    ip("route add default via 192.0.2.1 dev a0");
    ip("route add default via 198.51.100.1 dev b0 table 500");
    ip("-6 route add default via 2001:db8:a::1 dev a0");
    ip("-6 route add default via 2001:db8:b::1 dev b0 table 500");
    let (near_key, far_key) = (keygen(directory, "near"), keygen(directory, "far"));
    // Not `[::]`: it would advertise the addresses on our own links, which need no route.
    let config = format!(
        "listen = [\"203.0.113.1:5443\", \"[2001:db8:f::1]:5443\"]\n[peers.near]\nkey = \"{near_key}\"\n"
    );
    let there = Daemon::start(directory, "far", &config, Some(far));
    let near = format!(
        "[uplinks.isp-a]\ninterface = \"a0\"\n[uplinks.isp-b]\ninterface = \"b0\"\n\
         [peers.far]\nkey = \"{far_key}\"\n\
         locators = [\"203.0.113.1:5443\", \"[2001:db8:f::1]:5443\"]\n"
    );
    (there, near)
}

fn egress_check(status: &Value, local: &str) -> Value {
    let uplinks = status["uplinks"].as_array().into_iter().flatten();
    let mut checks =
        uplinks.flat_map(|uplink| uplink["egress_checks"].as_array().into_iter().flatten());
    checks.find(|check| check["local"] == local).cloned().unwrap_or_default()
}

fn has_lane(status: &Value, local: &str) -> bool {
    lane_from(status, local).is_some_and(|lane| lane["state"] == "up")
}

/// Returns whether a lane over the uplink is up.
fn over(status: &Value, uplink: &str) -> bool {
    lanes(status).iter().any(|lane| lane["uplink"] == uplink && lane["state"] == "up")
}

/// Returns the daemon's rules and routes, as `ip` shows them.
fn installed_routes() -> String {
    let mut text = String::new();
    for family in ["-4", "-6"] {
        let rules = ip_output(&format!("{family} rule show"));
        for rule in rules.lines().filter(|line| line.ends_with("proto 116")) {
            text += &format!("{rule}\n");
        }
        text += &ip_output(&format!("{family} route show table all proto 116"));
    }
    text
}

fn with_routes(config: &str) -> String {
    format!("manage-routes = true\n{config}")
}

#[test]
fn packets_that_would_leave_by_the_other_provider_are_reported_with_a_hint() {
    let name = "routes::packets_that_would_leave_by_the_other_provider_are_reported_with_a_hint";
    in_namespace(name, || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (_there, config) = set_up(directory.path(), &far);
        let near = Daemon::start(directory.path(), "near", &config, None);
        near.until(DIAL_TIMEOUT, "a lane over A", |s| over(s, "isp-a"));
        let status = near.status();
        assert_eq!(egress_check(&status, "192.0.2.5")["state"], "own");
        let b = egress_check(&status, "198.51.100.5");
        assert_eq!(b["state"], "wrong-uplink", "{b}");
        assert_eq!(b["uplink"], "isp-a");
        assert_eq!(b["interface"], "a0");
        assert_eq!(b["gateway"], "192.0.2.1");
        // Linux filters sources of IPv4 only: there the provider drops the packets.
        assert!(!has_lane(&status, "198.51.100.5"), "{status:#}");
        for text in [near.log(), near.status_text()] {
            assert!(
                text.contains("packets from 198.51.100.5 to 203.0.113.1 leave by a0"),
                "{text}"
            );
            assert!(text.contains("manage-routes = true"), "{text}");
        }
        assert_eq!(near.log().matches("packets from 198.51.100.5 to 203.0.113.1").count(), 1);
        assert_eq!(installed_routes(), "", "nothing is changed without `manage-routes`");
    });
}

#[test]
fn a_socket_bound_to_its_interface_needs_no_rules_where_a_route_leads_over_it() {
    let name = "routes::a_socket_bound_to_its_interface_needs_no_rules_where_a_route_leads_over_it";
    in_namespace(name, || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (_there, config) = set_up(directory.path(), &far);
        ip("route add default via 198.51.100.1 dev b0 metric 500");
        let near = Daemon::start(directory.path(), "near", &config, None);
        near.until(DIAL_TIMEOUT, "lanes over both", |s| over(s, "isp-a") && over(s, "isp-b"));
        let status = near.status();
        assert_eq!(egress_check(&status, "198.51.100.5")["state"], "bound");
        assert_eq!(egress_check(&status, "198.51.100.5")["interface"], "b0");
        assert_eq!(installed_routes(), "");
    });
}

#[test]
fn managed_routes_make_every_source_leave_by_its_own_provider_and_are_removed_at_the_end() {
    let name = "routes::managed_routes_make_every_source_leave_by_its_own_provider_and_are_removed_at_the_end";
    in_namespace(name, || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (_there, config) = set_up(directory.path(), &far);
        let kernel =
            || (ip_output("rule"), ip_output("-4 route show table all"), ip_output("-6 rule"));
        let before = kernel();
        let near = Daemon::start(directory.path(), "near", &with_routes(&config), None);
        near.until(DIAL_TIMEOUT, "lanes over both", |s| over(s, "isp-a") && over(s, "isp-b"));
        for local in ["192.0.2.5", "198.51.100.5", "2001:db8:a::5", "2001:db8:b::5"] {
            let check = egress_check(&near.status(), local);
            assert_eq!(check["state"], "own", "{check}");
        }
        let installed = installed_routes();
        println!("{installed}");
        assert!(installed.contains("from 198.51.100.5 lookup 7"), "{installed}");
        assert!(installed.contains("default via 198.51.100.1 dev b0"), "{installed}");
        assert!(installed.contains("default via 2001:db8:b::1 dev b0"), "{installed}");
        let log = near.log();
        assert!(!log.contains("cannot be set"), "{log}");
        // Two rules for each of the four addresses; a table for each uplink and family.
        let set = "manage-routes: 8 rules and 4 tables are set for the uplinks isp-a, isp-b";
        assert_eq!(log.matches(set).count(), 1, "{log}");
        near.stop();
        let log = std::fs::read_to_string(directory.path().join("near.log")).unwrap();
        assert!(log.contains("rules and routes of ours are removed"), "{log}");
        assert_eq!(installed_routes(), "");
        assert_eq!(before, kernel(), "the host is as it was");
    });
}

#[test]
fn routes_left_by_a_crash_are_removed_at_the_next_start() {
    let name = "routes::routes_left_by_a_crash_are_removed_at_the_next_start";
    in_namespace(name, || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (_there, config) = set_up(directory.path(), &far);
        let near = Daemon::start(directory.path(), "near", &with_routes(&config), None);
        let clean = installed_routes();
        assert!(clean.contains("from 198.51.100.5"), "{clean}");
        near.crash();
        assert_eq!(installed_routes(), clean, "a crash cleans up nothing");
        // The address changes while no daemon runs.
        ip("addr del 198.51.100.5/24 dev b0");
        ip("addr add 198.51.100.6/24 dev b0");
        ip("route replace default via 198.51.100.1 dev b0 table 500");
        let near = Daemon::start(directory.path(), "near", &with_routes(&config), None);
        let log = near.log();
        assert!(log.contains("that an earlier run left were removed"), "{log}");
        let renewed = installed_routes();
        assert_eq!(renewed, clean.replace("198.51.100.5", "198.51.100.6"));
        near.crash();
        let near = Daemon::start(directory.path(), "near", &config, None);
        assert_eq!(installed_routes(), "");
        near.stop();
    });
}

#[test]
fn a_reload_that_is_only_tried_changes_no_rule() {
    in_namespace("routes::a_reload_that_is_only_tried_changes_no_rule", || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (_there, config) = set_up(directory.path(), &far);
        let near = Daemon::start(directory.path(), "near", &config, None);
        // As of a run that has crashed meanwhile.
        ip("rule add from 192.0.2.99 lookup 7400 priority 7401 proto 116");
        let before = installed_routes();
        let reload = |with: &str, options: &[&str]| {
            let file = directory.path().join("near.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, text.replacen("manage-routes = true\n", "", 1)).unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, format!("{with}{text}")).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
            let output = command.arg("reload").arg("-c").arg(&file).args(options).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let said = reload("manage-routes = true\n", &["--dry-run"]);
        assert!(said.contains("`manage-routes` is true instead of false"), "{said}");
        assert_eq!(installed_routes(), before);
        reload("manage-routes = true\n", &[]);
        near.until(DIAL_TIMEOUT, "rules of its own alone", |_| {
            let now = installed_routes();
            !now.contains("192.0.2.99") && now.contains("from 198.51.100.5")
        });
        let set = installed_routes();
        reload("", &["--dry-run"]);
        assert_eq!(installed_routes(), set);
        near.stop();
        assert_eq!(installed_routes(), "");
    });
}

#[test]
fn managed_routes_follow_addresses_and_routers() {
    in_namespace("routes::managed_routes_follow_addresses_and_routers", || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (_there, config) = set_up(directory.path(), &far);
        let near = Daemon::start(directory.path(), "near", &with_routes(&config), None);
        near.until(DIAL_TIMEOUT, "a lane over B", |s| over(s, "isp-b"));
        // Its router disappears: nothing may leave by A instead.
        ip("route del default via 198.51.100.1 dev b0 table 500");
        near.until(DIAL_TIMEOUT, "no way for B", |s| {
            egress_check(s, "198.51.100.5")["state"] == "no-route"
        });
        assert!(
            Command::new("ip")
                .args("route get 203.0.113.1 from 198.51.100.5".split(' '))
                .output()
                .is_ok_and(|out| !out.status.success())
        );
        ip("route add default via 198.51.100.1 dev b0 table 500");
        near.until(DIAL_TIMEOUT, "B's own way again", |s| {
            egress_check(s, "198.51.100.5")["state"] == "own"
        });
        near.until(DIAL_TIMEOUT, "a lane over B", |s| over(s, "isp-b"));
        // A second address, and the first one goes.
        ip("addr add 198.51.100.7/24 dev b0");
        near.until(DIAL_TIMEOUT, "a way for the new one", |s| {
            egress_check(s, "198.51.100.7")["state"] == "own"
        });
        assert!(
            installed_routes().contains("from 198.51.100.7 lookup 7"),
            "{}",
            installed_routes()
        );
        ip("addr del 198.51.100.7/24 dev b0");
        near.until(DIAL_TIMEOUT, "no rule for it", |_| {
            !installed_routes().contains("198.51.100.7")
        });
        // The link goes with all that the kernel had on it, and comes back.
        ip("link set b0 down");
        near.until(DIAL_TIMEOUT, "no rules for B", |_| {
            !installed_routes().contains("from 198.51.100.5")
        });
        ip("link set b0 up");
        ip("route add default via 198.51.100.1 dev b0 table 500");
        near.until(DIAL_TIMEOUT, "a lane over B", |s| over(s, "isp-b"));
        near.stop();
        assert_eq!(installed_routes(), "");
    });
}

#[test]
fn local_networks_stay_reachable_from_managed_sources() {
    in_namespace("routes::local_networks_stay_reachable_from_managed_sources", || {
        let far = two_providers();
        ip("link add lan0 type veth peer name lan1");
        ip("addr add 10.9.0.1/24 dev lan0");
        ip("link set lan0 up");
        ip("link set lan1 up");
        ip("route add 10.20.0.0/16 via 10.9.0.2 dev lan0");
        let directory = tempfile::tempdir().unwrap();
        let (_there, config) = set_up(directory.path(), &far);
        let near = Daemon::start(directory.path(), "near", &with_routes(&config), None);
        near.until(DIAL_TIMEOUT, "B's own way", |s| {
            egress_check(s, "198.51.100.5")["state"] == "own"
        });
        for destination in ["10.9.0.7", "10.20.0.7"] {
            let route = ip_output(&format!("route get {destination} from 198.51.100.5"));
            assert!(route.contains("dev lan0"), "{route}");
        }
        near.stop();
    });
}

#[test]
fn without_the_privilege_the_daemon_does_not_start_and_says_how_to_correct_it() {
    let name = "routes::without_the_privilege_the_daemon_does_not_start_and_says_how_to_correct_it";
    in_namespace(name, || {
        let directory = tempfile::tempdir().unwrap();
        keygen(directory.path(), "near");
        let file = directory.path().join("near.toml");
        std::fs::write(
            &file,
            "identity = \"near.key\"\nadmin = \"x.sock\"\nmanage-routes = true\n",
        )
        .unwrap();
        let output = Command::new("setpriv")
            .args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"])
            .args([env!("CARGO_BIN_EXE_throughline"), "run", "-c"])
            .arg(&file)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("CAP_NET_ADMIN"), "{stderr}");
        assert!(stderr.contains("manage-routes"), "{stderr}");
    });
}

#[test]
fn only_one_daemon_manages_the_routes_of_a_host() {
    in_namespace("routes::only_one_daemon_manages_the_routes_of_a_host", || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (_there, config) = set_up(directory.path(), &far);
        let near = Daemon::start(directory.path(), "near", &with_routes(&config), None);
        let installed = installed_routes();
        keygen(directory.path(), "second");
        let second = Daemon::launch(directory.path(), "second", &with_routes(""), None);
        let log = directory.path().join("second.log");
        assert!(!second.wait_for_success());
        let stderr = std::fs::read_to_string(log).unwrap();
        assert!(stderr.contains("another throughline"), "{stderr}");
        // One that does not manage them leaves them alone as well.
        let third = Daemon::start(directory.path(), "second", "", None);
        assert_eq!(installed_routes(), installed);
        third.stop();
        near.stop();
        assert_eq!(installed_routes(), "");
    });
}

#[test]
fn a_successor_takes_its_predecessors_routes_over_or_removes_them_as_it_is_configured() {
    let name = "routes::a_successor_takes_its_predecessors_routes_over_or_removes_them_as_it_is_configured";
    in_namespace(name, || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (_there, config) = set_up(directory.path(), &far);
        let managing = with_routes(&config);
        let near = Daemon::start(directory.path(), "near", &managing, None);
        near.until(DIAL_TIMEOUT, "lanes over both", |s| over(s, "isp-a") && over(s, "isp-b"));
        let installed = installed_routes();
        assert!(installed.contains("from 198.51.100.5 lookup 7"), "{installed}");
        let near = near.succeeded_by(directory.path(), "near", &managing);
        near.until(DIAL_TIMEOUT, "managed again", |_| {
            near.log().contains("manage-routes: 8 rules and 4 tables are set")
        });
        assert_eq!(installed_routes(), installed);
        let near = near.succeeded_by(directory.path(), "near", &config);
        near.until(DIAL_TIMEOUT, "none is left", |_| installed_routes().is_empty());
        // And begins to where its predecessor did not.
        let near = near.succeeded_by(directory.path(), "near", &managing);
        near.until(DIAL_TIMEOUT, "managed again", |_| installed_routes() == installed);
        near.stop();
        assert_eq!(installed_routes(), "");
    });
}
