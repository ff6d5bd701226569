//! The tasks of the edges, and how they end: first no new connections ([`Tasks::drain`]), then, when
//! the deadline has passed, no connections ([`Tasks::stop`]).

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns the tasks of the edges and ends them together. Clones are handles to the same set.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    draining: CancellationToken,
    stopped: CancellationToken,
}

impl Tasks {
    /// Spawns a task, which is dropped where it stands at [`Tasks::stop`]; its sockets close.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        self.tracker.spawn(async move {
            stopped.run_until_cancelled(task).await;
        });
    }

    /// Completes when no new connection is to be accepted any more. Cancel-safe.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// From now on nothing new is accepted.
    pub fn drain(&self) {
        self.draining.cancel();
        self.tracker.close();
    }

    /// Ends what still runs.
    pub fn stop(&self) {
        self.drain();
        self.stopped.cancel();
    }

    /// Waits until every task has ended; call [`Tasks::drain`] before. Cancel-safe.
    pub async fn ended(&self) {
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn draining_lets_tasks_go_on_and_stopping_ends_them() {
        let tasks = Tasks::default();
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(async move {
            let _held = done;
            pending::<()>().await;
        });
        tasks.drain();
        tasks.draining().await;
        assert!(!tasks.tracker.is_empty());
        tasks.stop();
        tasks.ended().await;
        assert!(wait.await.is_err());
    }
}
