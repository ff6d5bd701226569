//! Addresses that the peer drains.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::actions::PlanActions;
use super::input::PlanInput;
use crate::path::Path;

/// How long an address is avoided after the lane on which the peer drained it has gone, while there
/// is another address. Then it may be dialed again, and the peer may drain it again.
pub(super) const PEER_DRAIN_TTL: Duration = Duration::from_secs(60);

/// The peer's addresses on which it drained a lane, and until when they are avoided.
#[derive(Debug, Default)]
pub(super) struct PeerDrains(BTreeMap<IpAddr, Instant>);

impl PeerDrains {
    /// Returns the addresses that are avoided.
    pub(super) fn remotes(&self) -> impl Iterator<Item = IpAddr> {
        self.0.keys().copied()
    }

    /// Returns the paths, those to an address on which the peer drains lanes marked as draining.
    ///
    /// A drain by either end binds both, and for [`PEER_DRAIN_TTL`] it outlives the lane.
    pub(super) fn apply_peer_drains(
        &mut self,
        now: Instant,
        input: &PlanInput<'_>,
        actions: &mut PlanActions,
    ) -> Vec<Path> {
        for lane in input.lanes.iter().filter(|l| l.peer_drains) {
            self.0.insert(lane.remote.ip(), now + PEER_DRAIN_TTL);
        }
        self.0.retain(|_, until| now < *until);
        for lane in input.lanes.iter().filter(|l| !l.peer_drains && l.is_up()) {
            self.0.remove(&lane.remote.ip());
        }
        if let Some(until) = self.0.values().min() {
            actions.wake(*until);
        }
        let mut paths = input.paths.to_vec();
        for path in &mut paths {
            path.draining |= self.0.contains_key(&path.remote.ip());
        }
        paths
    }
}
