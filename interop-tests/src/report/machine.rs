//! The machine that a report is made on.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use super::model::Machine;

/// Looks at it, now.
pub fn look() -> Machine {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    let load = read("/proc/loadavg");
    Machine {
        begun: now(),
        ended: now(),
        commit: commit(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        processor: field(&read("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        memory_mib: memory / 1024,
        load_before: load.split(' ').next().and_then(|one| one.parse().ok()).unwrap_or(0.0),
    }
}

impl Machine {
    /// The latest run has ended.
    pub fn end(&mut self) {
        self.ended = now();
    }
}

#[allow(clippy::disallowed_methods, reason = "a date for people; nothing depends on it")]
fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Returns what `git` says, where there is one.
fn commit() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else {
        return "unknown".into();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    commit + if changed.is_some_and(|files| !files.is_empty()) { "+" } else { "" }
}
