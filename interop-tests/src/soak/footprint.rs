//! What a daemon holds at a moment.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use throughline_daemon::admin;
use throughline_fixture::ProgramPair;

use crate::support::Outcome;

/// What memory may grow by from the first third of a soak to the last: the allocator keeps what the worst
/// moment needed, and that comes by chance.
const MEMORY_MARGIN: u64 = 8 << 20;

/// What numbers of descriptors, threads and tasks may grow by: a dial or two, and their sockets.
const MARGIN: usize = 8;

/// What a daemon holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Resident memory in bytes.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads of the system.
    pub threads: usize,
    /// Asynchronous tasks.
    pub tasks: usize,
    /// Flows.
    pub flows: usize,
    /// Lanes.
    pub lanes: usize,
}

impl Footprint {
    /// Returns the larger of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
            tasks: self.tasks.max(other.tasks),
            flows: self.flows.max(other.flows),
            lanes: self.lanes.max(other.lanes),
        }
    }

    /// Returns what is more here than in `before`, beyond what chance may do.
    pub(super) fn beyond(self, before: &Self) -> impl Iterator<Item = String> {
        let memory = before.memory + before.memory / 10 + MEMORY_MARGIN;
        let numbers = [
            ("descriptors", before.descriptors, self.descriptors),
            ("threads", before.threads, self.threads),
            ("tasks", before.tasks, self.tasks),
            ("flows", before.flows, self.flows),
            ("lanes", before.lanes, self.lanes),
        ];
        let grown = (self.memory > memory)
            .then(|| format!("{:.1} MB, from {:.1}", mb(self.memory), mb(before.memory)));
        let more = numbers.into_iter().filter(|(_, before, now)| *now > before + MARGIN);
        grown
            .into_iter()
            .chain(more.map(|(what, before, now)| format!("{now} {what}, from {before}")))
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} MB, {} descriptors, {} threads, {} tasks, {} flows, {} lanes",
            mb(self.memory),
            self.descriptors,
            self.threads,
            self.tasks,
            self.flows,
            self.lanes
        )
    }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Returns what the daemon `near` or `far` holds.
pub(super) async fn of(pair: &ProgramPair, name: &str) -> Outcome<Footprint> {
    let daemon = if name == "near" { &pair.near } else { &pair.far };
    let process = format!("/proc/{}", daemon.id());
    let status = admin::status(&socket(pair, name)).await?;
    let sessions = || status.peers.first().into_iter().flat_map(|peer| &peer.sessions);
    Ok(Footprint {
        memory: daemon.resident()?,
        descriptors: fs::read_dir(format!("{process}/fd"))?.count(),
        threads: fs::read_dir(format!("{process}/task"))?.count(),
        tasks: status.tasks,
        flows: sessions().map(|session| session.flows.len()).sum(),
        lanes: sessions().map(|session| session.lanes.len()).sum(),
    })
}

/// Returns the admin socket of the daemon `near` or `far`.
pub(super) fn socket(pair: &ProgramPair, name: &str) -> PathBuf {
    pair.directory().join(format!("{name}.sock"))
}
