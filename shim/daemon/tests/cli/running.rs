//! The running daemon, and the commands that ask it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::program::*;

#[test]
fn a_reader_that_goes_away_ends_the_demo_quietly() {
    let mut demo = throughline(&["demo", "--plain", "--length", "4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(demo.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("throughline demo"), "{line}");
    let ended = demo.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(text(&ended.stderr), "");
}

#[test]
fn a_wrong_command_line_and_a_missing_configuration_end_with_status_2() {
    outcome(&["frobnicate"], 2);
    outcome(&["run"], 2);
    let (_, stderr) = outcome(&["run", "-c", "/nonexistent/t.toml"], 2);
    assert!(
        stderr.contains("/nonexistent/t.toml: The configuration file cannot be read"),
        "{stderr}"
    );
}

#[test]
fn an_invalid_log_filter_is_reported() {
    let mut command = throughline(&["run", "-c", "/nonexistent/t.toml"]);
    let output = command.env("THROUGHLINE_LOG", "a=b=c").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("THROUGHLINE_LOG=a=b=c"), "{}", text(&output.stderr));
}

#[test]
fn a_busy_tcp_port_is_reported_with_the_ingress_and_a_hint() {
    let site = Site::new();
    site.keygen();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = held.local_addr().unwrap();
    let config = site.config(&format!("[ingress.socks]\nkind = 'socks5'\nlisten = '{busy}'"));
    let (_, stderr) = outcome(&["run", "-c", &config], 1);
    assert!(stderr.contains("error: The ingress `socks` cannot listen on tcp"), "{stderr}");
    assert!(stderr.contains("stop the program that has it"), "{stderr}");
}

#[test]
fn a_busy_udp_port_is_reported_with_the_address_and_a_hint() {
    let site = Site::new();
    site.keygen();
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let busy = held.local_addr().unwrap();
    let config = site.config(&format!("listen = '{busy}'"));
    let (_, stderr) = outcome(&["run", "-c", &config], 1);
    assert!(stderr.contains(&format!("error: Cannot listen on udp {busy}")), "{stderr}");
    assert!(stderr.contains("stop the program that has it"), "{stderr}");
    assert!(!site.path("t.sock").exists(), "the admin socket's file is left behind");
}

#[test]
fn status_without_a_running_daemon_fails_with_a_hint() {
    let (_, stderr) = outcome(&["status", "--socket", "/nonexistent/t.sock"], 1);
    assert!(stderr.contains("No daemon answers at /nonexistent/t.sock"), "{stderr}");
}

#[test]
fn run_answers_status_and_shuts_down_on_sigterm() {
    let site = Site::new();
    let key = site.keygen();
    let config = site.config("[ingress.socks]\nkind = 'socks5'\nlisten = '127.0.0.1:0'");
    let mut command = throughline(&["run", "-c", &config]);
    let daemon = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut daemon = KillOnDrop(daemon);
    let mut log = BufReader::new(daemon.0.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    while !seen.contains("running") {
        let line = log.next().unwrap_or_else(|| panic!("the daemon ended:\n{seen}")).unwrap();
        seen.push_str(&line);
        seen.push('\n');
    }
    let drain =
        std::thread::spawn(move || log.map_while(Result::ok).collect::<Vec<_>>().join("\n"));

    let (stdout, _) = outcome(&["status", "-c", &config], 0);
    assert!(stdout.starts_with(&key), "{stdout}");
    let (stdout, _) = outcome(&["status", "--json", "--socket", &site.name("t.sock")], 0);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["id"], key);
    // Its address is taken and its admin socket answers, so a second one does not start.
    let (_, stderr) = outcome(&["run", "-c", &config], 1);
    assert!(stderr.contains("error: Another daemon answers"), "{stderr}");

    // The file is read again, by a signal and by the command.
    signal("HUP", daemon.0.id());
    let (stdout, _) = outcome(&["reload", "-c", &config], 0);
    assert_eq!(stdout.trim(), "Nothing has changed.");
    site.config("[ingress.socks]\nkind = 'socks5'\nlisten = '127.0.0.1:0'\n[peers]");
    let other = fs::read_to_string(&config).unwrap().replace("admin", "linger = '1h'\nadmin");
    fs::write(&config, other).unwrap();
    let would = "`linger` is 1h instead of 12h, for sessions to come";
    let (stdout, _) = outcome(&["reload", "--dry-run", "-c", &config], 0);
    assert_eq!(stdout.trim(), format!("These would change:\n- {would}"));
    let (stdout, _) = outcome(&["reload", "--json", "-c", &config], 0);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer, serde_json::json!({ "dry_run": false, "changes": [would] }));
    fs::write(site.path("wrong.toml"), "identity = 3").unwrap();
    outcome(&["reload", "-c", &site.name("wrong.toml")], 2);
    let (stdout, _) = outcome(&["status", "-c", &config], 0);
    assert!(stdout.starts_with(&key), "{stdout}");

    let started = Instant::now();
    terminate(daemon.0.id());
    let ended_well = daemon.0.wait().unwrap().success();
    let log = drain.join().unwrap();
    assert!(ended_well, "{log}");
    assert!(log.contains("SIGHUP: reading the configuration again"), "{log}");
    assert!(log.contains("configuration read again: nothing has changed"), "{log}");
    assert!(log.contains("configuration: `linger` is 1h instead of 12h"), "{log}");
    assert!(
        log.contains("SIGTERM: shutting down; a second signal ends the daemon at once"),
        "{log}"
    );
    assert!(
        log.contains("accepting nothing new; 0 live flows through peers, and every direct connection, have 10s"),
        "{log}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(!Path::new(&site.path("t.sock")).exists(), "the admin socket's file is left behind");
}

fn three_events_are_shown_and_the_last_of_them(config: &str) {
    let (stdout, _) = outcome(&["events", "-c", config], 0);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{stdout}");
    assert!(lines[0].ends_with("Z  isp-a  drain started"), "{stdout}");
    let (last, _) = outcome(&["events", "-n", "1", "-c", config], 0);
    assert_eq!(last.lines().collect::<Vec<_>>(), lines[2..]);
    let (of_late, _) = outcome(&["events", "--since", "1h", "-c", config], 0);
    assert_eq!(of_late, stdout);
}

#[test]
fn events_are_followed_while_an_uplink_is_drained_and_resumed() {
    let site = Site::new();
    site.keygen();
    let config = site.config(
        "[uplinks.isp-a]
         prefixes = '127.0.11.1'
         [uplinks.isp-b]
         prefixes = '127.0.12.1'",
    );
    for arguments in [&["events", "-c", &config][..], &["uplink", "list", "-c", &config]] {
        let (_, stderr) = outcome(arguments, 1);
        assert!(stderr.contains("error: No daemon answers at"), "{stderr}");
    }
    let mut command = throughline(&["run", "-c", &config]);
    let daemon = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut daemon = KillOnDrop(daemon);
    let mut log = BufReader::new(daemon.0.stderr.take().unwrap()).lines();
    while !log.next().expect("the daemon ended").unwrap().contains("running") {}
    let drained = std::thread::spawn(move || log.map_while(Result::ok).count());

    let (stdout, _) = outcome(&["uplink", "list", "-c", &config], 0);
    let table = "\
uplink  addresses   class  metered  state    lanes
isp-a   127.0.11.1  pa     no       no lane  0
isp-b   127.0.12.1  pa     no       no lane  0
";
    assert_eq!(stdout, table);
    let (_, stderr) = outcome(&["uplink", "drain", "isp-c", "-c", &config], 1);
    assert!(stderr.contains("There is no uplink `isp-c`; there are `isp-a`, `isp-b`"), "{stderr}");

    let mut follow = throughline(&["events", "--follow", "--json", "-c", &config]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = || -> serde_json::Value {
        serde_json::from_str(&events.next().expect("no event").unwrap()).unwrap()
    };
    let (stdout, stderr) = outcome(&["uplink", "drain", "isp-a", "-c", &config], 0);
    assert!(stdout.starts_with("Uplink isp-a is drained") && stderr.is_empty(), "{stdout}{stderr}");
    let event = next();
    assert_eq!((&event["event"], &event["uplink"]), (&"drain-started".into(), &"isp-a".into()));
    assert_eq!(event["lane"], serde_json::Value::Null);
    let (stdout, _) = outcome(&["uplink", "drain", "isp-a", "-c", &config], 0);
    assert!(stdout.contains("was drained already"), "{stdout}");
    // Whoever would cut it next learns by the exit status that he must not.
    let (stdout, stderr) = outcome(&["uplink", "drain", "isp-b", "-c", &config], 1);
    assert!(stderr.contains("warning: No other uplink is left"), "{stderr}");
    assert!(stdout.contains("marked as draining, but still in use"), "{stdout}");
    assert_eq!(next()["uplink"], "isp-b");
    let (stdout, _) = outcome(&["uplink", "resume", "isp-a", "--json", "-c", &config], 0);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&answer["draining"], &answer["changed"]), (&false.into(), &true.into()));
    assert_eq!(next()["event"], "drain-ended");
    three_events_are_shown_and_the_last_of_them(&config);

    terminate(daemon.0.id());
    assert!(daemon.0.wait().unwrap().success());
    drained.join().unwrap();
    let ended = follow.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(text(&ended.stderr), "The daemon has ended.\n");
}
