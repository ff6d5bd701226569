//! A lane as the planner sees it.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::path::PathKey;
use crate::types::LaneId;

/// How long a lane that answers again must go on doing so before its replacement is abandoned.
///
/// Where large packets are lost, a few small ones get through by chance, and the lane falls silent
/// again at once. 300 ms are two round trips of 100 ms and a probe timeout.
pub(super) const STABLE_AFTER: Duration = Duration::from_millis(300);

/// A lane as the planner sees it.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// The lane.
    pub id: LaneId,
    /// The name of the uplink it runs over.
    pub uplink: String,
    /// Whether that uplink is metered.
    pub metered: bool,
    /// Our address.
    pub local: IpAddr,
    /// The peer's address and UDP port.
    pub remote: SocketAddr,
    /// Since when the lane is suspect, if it is.
    pub suspected_since: Option<Instant>,
    /// The suspicion is confirmed: nothing was acknowledged for a whole probe timeout, and for longer
    /// than the path ever pauses ([`Condition::failed`](crate::lane::Condition::failed)).
    pub confirmed: bool,
    /// The suspicion is more than the peer's opinion.
    pub conclusive: bool,
    /// Small packets pass on the lane, and large ones do not ([`Condition::narrow`](crate::lane::Condition::narrow)).
    pub narrow: bool,
    /// When the last suspicion ended, if the lane is not suspect now.
    pub last_suspected: Option<Instant>,
    /// When the lane last migrated.
    pub moved_at: Option<Instant>,
    /// The lane's present path is validated (cf. RFC 9000 §8.2): something sent after its last
    /// migration was acknowledged. Always true of a lane that never migrated.
    pub validated: bool,
    /// No flow uses the lane, and nothing sent on it is unacknowledged.
    pub idle: bool,
    /// The peer drains the lane.
    pub peer_drains: bool,
}

impl LaneView {
    /// Returns the lane's two addresses.
    pub fn key(&self) -> PathKey {
        PathKey { local: self.local, remote: self.remote }
    }

    /// Returns whether the lane answers on its present path.
    pub fn is_up(&self) -> bool {
        self.suspected_since.is_none() && self.validated
    }

    /// Returns whether the lane is suspect and the suspicion is confirmed.
    pub fn is_down(&self) -> bool {
        self.suspected_since.is_some() && self.confirmed
    }

    /// Returns whether the lane answers again, but for less than [`STABLE_AFTER`].
    pub(super) fn recently_suspected(&self, now: Instant) -> bool {
        self.suspected_since.is_none()
            && self.last_suspected.is_some_and(|at| now < at + STABLE_AFTER)
    }
}
