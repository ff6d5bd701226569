//! Which processes the program has left running when it ended: they have no network any more, and somebody has to say
//! so.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

/// How long whoever ends together with the program may take for it.
const ENDING_TIME: Duration = Duration::from_millis(100);

/// A network namespace, as the kernel names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network(PathBuf);

impl Network {
    /// Returns that of this thread; none where there is no /proc.
    pub(super) fn of_this_thread() -> Option<Self> {
        fs::read_link("/proc/thread-self/ns/net").ok().map(Self)
    }

    /// Returns the processes in it whose end is not near.
    pub(super) async fn processes(&self) -> Vec<LeftBehind> {
        let before = self.processes_now();
        if before.is_empty() {
            return before;
        }
        sleep(ENDING_TIME).await;
        let mut still = self.processes_now();
        // By its number: one that has just begun may have become another program by now.
        still.retain(|process| before.iter().any(|other| other.pid == process.pid));
        still
    }

    fn processes_now(&self) -> Vec<LeftBehind> {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_here = |pid: &u32| {
            let network = fs::read_link(format!("/proc/{pid}/ns/net"));
            network.is_ok_and(|network| network == self.0)
        };
        pids.filter(is_here).map(LeftBehind::of).collect()
    }
}

/// A process that goes on without a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    pid: u32,
    name: String,
}

impl LeftBehind {
    fn of(pid: u32) -> Self {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self { pid, name: name.trim().to_owned() }
    }
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_process_is_in_its_network_until_it_ends() {
        let Some(network) = Network::of_this_thread() else { panic!("no /proc") };
        let own = std::process::id();
        let processes = network.processes().await;
        assert!(processes.iter().any(|process| process.pid == own), "{processes:?}");
        assert_eq!(Network(PathBuf::from("net:[1]")).processes().await, []);
    }

    #[tokio::test]
    async fn one_that_becomes_another_program_meanwhile_is_named_as_that() {
        let Some(network) = Network::of_this_thread() else { panic!("no /proc") };
        let line = "sleep 0.05; exec sleep 10";
        let mut shell = std::process::Command::new("sh").args(["-c", line]).spawn().unwrap();
        let processes = network.processes().await;
        let found = processes.iter().find(|process| process.pid == shell.id()).cloned();
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert_eq!(found.map(|process| process.name).as_deref(), Some("sleep"), "{processes:?}");
    }
}
