//! Begins a task of the node anew when it panics.

use std::future::Future;
use std::time::Duration;

use tracing::error;

use throughline_proto::panics::catch;

/// How long after a panic a task is begun anew, so that one that panics each time costs little.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Runs what `start` makes to its end, and begins it anew where it panics: for tasks without which the
/// node would go on half alive. `name` says in the log what panicked.
pub(crate) async fn supervise<F: Future<Output = ()>>(name: &str, start: impl Fn() -> F) {
    while let Err(panicked) = catch(start()).await {
        error!("{name} panicked: {panicked}; it begins anew. Please report this");
        tokio::time::sleep(RESTART_DELAY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_begins_anew_and_one_that_ends_does_not() {
        let begun = Cell::new(0);
        let start = || async {
            begun.set(begun.get() + 1);
            assert!(begun.get() >= 2, "not yet");
        };
        supervise("the test", start).await;
        assert_eq!(begun.get(), 2);
    }
}
