//! What others see of a monitored lane.

use std::time::Instant;

/// The state of a lane at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Nothing speaks against the lane.
    Alive,
    /// Acknowledgements are late, as is usual for the lane's path.
    Late,
    /// An end suspects the lane; it may be a late acknowledgement.
    Suspect,
    /// Nothing passed for a whole retransmission timeout, or our address is lost.
    Confirmed,
    /// Our direction is dead. The peer is being told, and then the lane is closed.
    OneWay,
    /// The lane was given up.
    Closed,
}

/// What a planner needs to know of a lane's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// When the lane was suspected, if it is.
    pub suspected_since: Option<Instant>,
    /// The suspicion is no longer a guess.
    pub confirmed: bool,
    /// The suspicion is confirmed, and the silence is longer than the path ever pauses: the lane's
    /// place is worth a dial.
    pub failed: bool,
    /// It is this end's own, and no mere opinion of the peer: what that waits for may wait behind our full window.
    pub ours: bool,
    /// Small packets pass on the lane and large ones do not, of ours or, as it says, of the peer's.
    pub narrow: bool,
    /// When the lane was last suspected, if it is not now.
    pub recently_suspected: Option<Instant>,
    /// When the lane last migrated.
    pub migrated_at: Option<Instant>,
    /// A packet sent since the last migration was acknowledged (RFC 9000 §8.2), or there was none.
    pub validated: bool,
}
