//! What the planner is told, and what it answers.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::types::{Class, LaneId};

/// The two addresses of a path: what a dial is known by.
pub type Key = (IpAddr, SocketAddr);

/// A local address under an uplink, and a locator of the peer that it can reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The uplink's name.
    pub uplink: String,
    /// The order among uplinks; lower first.
    pub order: u32,
    /// Whose address it is, and so how the uplink fails and heals.
    pub class: Class,
    /// Cold until needed.
    pub metered: bool,
    /// Somebody at this end wants the uplink free of lanes: planned work.
    pub draining: bool,
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

impl Path {
    /// Its two addresses.
    pub fn key(&self) -> Key {
        (self.local, self.remote)
    }
}

/// A lane that answers again may fall silent at once: where large packets vanish some are small by
/// chance. For so long nothing that was dialled in its place is given up: two round trips of 100 ms
/// and a timeout.
pub(super) const STEADY: Duration = Duration::from_millis(300);

/// A lane as the planner sees it.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// The lane.
    pub id: LaneId,
    /// The uplink it is on.
    pub uplink: String,
    /// Whether that is metered.
    pub metered: bool,
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Since when its acknowledgements are overdue, if they are.
    pub suspect_since: Option<Instant>,
    /// Nothing at all was acknowledged for a whole probe timeout: no longer a guess.
    pub confirmed: bool,
    /// When it was last in doubt, if it is not now.
    pub wavered: Option<Instant>,
    /// When it last moved.
    pub moved_at: Option<Instant>,
    /// Something that was sent since it last moved was acknowledged; so it is with a lane that
    /// never moved.
    pub proven: bool,
    /// No flow uses it, and nothing that it was given is unacknowledged.
    pub idle: bool,
    /// The peer wants it drained.
    pub peer_drains: bool,
}

impl LaneView {
    /// Its two addresses.
    pub fn key(&self) -> Key {
        (self.local, self.remote)
    }

    /// It answers, where it is now.
    pub fn is_up(&self) -> bool {
        self.suspect_since.is_none() && self.proven
    }

    /// It answers again, but has not done so for long.
    pub(super) fn wavers(&self, now: Instant) -> bool {
        self.suspect_since.is_none() && self.wavered.is_some_and(|at| now < at + STEADY)
    }

    /// It has fallen silent for good, as far as one can know.
    pub fn is_silent(&self) -> bool {
        self.suspect_since.is_some() && self.confirmed
    }
}

/// What the planner is told.
#[derive(Debug)]
pub struct World<'a> {
    /// Every path there could be.
    pub paths: &'a [Path],
    /// The lanes there are.
    pub lanes: &'a [LaneView],
    /// The paths that are being dialled, once for each dial.
    pub dialling: &'a [Key],
    /// Somebody waits: flows are open, or an application wants one.
    pub pressed: bool,
}

impl World<'_> {
    /// The path that a lane is on drains; or, where its locator is no longer listed, every path
    /// from its address.
    pub(super) fn is_drained(&self, lane: &LaneView) -> bool {
        let from_here = || self.paths.iter().filter(|p| p.local == lane.local);
        match from_here().find(|p| p.remote == lane.remote) {
            Some(path) => path.draining,
            None => from_here().next().is_some() && from_here().all(|p| p.draining),
        }
    }

    /// The lane's address is ours no more, or is not to be used any more.
    pub(super) fn is_gone(&self, lane: &LaneView) -> bool {
        !self.paths.iter().any(|p| p.local == lane.local)
    }
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Paths to dial.
    pub dial: Vec<Path>,
    /// Dials under way that nobody needs any more, once for each dial.
    pub abandon: Vec<Key>,
    /// Lanes to move, and where to.
    pub migrate: Vec<(LaneId, Path)>,
    /// Lanes of which the peer is to know that they drain; of no other lane.
    pub drain: Vec<LaneId>,
    /// Lanes of these that stay in use, since there is nothing else.
    pub last: Vec<LaneId>,
    /// Lanes to close: another took their place.
    pub close: Vec<LaneId>,
    /// When to ask again.
    pub wake_at: Option<Instant>,
}

impl Plan {
    /// Asks to be asked again at `at`.
    pub(super) fn wake(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}
