//! Real programs: the built `throughline`, and whatever else a test starts. What is started is
//! ended with its handle.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::support::Outcome;

/// Names the program to use instead of a built one.
pub const PROGRAM: &str = "THROUGHLINE_PROGRAM";

/// The built program, made anew where it is missing or older than its sources: `cargo test -p
/// interop-tests` builds the library only. [`PROGRAM`] in the environment names another.
///
/// # Errors
/// When it cannot be built.
pub fn throughline() -> Outcome<PathBuf> {
    if let Some(program) = std::env::var_os(PROGRAM) {
        return Ok(program.into());
    }
    let this = std::env::current_exe()?;
    // target/PROFILE/BINARY or target/PROFILE/deps/TEST
    let directory = this.parent().ok_or("no target directory")?;
    let directory = if directory.ends_with("deps") { directory.parent() } else { Some(directory) };
    let directory = directory.ok_or("no target directory")?;
    let program = directory.join("throughline");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = program.metadata().and_then(|m| m.modified()).ok();
    if built.is_some_and(|built| newest(&root.join("shim/src")) <= built) {
        return Ok(program);
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "-p", "throughline-daemon", "--bin", "throughline"]);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    let built =
        cargo.status().map_err(|error| format!("cannot start cargo to build it: {error}"))?;
    if !built.success() {
        return Err("the program `throughline` cannot be built".into());
    }
    Ok(program)
}

/// When the newest file below `directory` was written.
fn newest(directory: &Path) -> SystemTime {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let times = entries.map(|entry| match entry.path() {
        path if path.is_dir() => newest(&path),
        path => path.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH),
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Where a program is installed, if it is: in `PATH` or where administrators' programs are.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// A TCP port of loopback that is free now, for a program that cannot say which one it took.
///
/// # Errors
/// When there is none.
pub fn free_tcp_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The same for UDP.
///
/// # Errors
/// When there is none.
pub fn free_udp_port() -> Outcome<u16> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A running program whose standard error is kept.
pub struct Process {
    name: String,
    child: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Outcome<Self> {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                shared.0.lock().unwrap_or_else(|e| e.into_inner()).push(line);
                shared.1.notify_all();
            }
        });
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits for a line that holds `part`.
    ///
    /// # Errors
    /// When it does not come within 10 s; shows what was said.
    pub fn says(&self, part: &str) -> Outcome<String> {
        let until = Instant::now() + Duration::from_secs(10);
        let mut lines = self.log.0.lock().unwrap_or_else(|e| e.into_inner());
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(part)) {
                return Ok(line.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let said = lines.join("\n");
                return Err(format!("{} did not say `{part}`, but:\n{said}", self.name).into());
            }
            let waited = self.log.1.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    /// The TCP address that a daemon says its ingress `name` listens on.
    ///
    /// # Errors
    /// When it does not say so.
    pub fn ingress(&self, name: &str) -> Outcome<SocketAddr> {
        let line = self.says(&format!("ingress=\"{name}\""))?;
        let addr = line.split("addr=").nth(1).and_then(|rest| rest.split_whitespace().next());
        Ok(addr.ok_or("no address")?.parse()?)
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        self.log.0.lock().unwrap_or_else(|e| e.into_inner()).join("\n")
    }

    /// Ends it at once, as a crash does (SIGKILL).
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, self.log());
        }
    }
}
