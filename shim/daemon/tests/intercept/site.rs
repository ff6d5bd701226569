//! Two daemons on two hosts: behind the far one are destinations, and the near one intercepts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::world::{Daemon, Far, PROGRAM, in_namespace, ip, keygen, provider};

/// Bounds what takes milliseconds, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The port of every destination.
pub(crate) const PORT: u16 = 8080;

/// What a destination answers: the address of its client.
const OK: &str = "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n";

/// Runs `body` in a namespace of its own, if the programs are there.
pub(crate) fn with_nft(test: &str, body: impl FnOnce()) {
    let there = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    match ["nft", "curl"].into_iter().find(|program| !there(program)) {
        None => in_namespace(test, body),
        Some(missing) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: there is no {missing}");
        }
    }
}

/// Both hosts.
pub(crate) struct Site {
    pub(crate) far: Far,
    pub(crate) directory: TempDir,
    far_key: String,
    _there: Daemon,
}

impl Site {
    /// Creates the hosts, the destinations and the far daemon.
    pub(crate) fn new() -> Self {
        Self::with_names("")
    }

    /// Creates the same; the far host knows these names as well.
    pub(crate) fn with_names(hosts: &str) -> Self {
        let far = Far::new();
        far.ip("link add pad0 type veth peer name pad1");
        provider(&far, "a", "192.0.2", "2001:db8:a::");
        ip("route add default via 192.0.2.1");
        ip("-6 route add default via 2001:db8:a::1");
        for last in 1..=4 {
            far.ip(&format!("addr add 203.0.113.{last}/32 dev lo"));
            far.ip(&format!("addr add 2001:db8:f::{last}/128 dev lo nodad"));
        }
        destinations(&far);
        let directory = tempfile::tempdir().unwrap();
        if !hosts.is_empty() {
            std::fs::write(directory.path().join("far.hosts"), hosts).unwrap();
        }
        let (near_key, far_key) =
            (keygen(directory.path(), "near"), keygen(directory.path(), "far"));
        // Own addresses have to be named.
        let allow: Vec<_> = (1..=4)
            .map(|last| format!("\"203.0.113.{last}:*\", \"[2001:db8:f::{last}]:*\""))
            .collect();
        let config = format!(
            "listen = \"192.0.2.1:5443\"\n[peers.near]\nkey = \"{near_key}\"\nallow = [{}]\n",
            allow.join(", ")
        );
        let there = Daemon::start(directory.path(), "far", &config, Some(&far));
        Self { far, directory, far_key, _there: there }
    }

    /// Returns the near daemon's configuration: its ingress `all`, and what comes after that.
    pub(crate) fn config(&self, ingress: &str, rules: &str) -> String {
        format!(
            "[peers.far]\nkey = \"{}\"\nlocators = [\"192.0.2.1:5443\"]\n\
             [ingress.all]\nkind = \"intercept\"\nvia = \"far\"\n{ingress}\n{rules}\n",
            self.far_key
        )
    }

    /// Starts the near daemon.
    pub(crate) fn start(&self, ingress: &str, rules: &str) -> Daemon {
        Daemon::start(self.path(), "near", &self.config(ingress, rules), None)
    }

    /// Starts the near daemon with all but the ingress.
    pub(crate) fn start_without(&self, ingress: &str) -> Daemon {
        let config = self.config("", "");
        let (without, _) = config.split_once(&format!("[ingress.{ingress}]")).unwrap();
        Daemon::start(self.path(), "near", without, None)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Serves every address of the far host, until the test ends.
fn destinations(far: &Far) {
    let namespace = std::fs::File::open(format!("/proc/{}/ns/net", far.pid())).unwrap();
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let listener = TcpListener::bind(("::", PORT)).unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(&stream.unwrap()));
        }
    });
    is_ready.recv().unwrap();
}

/// Answers each line `ping` of a program, and one request of HTTP.
fn answer(mut stream: &TcpStream) {
    let from = stream.peer_addr().unwrap().ip().to_canonical();
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(line)) = lines.next() {
        let answer = match line.trim() {
            "ping" => "pong\n".to_owned(),
            "" => format!("{OK}{from}\n"),
            _ => continue,
        };
        if stream.write_all(answer.as_bytes()).is_err() || answer.starts_with("HTTP") {
            return;
        }
    }
}

/// Returns the address that a destination sees of a request of curl's; an error, or none, is `none`.
pub(crate) fn seen_by(host: &str, name: Option<&str>, at: Option<&Far>) -> String {
    let ip: IpAddr = host.parse().unwrap();
    let addr = SocketAddr::new(ip, PORT);
    let mut command = match at {
        None => Command::new("curl"),
        Some(at) => {
            let mut command = Command::new("nsenter");
            command.args(["-t", &at.pid().to_string(), "-n", "curl"]);
            command
        }
    };
    command.args(["-sS", "--noproxy", "*", "--max-time", "15"]);
    if let Some(name) = name {
        command.args(["-H", &format!("Host: {name}")]);
    }
    let output = command.arg(format!("http://{addr}/")).output().unwrap();
    match output.status.success() {
        true => String::from_utf8(output.stdout).unwrap().trim().to_owned(),
        false => "none".to_owned(),
    }
}

/// A program that connects to a host again and again, and sees whether each connection is intercepted.
pub(crate) struct Visitor {
    made: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Visitor {
    pub(crate) fn begin(host: &'static str) -> Self {
        let (made, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (made.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let number = count.load(Ordering::Relaxed);
                let seen = visit(host).unwrap_or_else(|error| format!("{error}\n{}", rules()));
                assert_eq!(seen, host, "connection {number}");
                count.store(number + 1, Ordering::Relaxed);
            }
        });
        Self { made, stop, thread }
    }

    /// Waits until so many more connections have been made.
    pub(crate) fn makes_more(&self, count: usize) {
        let wanted = self.made.load(Ordering::Relaxed) + count;
        until("connections are made", || {
            self.thread.is_finished() || self.made.load(Ordering::Relaxed) >= wanted
        });
    }

    /// Ends it, and fails if any connection has.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// Returns the address that a destination sees of a connection of this process.
fn visit(host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((host, PORT))?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.trim_start_matches(OK).trim().to_owned())
}

/// Waits until something holds.
pub(crate) fn until(what: &str, wanted: impl Fn() -> bool) {
    let since = Instant::now();
    while !wanted() {
        assert!(since.elapsed() < SOON, "{what}: not in {SOON:?}\n{}", rules());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns all rules that the kernel has here, of packets and of routes.
pub(crate) fn rules() -> String {
    let print = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let routes = print("ip", &["route", "show", "table", "all"]);
    // The kernel adds that of its own address when it has found no duplicate.
    let routes = routes.lines().filter(|route| !route.starts_with("local fe80:"));
    print("nft", &["list", "ruleset"])
        + &print("ip", &["rule"])
        + &print("ip", &["-6", "rule"])
        + &routes.collect::<Vec<_>>().join("\n")
}

/// Returns the port to which the rules lead.
pub(crate) fn port() -> u16 {
    let rules = rules();
    let port = rules.split("redirect to :").nth(1).unwrap();
    port.split_whitespace().next().unwrap().parse().unwrap()
}

impl Daemon {
    /// Has the daemon reload this configuration; returns what it says.
    pub(crate) fn reload(&self, config: &str) -> Result<String, String> {
        self.reload_with(config, &[])
    }

    /// Has the daemon say what a reload would change.
    pub(crate) fn reload_dry(&self, config: &str) -> Result<String, String> {
        self.reload_with(config, &["--dry-run"])
    }

    fn reload_with(&self, config: &str, options: &[&str]) -> Result<String, String> {
        let file = self.socket.with_extension("toml");
        let name = file.file_stem().unwrap().to_str().unwrap();
        let text = format!("identity = \"{name}.key\"\nadmin = \"{name}.sock\"\n{config}");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(PROGRAM);
        let output =
            command.arg("reload").args(options).arg("--socket").arg(&self.socket).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// Starts a successor of the daemon in this namespace, and waits until it has taken over.
    pub(crate) fn successor(&self) -> Self {
        let successor = self.begin_successor();
        successor.takes_over();
        successor
    }

    /// Starts a successor of the daemon in this namespace, without waiting for it.
    pub(crate) fn begin_successor(&self) -> Self {
        let log = self.socket.with_extension("successor.log");
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--take-over", "-c"]).arg(self.socket.with_extension("toml"));
        command.stderr(std::fs::File::create(&log).unwrap()).stdout(Stdio::null());
        command.env("THROUGHLINE_LOG", "debug");
        let child = command.spawn().unwrap();
        Self { child, socket: self.socket.clone(), log }
    }

    /// Waits until it has taken over.
    pub(crate) fn takes_over(&self) {
        until("taken over", || self.log().contains("taken over from the process"));
    }
}
