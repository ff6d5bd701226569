//! The built program, used as a person uses it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn throughline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.args(arguments).env_remove("THROUGHLINE_LOG").env_remove("XDG_RUNTIME_DIR");
    command
}

fn output(arguments: &[&str]) -> Output {
    throughline(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs the program, asserts its exit status and returns (stdout, stderr).
fn outcome(arguments: &[&str], status: i32) -> (String, String) {
    let output = output(arguments);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn keygen(&self) -> String {
        outcome(&["keygen", &self.name("k")], 0).0.trim().to_owned()
    }

    /// A configuration file with an identity and an admin socket of its own.
    fn config(&self, text: &str) -> String {
        let admin = self.name("t.sock");
        fs::write(self.path("t.toml"), format!("identity = 'k'\nadmin = '{admin}'\n{text}\n"))
            .unwrap();
        self.name("t.toml")
    }
}

/// A program that is killed when the test ends, even if it fails.
struct KillOnDrop(std::process::Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn keygen_writes_a_private_file_and_id_prints_the_same_key() {
    let site = Site::new();
    let key = site.keygen();
    assert!(key.starts_with("tlk1") && key.len() == 56, "{key}");
    let mode = fs::metadata(site.path("k")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(outcome(&["id", &site.name("k")], 0).0.trim(), key);
}

#[test]
fn keygen_reports_a_missing_directory_with_a_hint() {
    let site = Site::new();
    let (_, stderr) = outcome(&["keygen", &site.name("nodir/x.key")], 1);
    let expected = format!("There is no directory {}", site.name("nodir"));
    assert!(stderr.contains(&expected) && stderr.contains("mkdir -p"), "{stderr}");
}

#[test]
fn keygen_never_overwrites_a_file() {
    let site = Site::new();
    let key = site.keygen();
    let (stdout, stderr) = outcome(&["keygen", &site.name("k")], 1);
    assert!(stdout.is_empty() && stderr.contains(&site.name("k")), "{stderr}");
    assert_eq!(outcome(&["id", &site.name("k")], 0).0.trim(), key);
}

#[test]
fn an_identity_file_that_others_can_read_is_refused() {
    let site = Site::new();
    site.keygen();
    fs::set_permissions(site.path("k"), fs::Permissions::from_mode(0o644)).unwrap();
    let config = site.config("");
    for arguments in [&["id", &site.name("k")][..], &["check", &config], &["run", "-c", &config]] {
        let (_, stderr) = outcome(arguments, 1);
        assert!(stderr.contains(&site.name("k")), "{stderr}");
    }
}

#[test]
fn a_missing_or_invalid_identity_file_is_reported_with_a_hint() {
    let site = Site::new();
    let config = site.config("");
    let key = site.name("k");
    let hint = format!("make one with `throughline keygen {key}`");
    for arguments in [&["id", &key][..], &["check", &config], &["run", "-c", &config]] {
        let (_, stderr) = outcome(arguments, 1);
        assert!(stderr.contains(&format!("error: No identity file at {key}; {hint}")), "{stderr}");
    }
    fs::write(site.path("k"), "not a key").unwrap();
    fs::set_permissions(site.path("k"), fs::Permissions::from_mode(0o600)).unwrap();
    for arguments in [&["id", &key][..], &["check", &config], &["run", "-c", &config]] {
        let (_, stderr) = outcome(arguments, 1);
        assert!(stderr.contains(&format!("{key} is not an Ed25519 private key")), "{stderr}");
        assert!(stderr.contains("throughline keygen"), "{stderr}");
    }
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
fn an_unreadable_identity_file_is_reported() {
    let site = Site::new();
    site.keygen();
    fs::set_permissions(site.path("k"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(site.path("k")).is_ok() {
        let reason = "this user (root) can read every file; run the tests as another user";
        // Not through libtest, which hides the output of tests that pass.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: an_unreadable_identity_file_is_reported: {reason}"
        );
        return;
    }
    let (_, stderr) = outcome(&["id", &site.name("k")], 1);
    assert!(
        stderr.contains(&format!("error: Cannot read identity file {}", site.name("k"))),
        "{stderr}"
    );
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
uplinks are discovered
manages rules and routes for the uplinks (needs CAP_NET_ADMIN)
peer branch1: dials us; may reach 10.0.0.0/8:22, 127.0.0.1:22, [::1]:22 through us
ingress socks: socks5 on tcp 127.0.0.1:1080 via branch1; while no peer is reachable: reject
ingress any: socks5 on tcp 127.0.0.1:1081, rules decide
the configuration is valid
"
    );
    assert_eq!(stdout, expected);
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

    let started = Instant::now();
    terminate(daemon.0.id());
    let ended_well = daemon.0.wait().unwrap().success();
    let log = drain.join().unwrap();
    assert!(ended_well, "{log}");
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

fn terminate(process: u32) {
    assert!(Command::new("kill").arg(process.to_string()).status().unwrap().success());
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
    let (_, stderr) = outcome(&["uplink", "drain", "isp-b", "-c", &config], 0);
    assert!(stderr.contains("warning: No other uplink is left"), "{stderr}");
    assert_eq!(next()["uplink"], "isp-b");
    let (stdout, _) = outcome(&["uplink", "resume", "isp-a", "--json", "-c", &config], 0);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&answer["draining"], &answer["changed"]), (&false.into(), &true.into()));
    assert_eq!(next()["event"], "drain-ended");
    let (stdout, _) = outcome(&["events", "-c", &config], 0);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{stdout}");
    assert!(lines[0].ends_with("Z  isp-a  drain started"), "{stdout}");

    terminate(daemon.0.id());
    assert!(daemon.0.wait().unwrap().success());
    drained.join().unwrap();
    let ended = follow.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(text(&ended.stderr), "The daemon has ended.\n");
}
