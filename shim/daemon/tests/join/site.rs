//! A server and a site with two ISPs, as they come from a shop: no key, no configuration, no daemon.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::world::{Far, PROGRAM, in_namespace, ip, two_providers};

/// More than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Runs `body` in a namespace, with the two hosts.
pub(crate) fn on_two_hosts(test: &str, body: impl FnOnce(Hosts)) {
    in_namespace(test, || {
        let far = two_providers();
        ip("route add default via 192.0.2.1 dev a0 metric 100");
        ip("route add default via 198.51.100.1 dev b0 metric 200");
        body(Hosts { directory: tempfile::tempdir().unwrap(), far });
    });
}

pub(crate) struct Hosts {
    pub(crate) directory: TempDir,
    pub(crate) far: Far,
}

impl Hosts {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The server's configuration.
    pub(crate) fn server_file(&self) -> PathBuf {
        self.path("server/throughline.toml")
    }

    /// Begins a command of the server; its daemons have their default admin socket in a directory of their own.
    pub(crate) fn at_server(&self, args: &[&str]) -> Running {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.far.pid().to_string(), "-n", PROGRAM]).args(args);
        self.begin(command, "server")
    }

    /// Begins `throughline invite` at the server.
    pub(crate) fn invite(&self, args: &[&str]) -> Running {
        let file = self.server_file();
        self.at_server(&[&["invite", "-c", file.to_str().unwrap()], args].concat())
    }

    /// Begins `throughline join` at the site, as a host of this name.
    pub(crate) fn join(&self, ticket: &str, host: &str) -> Running {
        let mut command = Command::new(PROGRAM);
        command.args(["join", ticket, "--directory"]).arg(self.path(host));
        self.begin(command, host)
    }

    /// Begins a command of the site, as a host of this name.
    pub(crate) fn at_site(&self, host: &str, args: &[&str]) -> Running {
        let mut command = Command::new(PROGRAM);
        command.args(args);
        self.begin(command, host)
    }

    fn begin(&self, mut command: Command, host: &str) -> Running {
        let run = self.path(&format!("run-{host}"));
        std::fs::create_dir_all(&run).unwrap();
        let log = tempfile::NamedTempFile::new_in(&run).unwrap().keep().unwrap().1;
        let file = File::create(&log).unwrap();
        command.env("XDG_RUNTIME_DIR", &run).stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Running { child: command.spawn().unwrap(), log }
    }
}

/// A command, and what it says.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it says this; returns all that it says.
    pub(crate) fn until(&mut self, what: &str) -> String {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            let text = self.text();
            if text.contains(what) {
                return text;
            }
            assert!(ended.is_none(), "it ended and never said {what:?}: {text}");
            assert!(began.elapsed() < DEADLINE, "it does not say {what:?}: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the ticket.
    pub(crate) fn ticket(&mut self) -> String {
        let text = self.until("Waiting for it.");
        let line = text.lines().find_map(|line| line.strip_prefix("throughline join "));
        line.unwrap_or_else(|| panic!("no ticket: {text}")).to_owned()
    }

    /// Waits until it ends; returns whether it succeeded, and what it said.
    pub(crate) fn ends(&mut self) -> (bool, String) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.success(), self.text());
            }
            assert!(began.elapsed() < DEADLINE, "it does not end: {}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns what is in a file.
pub(crate) fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
