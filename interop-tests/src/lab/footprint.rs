//! What a process takes of the machine.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a process takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Resident memory, in KiB.
    pub rss_kib: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Footprint {
    /// Returns that of the process which was started with this argument. Its number is not that by
    /// which we know it: `/proc` may be of an outer PID namespace.
    pub(super) fn of(argument: &Path) -> Option<Self> {
        let argument = argument.as_os_str().as_bytes();
        let has = |process: &PathBuf| {
            let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == argument)
        };
        let process =
            std::fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).find(has)?;
        let status = std::fs::read_to_string(process.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(Self {
            rss_kib: line.trim().trim_end_matches("kB").trim().parse().ok()?,
            descriptors: std::fs::read_dir(process.join("fd")).ok()?.count(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_an_argument_of_its_own() {
        let place = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "read line"]).stdin(std::process::Stdio::piped()).arg(place.path());
        let mut child = command.spawn().unwrap();
        let found = (0..100).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Footprint::of(place.path()).filter(|found| found.rss_kib > 0)
        });
        let _ = child.kill();
        let _ = child.wait();
        assert!(found.is_some_and(|found| found.descriptors >= 3), "{found:?}");
        assert_eq!(Footprint::of(Path::new("/no/such/argument")), None);
    }
}
