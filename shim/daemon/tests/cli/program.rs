//! The built program, and a site of its own for each test.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

pub(crate) fn throughline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.args(arguments).env_remove("THROUGHLINE_LOG").env_remove("XDG_RUNTIME_DIR");
    command
}

pub(crate) fn output(arguments: &[&str]) -> Output {
    throughline(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs the program, asserts its exit status and returns (stdout, stderr).
pub(crate) fn outcome(arguments: &[&str], status: i32) -> (String, String) {
    let output = output(arguments);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

pub(crate) struct Site {
    pub(crate) directory: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn keygen(&self) -> String {
        outcome(&["keygen", &self.name("k")], 0).0.trim().to_owned()
    }

    /// A configuration file with an identity and an admin socket of its own.
    pub(crate) fn config(&self, text: &str) -> String {
        let admin = self.name("t.sock");
        fs::write(self.path("t.toml"), format!("identity = 'k'\nadmin = '{admin}'\n{text}\n"))
            .unwrap();
        self.name("t.toml")
    }
}

/// A program that is killed when the test ends, even if it fails.
pub(crate) struct KillOnDrop(pub(crate) std::process::Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn terminate(process: u32) {
    signal("TERM", process);
}

pub(crate) fn signal(name: &str, process: u32) {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(status.unwrap().success());
}
