//! What the daemon tells the service manager that started it (systemd's `sd_notify` protocol): that it
//! serves, that it ends, how it fares, and that it makes progress. Where the environment
//! names no `NOTIFY_SOCKET` nobody is reported.
//!
//! Where another process takes over, both say so: the manager may hear of either alone (`NotifyAccess=`).
//!
//! **Progress** is reported only after a round trip through all that flows need: a timer that fires, a worker
//! that takes a task, the I/O driver that finds a socket readable, and the locks of the node and of every
//! session. A thread of its own would go on saying that all is well while nothing else moves. Where it is
//! not reported for `WatchdogSec=`, the manager ends the daemon and starts it anew.
//!
//! **Task and owner.** [`Serving`] owns the one task; dropping it ends the task, which holds nothing.

mod store;

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use throughline::Node;
use tokio::net::UnixDatagram;
use tokio::task::JoinHandle;
use tracing::warn;

pub(crate) use self::store::{is_restarting, keep, kept};

/// How often the status line is brought up to date, and progress reported.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// Progress is reported this often at least within the time that the manager waits for it (sd_watchdog_enabled(3)
/// asks for two).
const REPORTS_PER_TIMEOUT: u32 = 2;

/// A daemon that was said to serve; dropping it says nothing more.
#[derive(Debug)]
pub(crate) struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says that the daemon serves, and from now on that it makes progress.
pub(crate) fn ready(node: &Node) -> Serving {
    let process = NotifyState::MainPid(std::process::id());
    notify(&[NotifyState::Ready, NotifyState::Status(&status_of(node)), process]);
    let timeout = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero());
    let node = node.clone();
    Serving(tokio::spawn(async move {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return;
        }
        let longest = timeout.map_or(STATUS_INTERVAL, |timeout| timeout / REPORTS_PER_TIMEOUT);
        let every = longest.min(STATUS_INTERVAL);
        let made = report(
            every,
            || status_of(&node),
            |status| {
                let status = status.map(NotifyState::Status);
                let progress = timeout.map(|_| NotifyState::Watchdog);
                notify(&[status, progress].into_iter().flatten().collect::<Vec<_>>());
            },
        );
        if let Err(error) = made.await {
            warn!("the service manager is not reported of progress any more: {error}");
        }
    }))
}

/// Says that the configuration is read again. [`reloaded`] has to follow.
pub(crate) fn reloading() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    // systemd wants the time, to know which of its requests this answers.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => warn!("the time is not known, so no reload is reported: {error}"),
    }
}

/// Says that the daemon serves again, with what was read or without it.
pub(crate) fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// Says that another process serves in the place of this one, which is about to end.
pub(crate) fn succeeded_by(process: u32) {
    notify(&[NotifyState::MainPid(process)]);
}

/// Says that the daemon ends, and why.
pub(crate) fn stopping(reason: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(&format!("{reason}: shutting down"))]);
}

/// Says that the daemon cannot start, and why.
pub(crate) fn failed(reason: &str) {
    // One line: a second would be read as another assignment.
    let line = reason.lines().next().unwrap_or_default();
    notify(&[NotifyState::Status(line)]);
}

fn notify(states: &[NotifyState<'_>]) {
    if states.is_empty() {
        return;
    }
    if let Err(error) = sd_notify::notify(states) {
        warn!("the service manager cannot be reported ({states:?}): {error}");
    }
}

fn status_of(node: &Node) -> String {
    let (reached, known) = node.reached_peers();
    let flows = node.live_flows();
    format!("{reached} of {known} peers reached, {flows} flows")
}

/// Reports after each round trip: `every` so often, and the status where it is another one.
///
/// # Errors
/// A socket pair cannot be made or used.
async fn report(
    every: Duration,
    status: impl Fn() -> String,
    notify: impl Fn(Option<&str>),
) -> io::Result<()> {
    let (near, far) = UnixDatagram::pair()?;
    let mut last = String::new();
    loop {
        tokio::time::sleep(every).await;
        round_trip(&near, &far).await?;
        // Takes the locks of the node and of every session.
        let now = status();
        notify((now != last).then_some(now.as_str()));
        last = now;
    }
}

/// Completes when a worker has taken a task and the I/O driver has found a socket readable.
async fn round_trip(near: &UnixDatagram, far: &UnixDatagram) -> io::Result<()> {
    tokio::spawn(async {}).await.map_err(io::Error::other)?;
    let mut byte = [0];
    // The reader first finds nothing there, so that it has to be woken.
    let (received, sent) = tokio::join!(far.recv(&mut byte), near.send(&[0]));
    sent?;
    received.map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const TEST_INTERVAL: Duration = Duration::from_millis(10);

    #[test]
    fn progress_is_told_while_workers_run_and_not_while_they_are_stuck() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let reported = Arc::new(AtomicUsize::new(0));
        let (count, last_status) = (Arc::clone(&reported), Arc::new(AtomicUsize::new(0)));
        let statuses = Arc::clone(&last_status);
        runtime.spawn(report(
            TEST_INTERVAL,
            || "well".to_owned(),
            move |status| {
                count.fetch_add(1, Ordering::SeqCst);
                statuses.fetch_add(usize::from(status.is_some()), Ordering::SeqCst);
            },
        ));
        let wait_for = |more: usize| {
            let (wanted, until) =
                (reported.load(Ordering::SeqCst) + more, std::time::Instant::now());
            while reported.load(Ordering::SeqCst) < wanted {
                assert!(until.elapsed() < Duration::from_secs(10), "no progress is reported");
                std::thread::yield_now();
            }
        };
        wait_for(3);
        assert_eq!(last_status.load(Ordering::SeqCst), 1, "the same status is reported once");
        // Each worker waits for a word from here, as one that waits for a lock.
        let (stuck, arrived) = mpsc::channel();
        let release: Vec<mpsc::Sender<()>> = (0..2)
            .map(|_| {
                let (release, released) = mpsc::channel();
                let stuck = stuck.clone();
                runtime.spawn(async move {
                    stuck.send(()).unwrap();
                    let _ = released.recv();
                });
                release
            })
            .collect();
        arrived.recv().unwrap();
        arrived.recv().unwrap();
        let before = reported.load(Ordering::SeqCst);
        std::thread::sleep(TEST_INTERVAL * 20);
        assert_eq!(reported.load(Ordering::SeqCst), before, "reported although nothing runs");
        drop(release);
        wait_for(3);
    }
}
