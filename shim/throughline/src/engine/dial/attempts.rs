//! The dials of a session that are under way, side by side.

use tokio::task::{AbortHandle, JoinSet};
use tracing::error;

use super::attempt::{Attempt, DialError};
use crate::engine::lane::NewLane;
use crate::engine::quic::close;
use throughline_proto::path::PathKey;
use throughline_proto::types::LaneId;
use throughline_uplinks::Device;

/// The dials under way. Dropping it aborts them.
#[derive(Default)]
pub(super) struct Attempts {
    tasks: JoinSet<(LaneId, Result<NewLane, DialError>)>,
    /// One for each task, but for those that were abandoned.
    dials: Vec<Dial>,
}

/// A dial under way.
struct Dial {
    lane: LaneId,
    path: PathKey,
    device: Device,
    task: AbortHandle,
}

impl Attempts {
    /// Returns whether no dial is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.dials.is_empty()
    }

    /// Returns the paths that are being dialed.
    pub(super) fn paths(&self) -> Vec<PathKey> {
        self.dials.iter().map(|dial| dial.path).collect()
    }

    /// Starts a dial.
    pub(super) fn start(&mut self, attempt: Attempt) {
        let (lane, path) = (attempt.hello.lane, attempt.path.key());
        let device = attempt.device.clone();
        let task = self.tasks.spawn(async move { (lane, attempt.run().await) });
        self.dials.push(Dial { lane, path, device, task });
    }

    /// Gives up the dial of a path; nothing more is heard of it.
    pub(super) fn abandon(&mut self, path: PathKey) {
        if let Some(at) = self.dials.iter().position(|dial| dial.path == path) {
            self.dials.swap_remove(at).task.abort();
        }
    }

    /// Aborts the dials that cannot succeed any more: those whose path is not offered over the
    /// interface that they were bound to. They [end](Self::ended) without a result.
    pub(super) fn abort_outdated(&self, is_offered: impl Fn(PathKey, &Device) -> bool) {
        for dial in self.dials.iter().filter(|dial| !is_offered(dial.path, &dial.device)) {
            dial.task.abort();
        }
    }

    /// Waits for a dial to end and returns what came of it; `None` where it was aborted, or panicked.
    /// Cancel-safe. Waits for ever while no dial is under way.
    pub(super) async fn ended(&mut self) -> Option<(PathKey, Result<NewLane, DialError>)> {
        loop {
            match self.tasks.join_next().await {
                Some(Ok((lane, result))) => {
                    if let Some(at) = self.dials.iter().position(|dial| dial.lane == lane) {
                        return Some((self.dials.swap_remove(at).path, result));
                    }
                    // Abandoned in the moment in which it succeeded.
                    if let Ok(lane) = result {
                        close::close(&lane.connection, close::REPLACED, "another lane was first");
                    }
                }
                Some(Err(ended)) => {
                    if ended.is_panic() {
                        error!("a dial panicked; others go on. Please report this");
                    }
                    self.dials.retain(|dial| dial.task.id() != ended.id());
                    return None;
                }
                None => return std::future::pending().await,
            }
        }
    }
}
