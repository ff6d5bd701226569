//! The daemon under a service manager. The manager is a stand-in that speaks systemd's notification
//! protocol (sd_notify(3)): a datagram socket. The units are checked by systemd's own tools.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use throughline_fixture::Outcome;
use throughline_fixture::process::{Process, installed};

/// How long a word may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the stand-in asks for: long enough for a busy machine.
const WATCHDOG: Duration = Duration::from_secs(3);

/// A service manager's end of the protocol, with the daemon that it started.
struct Manager {
    directory: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(directory.path().join("notify"))?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        throughline::Identity::create(directory.path().join("k"))?;
        Ok(Self { directory, socket })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the daemon with this in its configuration.
    fn start(&self, config: &str) -> Outcome<Process> {
        let text = format!("identity = 'k'\nadmin = 't.sock'\n{config}");
        std::fs::write(self.path("t.toml"), text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
        command.arg("run").arg("-c").arg(self.path("t.toml")).env("NO_COLOR", "1");
        command.env("NOTIFY_SOCKET", self.path("notify"));
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        Process::start("throughline", &mut command)
    }

    /// Returns the assignments of the next datagram.
    fn hears(&self) -> Outcome<Vec<String>> {
        let mut datagram = [0; 4096];
        let len = self.socket.recv(&mut datagram).map_err(|error| format!("no word: {error}"))?;
        let text = std::str::from_utf8(&datagram[..len])?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Waits for a datagram with this assignment; returns it, and those that came before it.
    fn hears_of(&self, assignment: &str) -> Outcome<Vec<Vec<String>>> {
        let (mut heard, until) = (Vec::new(), Instant::now() + TIMEOUT);
        while Instant::now() < until {
            let datagram = self.hears()?;
            let found = datagram.iter().any(|line| line == assignment);
            heard.push(datagram);
            if found {
                return Ok(heard);
            }
        }
        Err(format!("no {assignment}, but {heard:?}").into())
    }
}

#[test]
fn a_service_manager_is_told_of_the_start_of_progress_and_of_the_end() -> Outcome {
    let manager = Manager::new()?;
    let listen = "[ingress.s]\nkind = 'socks5'\nlisten = '127.0.0.1:0'\n";
    let daemon = manager.start(listen)?;
    let ready = manager.hears()?;
    let main = format!("MAINPID={}", daemon.id());
    assert_eq!(ready, ["READY=1", "STATUS=0 of 0 peers reached, 0 flows", &main]);
    // It was ready when it said so.
    let ingress = daemon.ingress("s")?;
    std::net::TcpStream::connect(ingress)?;
    std::os::unix::net::UnixStream::connect(manager.path("t.sock"))?;
    // At the least once in the time after which it would be ended.
    for _ in 0..3 {
        let asked = Instant::now();
        manager.hears_of("WATCHDOG=1")?;
        assert!(asked.elapsed() < WATCHDOG, "{:?}", asked.elapsed());
    }
    // A reload, and one that is refused: it serves again after either.
    for text in ["identity = 'k'\nadmin = 't.sock'\n", "no = 'such thing'\n"] {
        std::fs::write(manager.path("t.toml"), text)?;
        daemon.signal("HUP")?;
        let heard = manager.hears_of("RELOADING=1")?;
        let last = heard.last().ok_or("nothing")?;
        assert!(last[1].starts_with("MONOTONIC_USEC="), "{last:?}");
        manager.hears_of("READY=1")?;
    }
    daemon.signal("TERM")?;
    let heard = manager.hears_of("STOPPING=1")?;
    let last = heard.last().ok_or("nothing")?;
    assert_eq!(last[1], "STATUS=SIGTERM: shutting down");
    Ok(())
}

#[test]
fn a_daemon_that_cannot_start_says_why_and_never_that_it_serves() -> Outcome {
    let manager = Manager::new()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let addr = taken.local_addr()?;
    let _daemon = manager.start(&format!("[ingress.s]\nkind = 'socks5'\nlisten = '{addr}'\n"))?;
    let heard = manager.hears()?;
    assert!(heard[0].starts_with("STATUS=") && heard[0].contains(&addr.to_string()), "{heard:?}");
    assert_eq!(heard.len(), 1, "{heard:?}");
    Ok(())
}

#[test]
fn a_successor_is_started_by_a_signal_and_the_manager_told_that_it_is_the_main_process() -> Outcome
{
    let manager = Manager::new()?;
    let listen = "[ingress.s]\nkind = 'socks5'\nlisten = '127.0.0.1:0'\n";
    let mut daemon = manager.start(listen)?;
    manager.hears_of("READY=1")?;
    let ingress = daemon.ingress("s")?;
    let former = format!("MAINPID={}", daemon.id());
    daemon.signal("USR2")?;
    // Its successor logs to where it does.
    daemon.says("taken over from")?;
    assert!(daemon.ended()?.success());
    // Both say so: with `NotifyAccess=main` systemd hears of it from the former one alone.
    let (mut named, until) = (Vec::new(), Instant::now() + TIMEOUT);
    while named.len() < 2 && Instant::now() < until {
        let is_of_successor = |line: &String| line.starts_with("MAINPID=") && *line != former;
        named.extend(manager.hears()?.into_iter().filter(is_of_successor));
    }
    assert!(named.len() == 2 && named[0] == named[1], "{named:?}");
    // It reports progress, although the variable names its predecessor's process.
    manager.hears_of("WATCHDOG=1")?;
    std::net::TcpStream::connect(ingress)?;
    let successor = named[0].trim_start_matches("MAINPID=");
    assert!(Command::new("kill").args(["-s", "TERM", successor]).status()?.success());
    manager.hears_of("STOPPING=1")?;
    Ok(())
}

/// Returns a unit as `dist` has it, with these drop-ins, where the program is one that is there.
fn unit(directory: &Path, drop_ins: &[&str]) -> Outcome<PathBuf> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    let text = std::fs::read_to_string(dist.join("throughline.service"))?;
    let program = env!("CARGO_BIN_EXE_throughline");
    let path = directory.join("throughline.service");
    std::fs::write(&path, text.replace("/usr/bin/throughline", program))?;
    let folder = directory.join("throughline.service.d");
    std::fs::create_dir_all(&folder)?;
    for drop_in in drop_ins {
        std::fs::copy(dist.join("throughline.service.d").join(drop_in), folder.join(drop_in))?;
    }
    Ok(path)
}

/// Runs `systemd-analyze`, which starts nothing, on a unit; returns what it said.
fn analyze(options: &[&str], unit: &Path) -> Outcome<(bool, String)> {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(options).arg("--no-pager").arg(unit).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn the_units_are_valid_and_leave_the_daemon_little() -> Outcome {
    if installed("systemd-analyze").is_none() {
        assert!(std::env::var_os("THROUGHLINE_NO_SKIP").is_none(), "systemd is not installed");
        println!("SKIPPED: the_units_are_valid_…: systemd-analyze is not installed");
        return Ok(());
    }
    let drop_ins = [
        &[][..],
        &["manage-routes.conf"],
        &["low-ports.conf"],
        &["intercept.conf"],
        &["credential.conf"],
        &["manage-routes.conf", "credential.conf"],
        &["intercept.conf", "low-ports.conf", "credential.conf"],
    ];
    for drop_ins in drop_ins {
        let directory = tempfile::tempdir()?;
        let unit = unit(directory.path(), drop_ins)?;
        let (valid, said) = analyze(&["verify", "--man=no"], &unit)?;
        assert!(valid && said.trim().is_empty(), "{drop_ins:?}: {said}");
        // In tenths: 2.0 of 10.
        let (little, said) = analyze(&["security", "--offline=true", "--threshold=20"], &unit)?;
        assert!(little, "{drop_ins:?}: {said}");
    }
    Ok(())
}
