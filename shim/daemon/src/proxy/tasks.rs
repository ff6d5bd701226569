//! The tasks of the proxy and their shutdown: first no new connections ([`Tasks::drain`]), then, at
//! the deadline, none at all ([`Tasks::stop`]).

use std::future::Future;
use std::task::{Context, Poll, Waker};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use throughline_proto::panics::{catch, catch_call};

/// A set of tasks that end together. Clones are handles to the same set.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    draining: CancellationToken,
    stopped: CancellationToken,
    broken: CancellationToken,
}

impl Tasks {
    /// Spawns a task. [`Tasks::stop`] drops it at its current await point, and its sockets close.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        self.tracker.spawn(async move {
            stopped.run_until_cancelled(task).await;
        });
    }

    /// Spawns a task without which the daemon is of no use, such as one that accepts connections. Where it
    /// panics, [`Tasks::broken`] completes.
    pub fn spawn_vital(&self, name: String, task: impl Future<Output = ()> + Send + 'static) {
        let broken = self.broken.clone();
        self.spawn(async move {
            if let Err(panicked) = catch(task).await {
                error!("{name} panicked: {panicked}. Please report this");
                broken.cancel();
            }
        });
    }

    /// Completes when a [vital](Self::spawn_vital) task has panicked. Cancel-safe.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Spawns a task after running it to its first await point, so that tasks begin in call order.
    pub fn spawn_in_order(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut task = Box::pin(task);
        // No wake-up is lost: a spawned task is always polled once. A panic ends this task alone, as it
        // would later, and not whoever accepts connections.
        match catch_call(|| task.as_mut().poll(&mut Context::from_waker(Waker::noop()))) {
            Ok(Poll::Pending) => self.spawn(task),
            Ok(Poll::Ready(())) => {}
            Err(panicked) => error!(
                "a connection's task panicked: {panicked}; the others go on. Please report this"
            ),
        }
    }

    /// Completes when no new connection may be accepted any more. Cancel-safe.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Asks the tasks to accept nothing new.
    pub fn drain(&self) {
        self.draining.cancel();
        self.tracker.close();
    }

    /// Ends the tasks that still run.
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
    use std::sync::Arc;
    use std::time::Duration;

    use parking_lot::Mutex;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ordered_tasks_begin_in_call_order_and_continue_after_a_wait() {
        let (tasks, log) = (Tasks::default(), Arc::new(Mutex::new(Vec::new())));
        for number in 0..100 {
            let log = Arc::clone(&log);
            tasks.spawn_in_order(async move {
                log.lock().push(number);
                tokio::time::sleep(Duration::from_millis(1)).await;
                log.lock().push(100);
            });
        }
        tasks.drain();
        tasks.ended().await;
        let log = log.lock();
        let begun: Vec<_> = log.iter().filter(|n| **n < 100).copied().collect();
        assert_eq!((begun, log.len()), ((0..100).collect(), 200));
    }

    #[tokio::test]
    async fn a_task_that_panics_at_once_or_later_takes_nobody_along() {
        let tasks = Tasks::default();
        tasks.spawn_in_order(async { panic!("at once") });
        tasks.spawn_in_order(async {
            tokio::task::yield_now().await;
            panic!("later")
        });
        let (done, wait) = tokio::sync::oneshot::channel();
        tasks.spawn_in_order(async move { done.send(()).unwrap() });
        wait.await.unwrap();
        tasks.drain();
        tasks.ended().await;
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_is_reported_and_one_that_ends_is_not() {
        let tasks = Tasks::default();
        tasks.spawn_vital("the first".to_owned(), async {});
        tokio::task::yield_now().await;
        assert!(!tasks.broken.is_cancelled());
        tasks.spawn_vital("the second".to_owned(), async { panic!("a fault") });
        tasks.broken().await;
    }

    #[tokio::test]
    async fn draining_lets_tasks_continue_and_stopping_ends_them() {
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
