//! Speaks to nftables, through nft(8), and to the kernel's routing policy, through ip(8).
//!
//! The program and not a library: it is what an administrator reads and removes the same rules with, its language
//! is stable where netlink's attributes differ by kernel, and it is one atomic transaction for each script. The
//! crate `nftables` would start it as well, with the rules as JSON that nobody reads.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Bounds a call, which takes milliseconds; on a machine that is busy with something else it may take longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a call that blocks is looked at.
const BLOCKING_POLL: Duration = Duration::from_millis(2);

/// Where it is, where `PATH` does not say: it is a program of the administrator's, in no user's `PATH`.
const NFT: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];
const IP: [&str; 3] = ["ip", "/usr/sbin/ip", "/sbin/ip"];

/// Lines of an error of nft's that are shown. It points at the place in a second and a third line.
const SHOWN_LINES: usize = 3;

/// The rules of an interception cannot be read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InterceptError {
    /// nft(8) is not there.
    #[error("connections cannot be intercepted: `nft` cannot be started: {0}; install nftables")]
    NoProgram(#[source] io::Error),
    /// ip(8) is not there.
    #[error("datagrams cannot be intercepted: `ip` cannot be started: {0}; install iproute2")]
    NoIp(#[source] io::Error),
    /// ip(8) refuses the routes.
    #[error("datagrams cannot be intercepted: ip refuses `ip {0}`: {1}")]
    Unroutable(String, String),
    /// The process may not change the rules.
    #[error(
        "connections cannot be intercepted: not permitted; give the daemon CAP_NET_ADMIN (with systemd by the \
         drop-in dist/throughline.service.d/intercept.conf), or remove the ingress of kind \"intercept\""
    )]
    Denied,
    /// A user of the configuration does not exist.
    #[error("connections cannot be intercepted: there is no such user in `users`: {0}")]
    NoUser(String),
    /// nft(8) refuses the rules.
    #[error(
        "connections cannot be intercepted: nft refuses the rules: {0}; it needs nftables 0.9.3 and Linux 5.7 \
         (for `cgroups` 5.13) with NAT, fib and socket expressions"
    )]
    Refused(String),
    /// nft(8) or ip(8) does not end.
    #[error("connections cannot be intercepted: {0} does not answer within {seconds} s; try again", seconds = CALL_TIMEOUT.as_secs())]
    TimedOut(&'static str),
}

/// Runs a script as one transaction.
///
/// # Errors
/// Nothing of it is in force.
pub(super) async fn run(script: &str) -> Result<(), InterceptError> {
    nft(&["-f", "-"], script).await.map(drop)
}

/// Tries a script, and changes nothing.
///
/// # Errors
/// It would not work.
pub(super) async fn check(script: &str) -> Result<(), InterceptError> {
    nft(&["-c", "-f", "-"], script).await.map(drop)
}

/// Returns the table as it is; none if there is none.
///
/// # Errors
/// It cannot be read.
pub(super) async fn list(table: &str) -> Result<Option<String>, InterceptError> {
    match nft(&["list", "table", "inet", table], "").await {
        Ok(listing) => Ok(Some(listing)),
        Err(InterceptError::Refused(error)) if error.contains("No such file") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs a script as one transaction, and blocks this thread meanwhile: for what has no runtime any more.
///
/// # Errors
/// Nothing of it is in force.
pub fn run_blocking(script: &str) -> Result<(), InterceptError> {
    let output = call_blocking(&NFT, &["-f", "-"], script)?.map_err(InterceptError::NoProgram)?;
    outcome(&output).map(drop)
}

/// Runs ip(8) with these arguments; returns what it prints.
///
/// # Errors
/// It does not do so.
pub(super) async fn ip(line: &str) -> Result<String, InterceptError> {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let output = call(&IP, &arguments, "").await?.map_err(InterceptError::NoIp)?;
    outcome_of_ip(line, &output)
}

/// Runs ip(8) with these arguments, and blocks this thread meanwhile.
///
/// # Errors
/// It does not do so.
pub fn ip_blocking(line: &str) -> Result<String, InterceptError> {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let output = call_blocking(&IP, &arguments, "")?.map_err(InterceptError::NoIp)?;
    outcome_of_ip(line, &output)
}

async fn nft(arguments: &[&str], script: &str) -> Result<String, InterceptError> {
    let output = call(&NFT, arguments, script).await?;
    outcome(&output.map_err(InterceptError::NoProgram)?)
}

/// Calls a program; the inner error is that it cannot be started.
async fn call(
    programs: &[&'static str; 3],
    arguments: &[&str],
    script: &str,
) -> Result<io::Result<Output>, InterceptError> {
    let started = started(programs, |program| {
        let mut command = tokio::process::Command::from(command(program, arguments));
        command.kill_on_drop(true).spawn()
    });
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Ok(Err(error)),
    };
    let input = child.stdin.take();
    let answered = async {
        if let Some(mut input) = input {
            // Whether it has read all of it, its status says.
            let _ = input.write_all(script.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    timeout(CALL_TIMEOUT, answered).await.map_err(|_| InterceptError::TimedOut(programs[0]))
}

/// Calls a program, and blocks this thread meanwhile; the inner error is that it cannot be started.
fn call_blocking(
    programs: &[&'static str; 3],
    arguments: &[&str],
    script: &str,
) -> Result<io::Result<Output>, InterceptError> {
    let mut child = match started(programs, |program| command(program, arguments).spawn()) {
        Ok(child) => child,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(mut input) = child.stdin.take() {
        // Whether it has read all of it, its status says. What it is given and what it says fits into a pipe.
        let _ = input.write_all(script.as_bytes());
    }
    let deadline = Instant::now() + CALL_TIMEOUT;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(InterceptError::TimedOut(programs[0]));
        }
        std::thread::sleep(BLOCKING_POLL);
    }
    Ok(child.wait_with_output())
}

/// Starts the program wherever it is.
fn started<C>(programs: &[&str], start: impl Fn(&str) -> io::Result<C>) -> io::Result<C> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for program in programs {
        match start(program) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => last = error,
            done => return done,
        }
    }
    Err(last)
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn outcome(output: &Output) -> Result<String, InterceptError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(failure(&error))
}

fn outcome_of_ip(line: &str, output: &Output) -> Result<String, InterceptError> {
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else if error.contains("Operation not permitted") {
        Err(InterceptError::Denied)
    } else {
        Err(InterceptError::Unroutable(line.to_owned(), error.trim().to_owned()))
    }
}

fn failure(error: &str) -> InterceptError {
    let shown = error.lines().take(SHOWN_LINES).map(str::trim).collect::<Vec<_>>().join(" ");
    if error.contains("Operation not permitted") || error.contains("you must be root") {
        InterceptError::Denied
    } else if error.contains("User does not exist") {
        InterceptError::NoUser(shown)
    } else {
        InterceptError::Refused(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nft_says_becomes_an_error_with_its_cure() {
        let denied = "Error: Could not process rule: Operation not permitted\ntable inet t\n^^^\n";
        assert!(failure(denied).to_string().contains("CAP_NET_ADMIN"));
        let user = "/dev/stdin:5:14-20: Error: User does not exist\n\t\tmeta skuid \"bob\"\n";
        assert!(failure(user).to_string().contains("no such user"));
        let other = failure("a\nb\nc\nd\n").to_string();
        assert!(other.contains("a b c;") && other.contains("Linux 5.7"), "{other}");
    }
}
