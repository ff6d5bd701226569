//! One run of the command of `on-event`.

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::admin::EventReport;
use throughline_proto::types::printable;

/// The process group of the command that runs; 0 where none does.
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// How long a command has.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it has when the daemon ends.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);

/// How long what it has said takes to be read once it has ended.
const SAID_TIMEOUT: Duration = Duration::from_millis(100);

/// How much of what it says on stderr is read, and of that the first line logged.
const MAX_SAID: u64 = 4096;

/// A command did not do its work.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("cannot be started: {0}; write the path of a program that this daemon's user may run")]
    Start(#[source] io::Error),
    #[error("cannot be waited for: {0}")]
    Wait(#[source] io::Error),
    #[error("failed ({status}){}", said(.stderr))]
    Status { status: ExitStatus, stderr: String },
    #[error("was not done within {} s and is killed; have it leave long work to another process", .0.as_secs())]
    TimedOut(Duration),
}

fn said(stderr: &str) -> String {
    match stderr.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", printable(line.trim())),
        None => String::new(),
    }
}

/// Runs the command with the event on its standard input, as a line of JSON, and in its environment. It is killed
/// where it takes too long, sooner once `ending` completes; all that it has started in its process group with it.
pub(super) async fn run(
    command: &[String],
    event: &EventReport,
    left_out: u64,
    ending: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut starting = Command::new(program);
    starting.args(arguments).process_group(0).kill_on_drop(true);
    starting.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    starting.env("THROUGHLINE_EVENT", &event.event).env("THROUGHLINE_TEXT", &event.text);
    starting.env("THROUGHLINE_LEFT_OUT", left_out.to_string());
    for (variable, value) in
        [("THROUGHLINE_PEER", &event.peer), ("THROUGHLINE_UPLINK", &event.uplink)]
    {
        starting.env(variable, value.as_deref().unwrap_or_default());
    }
    // What is for the service's main process alone.
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
        starting.env_remove(variable);
    }
    let mut child = starting.spawn().map_err(Failure::Start)?;
    let group = Group::of(&child);
    let outcome = tokio::select! {
        outcome = timeout(TIMEOUT, finish(&mut child, event)) => outcome.map_err(|_| Failure::TimedOut(TIMEOUT)),
        () = async { ending.await; sleep(LAST_TIMEOUT).await } => Err(Failure::TimedOut(LAST_TIMEOUT)),
    };
    match outcome {
        Ok(outcome) => {
            group.has_ended();
            outcome
        }
        Err(late) => {
            drop(group);
            let _ = timeout(LAST_TIMEOUT, child.wait()).await;
            Err(late)
        }
    }
}

/// The process group of a command that runs. Dropping it kills the command, with its children.
struct Group(i32);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
        RUNNING.store(id, Ordering::Relaxed);
        Self(id)
    }

    /// What the command has started and left behind goes on.
    fn has_ended(mut self) {
        let _ = RUNNING.compare_exchange(self.0, 0, Ordering::Relaxed, Ordering::Relaxed);
        self.0 = 0;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        kill(self.0);
    }
}

/// Kills the command that runs, if one does, with its children: this process is about to end, and nobody would look
/// after it.
pub(crate) fn kill_running() {
    kill(RUNNING.swap(0, Ordering::Relaxed));
}

fn kill(group: i32) {
    if let Some(group) = Pid::from_raw(group) {
        // It may have ended in this moment.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Waits until the command has ended, whatever it has started: that may go on, and hold its stderr open.
async fn finish(child: &mut Child, event: &EventReport) -> Result<(), Failure> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    if let Some(mut stdin) = stdin {
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        // It need not read it, and a pipe has room for it.
        let _ = stdin.write_all(&line).await;
    }
    let mut said = Vec::new();
    let status = {
        let mut reading = pin!(async {
            let Some(mut stderr) = stderr else { return };
            let _ = (&mut stderr).take(MAX_SAID).read_to_end(&mut said).await;
            // What it says beyond that does not stop it.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        });
        let ended = tokio::select! {
            status = child.wait() => Some(status),
            () = &mut reading => None,
        };
        match ended {
            Some(status) => {
                let _ = timeout(SAID_TIMEOUT, reading).await;
                status
            }
            None => child.wait().await,
        }
    };
    let stderr = String::from_utf8_lossy(&said).into_owned();
    match status.map_err(Failure::Wait)? {
        status if status.success() => Ok(()),
        status => Err(Failure::Status { status, stderr }),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Instant;

    use super::*;

    fn event() -> EventReport {
        EventReport {
            event: "lane-down".to_owned(),
            peer: Some("branch1".to_owned()),
            text: "lane down".to_owned(),
            ..EventReport::default()
        }
    }

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).into()
    }

    #[tokio::test]
    async fn it_has_the_event_in_its_input_and_its_environment_and_its_failure_says_why() {
        let script = "read line; echo \"$THROUGHLINE_EVENT/$THROUGHLINE_PEER/$THROUGHLINE_UPLINK/\
                      $THROUGHLINE_LEFT_OUT $line\" >&2; exit 3";
        let failure = run(&shell(script), &event(), 5, pending()).await.unwrap_err().to_string();
        assert!(failure.contains("(exit status: 3): lane-down/branch1//5 {\"seq\":0"), "{failure}");
        assert!(failure.contains("\"text\":\"lane down\""), "{failure}");
    }

    #[tokio::test]
    async fn it_need_not_read_and_may_say_much() {
        let script = "exec <&-; head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero";
        run(&shell(script), &event(), 0, pending()).await.unwrap();
    }

    #[tokio::test]
    async fn what_does_not_end_is_killed_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ticks");
        let script = format!("(while echo >> {}; do sleep 0.05; done) & wait", file.display());
        let began = Instant::now();
        let late = run(&shell(&script), &event(), 0, ready(())).await.unwrap_err();
        assert!(matches!(late, Failure::TimedOut(LAST_TIMEOUT)), "{late}");
        assert!(began.elapsed() >= LAST_TIMEOUT);
        let ticks = || std::fs::metadata(&file).unwrap().len();
        let before = ticks();
        assert!(before > 0);
        sleep(Duration::from_millis(500)).await;
        assert_eq!(ticks(), before, "its child runs on");
    }

    #[tokio::test]
    async fn what_it_leaves_to_another_process_is_not_waited_for_and_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("done");
        let script = format!("(sleep 1; echo >> {}) & exit 0", file.display());
        let began = Instant::now();
        run(&shell(&script), &event(), 0, pending()).await.unwrap();
        assert!(began.elapsed() < TIMEOUT / 2 && !file.exists(), "it is waited for");
        while !file.exists() {
            assert!(began.elapsed() < TIMEOUT, "it is killed");
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_named() {
        let failure = run(&["/nonexistent".to_owned()], &event(), 0, pending()).await.unwrap_err();
        assert!(failure.to_string().starts_with("cannot be started: No such file"), "{failure}");
    }
}
