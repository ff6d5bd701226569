//! Network namespaces, links, and daemons in them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Set in a test that runs in its own namespace.
pub(crate) const INSIDE: &str = "THROUGHLINE_TEST_INSIDE";

/// Runs `body` in fresh user and network namespaces: the test executes itself there.
pub(crate) fn in_namespace(test: &str, body: impl FnOnce()) {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == test) {
        ip("link set lo up");
        return body();
    }
    let mut possible = Command::new("unshare");
    possible.args(["-rn", "ip", "link", "add", "x", "type", "veth"]);
    if !succeeds(possible) {
        let reason = "no network namespaces here (`unshare -rn`, `ip link add`)";
        // Not through libtest, which hides the output of tests that pass.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
        return;
    }
    let status = Command::new("unshare")
        .arg("-rn")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its namespace");
}

fn succeeds(mut command: Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Runs `ip` with these arguments here.
pub(crate) fn ip(args: &str) {
    run("ip", args);
}

/// Returns what `ip` prints.
pub(crate) fn ip_output(args: &str) -> String {
    let output = Command::new("ip").args(args.split_whitespace()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn run(program: &str, args: &str) {
    let status = Command::new(program).args(args.split_whitespace()).status().unwrap();
    assert!(status.success(), "{program} {args}: {status}");
}

/// Another namespace, for the far end of links.
pub(crate) struct Far {
    holder: Child,
}

impl Far {
    pub(crate) fn new() -> Self {
        let holder = Command::new("unshare").args(["-n", "sleep", "600"]).spawn().unwrap();
        let ns = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let pid = holder.id().to_string();
        let since = Instant::now();
        while ns(&pid).is_none_or(|there| Some(there) == ns("self")) {
            assert!(since.elapsed() < Duration::from_secs(10), "no second namespace");
            std::thread::sleep(Duration::from_millis(1));
        }
        let far = Self { holder };
        far.ip("link set lo up");
        far
    }

    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Runs `ip` there.
    pub(crate) fn ip(&self, args: &str) {
        run("nsenter", &format!("-t {} -n ip {args}", self.pid()));
    }

    /// Runs a shell line there.
    pub(crate) fn sh(&self, line: &str) {
        let pid = self.pid().to_string();
        let mut command = Command::new("nsenter");
        assert!(command.args(["-t", &pid, "-n", "sh", "-c", line]).status().unwrap().success());
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Creates the link of one provider.
pub(crate) fn provider(far: &Far, name: &str, net4: &str, net6: &str) {
    ip(&format!("link add {name}0 type veth peer name {name}1 netns {}", far.pid()));
    ip(&format!("addr add {net4}.5/24 dev {name}0"));
    ip(&format!("addr add {net6}5/64 dev {name}0 nodad"));
    far.ip(&format!("addr add {net4}.1/24 dev {name}1"));
    far.ip(&format!("addr add {net6}1/64 dev {name}1 nodad"));
    far.ip(&format!("link set {name}1 up"));
    ip(&format!("link set {name}0 up"));
}

/// Creates two providers: `a0` and `b0` here, each with a router at its far end.
///
/// The routers are one host, which filters sources as providers do (BCP 38) and has 203.0.113.1 and
/// 2001:db8:f::1 behind it.
pub(crate) fn two_providers() -> Far {
    let far = Far::new();
    // Gives the two ends of a link different numbers: the kernel takes the carrier of a `veth` with
    // equal ones for a physical one, and notifies of it once a second at most (linkwatch).
    far.ip("link add pad0 type veth peer name pad1");
    provider(&far, "a", "192.0.2", "2001:db8:a::");
    provider(&far, "b", "198.51.100", "2001:db8:b::");
    far.ip("addr add 203.0.113.1/32 dev lo");
    far.ip("addr add 2001:db8:f::1/128 dev lo nodad");
    far.sh("for c in all a1 b1; do echo 1 > /proc/sys/net/ipv4/conf/$c/rp_filter; done");
    far
}

/// A daemon, the built program; killed when dropped.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) log: PathBuf,
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_throughline");

/// Creates an identity; returns its public key.
pub(crate) fn keygen(directory: &Path, name: &str) -> String {
    let file = directory.join(format!("{name}.key"));
    let output = Command::new(PROGRAM).arg("keygen").arg(&file).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().find(|word| word.starts_with("tlk1")).unwrap().to_owned()
}

/// Returns the program, as it runs here or in the other namespace. A daemon with a `NAME.hosts` or a `NAME.resolv` has that
/// for its /etc/hosts or /etc/resolv.conf.
fn in_place(directory: &Path, name: &str, there: Option<&Far>) -> Command {
    let mut arguments: Vec<String> = Vec::new();
    if let Some(far) = there {
        arguments.extend(["nsenter", "-t", &far.pid().to_string(), "-n"].map(str::to_owned));
    }
    let files = [("hosts", "/etc/hosts"), ("resolv", "/etc/resolv.conf")];
    let own = files.map(|(suffix, file)| (directory.join(format!("{name}.{suffix}")), file));
    let own: Vec<_> = own.into_iter().filter(|(path, _)| path.exists()).collect();
    if !own.is_empty() {
        let mounts =
            own.iter().map(|(own, file)| format!("mount --bind {} {file} && ", own.display()));
        let line = format!("{}exec \"$@\"", mounts.collect::<String>());
        arguments.extend(["unshare", "-m", "sh", "-c", &line, "sh"].map(str::to_owned));
    }
    arguments.push(PROGRAM.to_owned());
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..]);
    command
}

impl Daemon {
    /// Starts a daemon with this configuration, here or in the other namespace, and waits for it.
    pub(crate) fn start(directory: &Path, name: &str, config: &str, there: Option<&Far>) -> Self {
        let daemon = Self::launch(directory, name, config, there);
        let since = Instant::now();
        while UnixStream::connect(&daemon.socket).is_err() {
            assert!(since.elapsed() < Duration::from_secs(10), "no start: {}", daemon.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        // The daemon answers once everything is up.
        daemon.status();
        daemon
    }

    /// Starts a daemon without waiting for it.
    pub(crate) fn launch(directory: &Path, name: &str, config: &str, there: Option<&Far>) -> Self {
        let log = directory.join(format!("{name}.log"));
        Self::launch_with(directory, (name, config), there, (log, &[]))
    }

    /// Hands over to a successor with this configuration, and waits until it runs and this one has ended.
    pub(crate) fn succeeded_by(mut self, directory: &Path, name: &str, config: &str) -> Self {
        let log = directory.join(format!("{name}-{}.log", self.child.id()));
        let next = Self::launch_with(directory, (name, config), None, (log, &["--take-over"]));
        let since = Instant::now();
        while !next.log().contains("running") {
            assert!(since.elapsed() < Duration::from_secs(10), "no start: {}", next.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        next
    }

    fn launch_with(
        directory: &Path,
        (name, config): (&str, &str),
        there: Option<&Far>,
        (log, options): (PathBuf, &[&str]),
    ) -> Self {
        let file = directory.join(format!("{name}.toml"));
        let socket = directory.join(format!("{name}.sock"));
        let text = format!("identity = \"{name}.key\"\nadmin = \"{name}.sock\"\n{config}");
        std::fs::write(&file, text).unwrap();
        let mut command = in_place(directory, name, there);
        let out = std::fs::File::create(&log).unwrap();
        command.arg("run").args(options).arg("-c").arg(file).stderr(out).stdout(Stdio::null());
        command.env("THROUGHLINE_LOG", "debug");
        Self { child: command.spawn().unwrap(), socket, log }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> Value {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.write_all(b"{\"command\":\"status\"}\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["status"].take()
    }

    /// Returns the status as text for people.
    pub(crate) fn status_text(&self) -> String {
        let mut command = Command::new(PROGRAM);
        let output = command.arg("status").arg("--socket").arg(&self.socket).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until `wanted` holds for the status; returns how long that took.
    pub(crate) fn until(
        &self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Duration {
        let since = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                println!("{what}: {:?}", since.elapsed());
                return since.elapsed();
            }
            let log = || self.log();
            assert!(since.elapsed() < limit, "{what}: not in {limit:?}\n{status:#}\n{}", log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Returns how many descriptors the daemon has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Kills the daemon, as in a crash.
    pub(crate) fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops the daemon as a service manager does.
    pub(crate) fn stop(mut self) {
        run("kill", &format!("-TERM {}", self.child.id()));
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    /// Waits for the daemon to end; returns whether it succeeded.
    pub(crate) fn wait_for_success(mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the lanes of the only session with the only peer.
pub(crate) fn lanes(status: &Value) -> Vec<Value> {
    status["peers"][0]["sessions"][0]["lanes"].as_array().cloned().unwrap_or_default()
}

/// Returns the lane from this address, if there is one.
pub(crate) fn lane_from(status: &Value, ip: &str) -> Option<Value> {
    let from = |lane: &Value| {
        let local = lane["local"].as_str().unwrap_or_default();
        local.parse::<std::net::SocketAddr>().is_ok_and(|local| local.ip().to_string() == ip)
    };
    lanes(status).into_iter().find(from)
}
