//! What a process costs, as `/proc` has it.

use std::process::Command;
use std::time::Duration;

use interop_tests::process::Process;
use interop_tests::support::Outcome;

/// Starts this program again with other arguments.
pub(crate) fn again(name: &str, args: &[&str]) -> Outcome<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    Process::start(name, command.args(args))
}

/// What a process had used at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Resident memory in bytes.
    pub(crate) rss: u64,
    /// CPU time, user and system.
    pub(crate) cpu: Duration,
}

/// Returns what a process uses.
pub(crate) fn usage(pid: u32) -> Outcome<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb: u64 = rss.and_then(|rss| rss.split_whitespace().next()).ok_or("no VmRSS")?.parse()?;
    // Fields 14 and 15 of proc(5), in ticks of 10 ms.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Usage { rss: kb * 1024, cpu: Duration::from_millis(10 * ticks) })
}

/// Returns bytes as megabytes of 10^6.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Returns a quantile (0 to 1) of sorted values.
pub(crate) fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let index = (part * sorted.len() as f64) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
