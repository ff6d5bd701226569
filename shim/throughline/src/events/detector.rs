//! Which end detected a failure of a lane, and what it saw.

use std::time::Duration;

use throughline_proto::lane::SuspicionRule;

/// Which end suspects a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SuspectedBy {
    /// Ours: what we send on the lane is not acknowledged.
    Us {
        /// The rule that raised the suspicion.
        rule: SuspicionRule,
        /// How long nothing has been acknowledged.
        silence: Duration,
    },
    /// The peer's, as it reports on another lane: what it sends is not acknowledged.
    Peer,
}

/// Which end found that a lane works in one direction only: the end whose packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OneWayDetectedBy {
    /// Ours: our packets are lost, the peer's arrive.
    Us {
        /// Packets that arrived since the last probe.
        received: u64,
    },
    /// The peer's, as it reports on another lane: its packets are lost, ours arrive.
    Peer,
}
