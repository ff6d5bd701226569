//! What others see of a monitored lane.

use std::time::Instant;

/// The state of a lane at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Nothing speaks against the lane.
    Alive,
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
    /// When the lane was last suspected, if it is not now.
    pub recently_suspected: Option<Instant>,
    /// When the lane last migrated.
    pub migrated_at: Option<Instant>,
    /// A packet sent since the last migration was acknowledged (RFC 9000 §8.2), or there was none.
    pub validated: bool,
}
