//! What every test needs: the machine to itself, the log on demand, a median.

use std::future::Future;
use std::sync::Once;
use std::time::Duration;

use throughline::Node;
use throughline::{LaneStatus, SessionStatus};
use tokio::sync::MutexGuard;

pub use throughline_fixture::{Outcome, eventually};

static LOG: Once = Once::new();

/// Waits until no other test of this program runs: they measure time, and would measure each
/// other. `THROUGHLINE_LOG=debug` shows the log of what follows.
pub async fn alone() -> MutexGuard<'static, ()> {
    let guard = throughline_fixture::alone().await;
    LOG.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::try_from_env("THROUGHLINE_LOG");
        tracing_subscriber::fmt()
            .with_env_filter(filter.unwrap_or_else(|_| "error".into()))
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .init();
    });
    guard
}

/// Returns a run that is on the same side of `bar` as the median of three: one may be disturbed by
/// whatever else the machine does, two are not. Where the first two agree the third would change
/// nothing, and is left out.
///
/// # Errors
/// When a run fails.
pub async fn median_of_3<F>(bar: Duration, mut run: impl FnMut() -> F) -> Outcome<Duration>
where
    F: Future<Output = Outcome<Duration>>,
{
    let (first, second) = (run().await?, run().await?);
    if (first <= bar) == (second <= bar) {
        println!("    {first:?}, {second:?}");
        return Ok(if first <= bar { first.max(second) } else { first.min(second) });
    }
    let third = run().await?;
    println!("    {first:?}, {second:?}, {third:?}");
    let mut runs = [first, second, third];
    runs.sort();
    Ok(runs[1])
}

/// Returns the sessions of a node, with all its peers.
pub fn sessions(node: &Node) -> Vec<SessionStatus> {
    node.status().peers.into_iter().flat_map(|peer| peer.sessions).collect()
}

/// Returns the lanes of a node, with all its peers.
pub fn lanes(node: &Node) -> Vec<LaneStatus> {
    sessions(node).into_iter().flat_map(|session| session.lanes).collect()
}

/// The time of day's minutes and seconds (UTC), as they stand in the daemons' logs.
#[allow(
    clippy::disallowed_methods,
    reason = "the logs tell the time of day; nothing depends on it"
)]
pub fn clock() -> String {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = now.as_secs() % 3600;
    format!("{:02}:{:02}.{:03}", seconds / 60, seconds % 60, now.subsec_millis())
}
