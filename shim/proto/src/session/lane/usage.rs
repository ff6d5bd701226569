//! How the two ends want a lane to be used. Each advertises it; the stricter one applies.

use crate::selection::Cost;
use crate::types::LaneId;
use crate::wire::fact::LaneUse;

/// The advertisements of both ends for one lane.
#[derive(Debug)]
pub(in crate::session) struct Usage {
    /// Our cost: advertised, or known to both ends when the lane attached.
    cost: Cost,
    /// Our latest advertisement.
    ours: Option<LaneUse>,
    /// The peer's latest advertisement.
    peers: Option<LaneUse>,
}

impl Usage {
    /// A lane of which nothing has been advertised.
    pub(super) fn new(cost: Cost) -> Self {
        Self { cost, ours: None, peers: None }
    }

    /// Returns the larger of the two costs.
    pub(in crate::session) fn cost(&self) -> Cost {
        self.cost.max(self.peers.map_or(Cost::FREE, |peers| Cost::from_wire(peers.cost)))
    }

    /// Returns whether either end is about to close the lane.
    pub(in crate::session) fn is_draining(&self) -> bool {
        self.ours.is_some_and(|ours| ours.draining) || self.peer_drains()
    }

    /// Returns whether the peer is about to close the lane.
    pub(in crate::session) fn peer_drains(&self) -> bool {
        self.peers.is_some_and(|peers| peers.draining)
    }

    /// Returns our latest advertisement.
    pub(in crate::session) fn advertised(&self) -> Option<LaneUse> {
        self.ours
    }

    /// Makes a new advertisement if it says anything new. Unadvertised, a lane is free and stays.
    pub(in crate::session) fn advertise(
        &mut self,
        lane: LaneId,
        cost: Cost,
        draining: bool,
    ) -> bool {
        let (version, last) =
            self.ours.map_or((0, (0, false)), |ours| (ours.version, (ours.cost, ours.draining)));
        let cost_byte = cost.to_wire();
        if last == (cost_byte, draining) {
            return false;
        }
        self.cost = cost;
        self.ours = Some(LaneUse { lane, version: version + 1, cost: cost_byte, draining });
        true
    }

    /// Takes an advertisement of the peer; returns whether it is newer than the last.
    pub(in crate::session) fn receive(&mut self, peers: LaneUse) -> bool {
        let newer = self.is_news(&peers);
        if newer {
            self.peers = Some(peers);
        }
        newer
    }

    /// Returns whether an advertisement of the peer is newer than the last.
    pub(in crate::session) fn is_news(&self, peers: &LaneUse) -> bool {
        self.peers.is_none_or(|known| known.version < peers.version)
    }
}
