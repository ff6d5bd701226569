//! Runs a command of the administrator's for each event (`on-event`).
//!
//! One at a time, so that whoever reads them has them in their order, and not more often than [`Pace`] lets: a link
//! that flaps is no reason to fill a mailbox. What is left out is counted and told with the next one. A command has its
//! time and is killed with all that it has started; nothing else waits for it.

mod command;
mod pace;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::warn;

pub(crate) use self::command::kill_running;
use self::command::{Failure, run};
use self::pace::Pace;
use crate::admin::EventReport;
use crate::proxy::tasks::Tasks;
use throughline::{Event, Followed, Node};
use throughline_proto::throttle::LogThrottle;

/// The command that runs for each event; none where it is empty. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Hook(watch::Sender<Arc<[String]>>);

impl Hook {
    /// Begins with the events that the node has had, which are few where it has just started.
    pub(crate) fn start(node: &Node, command: Vec<String>, tasks: &Tasks) -> Self {
        let (set, command) = watch::channel(command.into());
        let (node, until) = (node.clone(), tasks.clone());
        tasks.spawn_vital("the task of on-event".to_owned(), async move {
            let events = node.events();
            // It is not to keep the node alive.
            drop(node);
            let mut runner =
                Runner { command, pace: Pace::default(), failed: LogThrottle::default() };
            for event in events.recent {
                runner.handle(&event, &until).await;
            }
            let mut live = events.live;
            loop {
                let followed = tokio::select! {
                    followed = live.next() => followed,
                    () = until.draining() => return,
                };
                match followed {
                    Some(Followed::Event(event)) => runner.handle(&event, &until).await,
                    Some(Followed::Missed(missed)) => runner.pace.leave_out(missed),
                    None => return,
                }
            }
        });
        Self(set)
    }

    /// Sets the command, for events to come.
    pub(crate) fn set(&self, command: &[String]) {
        let _ = self.0.send(command.into());
    }
}

struct Runner {
    command: watch::Receiver<Arc<[String]>>,
    pace: Pace,
    failed: LogThrottle<String>,
}

impl Runner {
    async fn handle(&mut self, event: &Event, until: &Tasks) {
        let command = self.command.borrow().clone();
        if command.is_empty() {
            return;
        }
        let Some(left_out) = self.pace.admit(Instant::now(), event.kind.wants_attention()) else {
            return;
        };
        let report = EventReport::from(event);
        if let Err(failure) = run(&command, &report, left_out, until.draining()).await {
            self.log(&command, &report, &failure);
        }
    }

    fn log(&mut self, command: &[String], event: &EventReport, failure: &Failure) {
        let text = failure.to_string();
        if self.failed.admit(Instant::now(), text.clone()).is_some() {
            let (program, event) = (command.first().map_or("", String::as_str), &event.event);
            warn!(%event, "the command of `on-event`, {program}, {text}");
        }
    }
}
