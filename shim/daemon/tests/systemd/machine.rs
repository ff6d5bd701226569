//! A real systemd, with what a test puts into it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use throughline_fixture::Outcome;
use throughline_fixture::process::installed;

/// How long systemd has to start, and anything that is waited for there.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is started: systemd's own basics, and the bus by which `systemctl` asks as another user than root.
const TARGET: &str =
    "[Unit]\nRequires=basic.target dbus.service\nAfter=basic.target dbus.service\n";

/// A systemd that runs; see `boot.sh`. It ends with its handle.
pub(crate) struct Machine {
    unshare: Child,
    /// Its first process, by the number that it has here.
    init: u32,
    /// Its control group, which outlives it.
    group: String,
    _directory: tempfile::TempDir,
}

impl Machine {
    /// Starts it with a copy of `files`, each with where it is to be; `None` where it cannot run here.
    ///
    /// # Errors
    /// When it does not start, although it could.
    pub(crate) fn boot(test: &str) -> Outcome<Option<Self>> {
        if let Some(reason) = reason_against() {
            // Not through libtest, which hides the output of tests that pass.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
            return Ok(None);
        }
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("system"))?;
        std::fs::create_dir(path("units"))?;
        std::fs::write(path("units/test.target"), TARGET)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/boot.sh");
        let group = format!("throughline-{}-{test:.20}", std::process::id());
        let mut unshare = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "--mount", "--ipc", "--uts"])
            .arg("bash")
            .args([script, path("system"), path("units")])
            .arg(&group)
            .stdin(Stdio::null())
            .spawn()?;
        let init = match first_child(&mut unshare) {
            Ok(init) => init,
            Err(error) => {
                let _ = unshare.kill();
                return Err(error);
            }
        };
        let machine = Self { unshare, init, group, _directory: directory };
        machine.until("systemd runs", |machine| {
            let state = machine.run("systemctl is-system-running");
            state.is_ok_and(|state| ["running", "degraded"].contains(&state.trim()))
        })?;
        Ok(Some(machine))
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        let init = self.init.to_string();
        command.args(["-t", &init, "-m", "-p", "-i", "-u", "-C", "-r", "-w"]);
        command.stdin(Stdio::null());
        command
    }

    fn output(&self, line: &str) -> Outcome<Output> {
        Ok(self.enter().args(["bash", "-c", line]).output()?)
    }

    /// Runs a line of shell in it; returns what it prints.
    pub(crate) fn run(&self, line: &str) -> Outcome<String> {
        let output = self.output(line)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(said),
            false => {
                let error = String::from_utf8_lossy(&output.stderr);
                let log = self.output("journalctl --sync; journalctl --no-pager -n 30")?;
                let log = String::from_utf8_lossy(&log.stdout);
                Err(format!("`{line}`: {}: {said}{error}{log}", output.status).into())
            }
        }
    }

    /// Copies a file into it.
    pub(crate) fn install(&self, from: &Path, to: &str, mode: &str) -> Outcome {
        // Through its standard input: what is below our own /tmp it does not see.
        let file = std::fs::File::open(from)?;
        let line = format!("install -D -m {mode} /dev/stdin {to}");
        let done = self.enter().args(["bash", "-c", &line]).stdin(file).status()?;
        match done.success() {
            true => Ok(()),
            false => Err(format!("{} cannot be installed as {to}", from.display()).into()),
        }
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, to: &str, text: &str) -> Outcome {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        self.install(file.path(), to, "644")
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Outcome {
        let began = Instant::now();
        while !is_so(self) {
            if began.elapsed() > TIMEOUT {
                let log = self.run("journalctl --no-pager -n 60").unwrap_or_default();
                return Err(format!("never: {what}\n{log}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Returns a property of the service.
    pub(crate) fn property(&self, name: &str) -> Outcome<String> {
        let value = self.run(&format!("systemctl show throughline --value --property={name}"))?;
        Ok(value.trim().to_owned())
    }

    /// Returns what the service has logged.
    pub(crate) fn journal(&self) -> Outcome<String> {
        self.run("journalctl --sync; journalctl --no-pager -u throughline")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its child, the first process, ends with it, and all the others with that.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let remove = format!(
            "mount -t cgroup2 c /mnt && for try in 1 2 3 4 5; do \
             find /mnt/{0} -depth -type d -exec rmdir {{}} + && break; sleep 0.2; done",
            self.group
        );
        let removed = Command::new("unshare").args(["--mount", "sh", "-c", &remove]).output();
        if !removed.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("the control group {} is left: {removed:?}", self.group);
        }
    }
}

/// Returns the only child of a process.
fn first_child(process: &mut Child) -> Outcome<u32> {
    let (id, began) = (process.id(), Instant::now());
    while began.elapsed() < TIMEOUT {
        if let Some(status) = process.try_wait()? {
            return Err(format!("systemd does not start: {status}").into());
        }
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        if let Some(child) = children.split_whitespace().next() {
            return Ok(child.parse()?);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("unshare has no child".into())
}

/// Returns why systemd cannot run here, if it cannot.
fn reason_against() -> Option<String> {
    let programs = ["unshare", "nsenter", "systemctl", "dbus-daemon"];
    if let Some(missing) = programs.into_iter().find(|name| installed(name).is_none()) {
        return Some(format!("`{missing}` is not installed"));
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        return Some("systemd is not installed".to_owned());
    }
    let mut tried = Command::new("unshare");
    tried.args(["--pid", "--fork", "--mount", "sh", "-c"]);
    tried.arg(
        "mount -t tmpfs t /mnt && mount -t cgroup2 c /mnt && tried=$(mktemp -d /mnt/tried.XXXXXX) && \
         rmdir $tried && unshare --cgroup true",
    );
    let output = tried.stdin(Stdio::null()).output().ok()?;
    match output.status.success() {
        true => None,
        false => {
            Some("this is not root, or root may not mount or make control groups here".to_owned())
        }
    }
}

/// Returns a file of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
