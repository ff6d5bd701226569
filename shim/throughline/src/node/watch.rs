//! Watches the lanes of a node: whoever is interested in where it goes need not read every event.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::handle::Node;
use super::status::lane_state;
use crate::engine::sessions::Sessions;
use crate::status::LaneState;
use throughline_proto::types::{LaneId, PeerName, SessionId};

/// A lane as it is at one moment: which path it is on, and whether it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LanePath {
    /// The peer that it leads to.
    pub peer: PeerName,
    /// Its session.
    pub session: SessionId,
    /// Its number in the session.
    pub lane: LaneId,
    /// The uplink at our end, where our address belongs to one.
    pub uplink: Option<String>,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Its state.
    pub state: LaneState,
}

/// Watches the lanes of a node, from [`Node::watch_lanes`]. It does not keep the node alive.
///
/// Only the latest is kept: what comes and goes between two calls is not seen. [`Node::events`] tells of each change,
/// [`Node::status`] all there is to know of a lane.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), throughline::BuildError> {
/// # let node = throughline::Node::builder().build().await?;
/// let mut watch = node.watch_lanes();
/// tokio::spawn(async move {
///     while let Some(lanes) = watch.changed().await {
///         for lane in lanes {
///             println!("{} over {:?}: {}", lane.peer.as_str(), lane.uplink, lane.state);
///         }
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LaneWatch {
    sessions: Weak<Sessions>,
    changes: watch::Receiver<u64>,
    /// What was returned last, at most the lanes that [`Limits::lanes`](crate::Limits) admits.
    shown: Option<Vec<LanePath>>,
}

impl LaneWatch {
    /// Waits until a lane came, went, or has another path or state than when this was called last; returns the lanes
    /// there are then, by peer, session and number. The first call returns at once. `None` once the node has ended.
    /// Cancel-safe.
    pub async fn changed(&mut self) -> Option<Vec<LanePath>> {
        loop {
            self.changes.borrow_and_update();
            let sessions = self.sessions.upgrade()?;
            let lanes = lanes(&sessions);
            if self.shown.as_ref() != Some(&lanes) {
                self.shown = Some(lanes.clone());
                return Some(lanes);
            }
            if lanes.is_empty() && sessions.is_shutting_down() {
                return None;
            }
            drop(sessions);
            self.changes.changed().await.ok()?;
        }
    }
}

impl Node {
    /// Watches the lanes of this node.
    #[must_use]
    pub fn watch_lanes(&self) -> LaneWatch {
        let changes = self.context().lane_changes.subscribe();
        LaneWatch { sessions: Arc::downgrade(self.sessions()), changes, shown: None }
    }
}

fn lanes(sessions: &Sessions) -> Vec<LanePath> {
    let of_session = |session: crate::engine::session::SessionHandle| {
        session.with(|core, _| {
            let mut lanes: Vec<LanePath> = core
                .lanes
                .iter()
                .map(|(id, entry)| LanePath {
                    peer: session.name(),
                    session: session.id(),
                    lane: *id,
                    uplink: entry.uplink().map(str::to_owned),
                    local: entry.local(),
                    remote: entry.remote(),
                    state: lane_state(core, *id),
                })
                .collect();
            lanes.sort_unstable_by_key(|lane| lane.lane);
            lanes
        })
    };
    sessions.all().flat_map(of_session).collect()
}
