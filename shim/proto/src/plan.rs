//! Which lanes a session's initiator dials, moves, drains and closes (rungs 2 and 3 of the ladder).
//!
//! The planner is asked whenever something changed or is due. It wants as many lanes as there are
//! free uplinks (or prefixes of the peer, if those are more), disjoint at both ends where that
//! can be (`target`). It never takes a lane down because it is silent while nothing better is
//! there, closes none that answers without draining it first (but a twin), and dials no metered uplink
//! while a lane is up.
//!
//! A lane is in one of four states, and may besides be on its way out:
//!
//! ```text
//!        overdue              a probe timeout               moved
//!   up ───────────▶ doubted ─────────────────▶ silent ───────────────▶ moving
//!    ▲                 │ answers                  │ answers               │ answers
//!    └─────────────────┴──────────────────────────┴───────────────────────┘
//!
//! a lane is missing            → dial the most disjoint path, again with growing patience   dial
//! no lane is up at all         → dial every path at once, at a steady pace                  dial
//! a lane is silent, none up    → move it to an uplink that has no lane                   migrate
//! a lane's address is gone     → move it, also while others are up                       migrate
//! a move does not get through  → a fresh dial races it                                      dial
//! a lane was replaced          → close it                                                replace
//! its uplink drains, its address is deprecated, the peer drains it, it is one too many, or it
//! costs and is not needed      → drain it, and close it when it is empty                   leave
//! ```
//!
//! What is only a guess (*doubted*) moves, dials and closes nothing. Where a part has failed of
//! late its lanes are on probation ([`Planner::standing`]): they are wanted like any other, so that
//! they are warm and watched, and the peer and our own flows are told to live elsewhere.

mod dial;
mod leave;
mod locators;
mod migrate;
mod prefix;
mod replace;
mod target;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

pub use locators::{MAX_LEARNED, learned};
pub use prefix::Prefix;
pub use target::wanted;
pub use view::{Key, LaneView, Path, Plan, World};

use self::dial::Attempts;
use self::leave::Leaving;
use crate::holddown::{HoldDown, Part, Seen, Standing};
use crate::types::{Class, LaneId};

/// The most lanes a session keeps.
pub const MAX_LANES: usize = 4;

/// Beside lanes that may answer, none is dialled beyond so many: those wanted, as many silent ones
/// and as many on their way out. An acceptor takes 16.
pub const MOST_LANES: usize = 3 * MAX_LANES;

/// Remembers what was tried, and what failed.
#[derive(Debug, Default)]
pub struct Planner {
    /// Spreads the dials of many sessions; 0 spreads nothing.
    seed: u64,
    attempts: HashMap<Key, Attempts>,
    down_since: Option<Instant>,
    was_up: bool,
    /// Since when a free lane is up and trusted.
    free_since: Option<Instant>,
    leaving: BTreeMap<LaneId, Leaving>,
    /// Since when a lane is one too many.
    surplus: BTreeMap<LaneId, Instant>,
    /// The peer's addresses on which it drained a lane, and until when they are left alone.
    peer_drains: BTreeMap<IpAddr, Instant>,
    /// The lanes of the last time, and what they ran over.
    known: BTreeMap<LaneId, Seen>,
    /// Lanes that we closed.
    closed: BTreeSet<LaneId>,
    holddown: HoldDown,
}

impl Planner {
    /// A planner whose dials are spread by `seed`, so that not all sessions of all hosts dial a
    /// peer that comes back in the same millisecond.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// A dial ended.
    pub fn dialled(&mut self, key: Key, up: bool) {
        self.attempts.entry(key).or_default().ended(up);
    }

    /// Something changed that makes old failures meaningless (an address came, or its route).
    pub fn forget_failures(&mut self) {
        self.attempts.clear();
    }

    /// What to do now.
    pub fn plan(&mut self, now: Instant, world: &World<'_>) -> Plan {
        let mut plan = Plan::default();
        let paths = self.shunned(now, world, &mut plan);
        let world = &World { paths: &paths, ..*world };
        self.keep_score(now, world, &mut plan);
        if world.lanes.iter().any(LaneView::is_up) {
            self.down_since = None;
            self.was_up = true;
        } else {
            self.down_since.get_or_insert(now);
        }
        let reserved = migrate::migrate(now, world, &mut plan);
        replace::replace(now, world, &mut plan);
        self.leave(now, world, &mut plan);
        self.dial(now, world, &reserved, &mut plan);
        for id in &plan.close {
            self.closed.insert(*id);
        }
        plan
    }

    /// How far the uplink of `lane`, and the prefix it leads to, are trusted.
    pub fn standing(&self, now: Instant, lane: &LaneView) -> Standing {
        let standing = |(part, _): &(Part, Class)| self.holddown.standing(now, part);
        parts(&[], lane).iter().map(standing).max().unwrap_or_default()
    }

    /// What is held down, and how long each is once it answers again.
    pub fn held(&self, now: Instant) -> Vec<(Part, Duration)> {
        self.holddown.held(now)
    }

    /// Takes in which lanes answer and which fell silent or vanished.
    fn keep_score(&mut self, now: Instant, world: &World<'_>, plan: &mut Plan) {
        let seen = |l: &LaneView| Seen {
            parts: parts(world.paths, l),
            up: l.is_up(),
            failed: l.is_silent(),
        };
        let mut lanes: BTreeMap<LaneId, Seen> =
            world.lanes.iter().map(|l| (l.id, seen(l))).collect();
        let mut known = lanes.clone();
        std::mem::swap(&mut known, &mut self.known);
        // A lane that vanished without our doing has failed.
        for (id, lane) in known {
            if !lanes.contains_key(&id) && !self.closed.remove(&id) {
                lanes.insert(id, Seen { up: false, failed: true, ..lane });
            }
        }
        self.closed.retain(|id| world.lanes.iter().any(|l| l.id == *id));
        let lanes: Vec<Seen> = lanes.into_values().collect();
        self.holddown.observe(now, &lanes);
        self.holddown.forget_absent(now, |part| {
            let has = |uplink: &str, remote| match part {
                Part::Uplink(name) => name == uplink,
                Part::Prefix(prefix) => *prefix == Prefix::of(remote),
            };
            world.paths.iter().any(|p| has(&p.uplink, p.remote))
                || world.lanes.iter().any(|l| has(&l.uplink, l.remote))
        });
        if let Some(at) = self.holddown.next_change(now) {
            plan.wake(at);
        }
    }

    /// The paths, with those to where the peer drains lanes counted as draining: a word of either
    /// end binds both, also after the lane that it was about is gone.
    fn shunned(&mut self, now: Instant, world: &World<'_>, plan: &mut Plan) -> Vec<Path> {
        for lane in world.lanes.iter().filter(|l| l.peer_drains) {
            self.peer_drains.insert(lane.remote.ip(), now + PEER_DRAINS_FOR);
        }
        self.peer_drains.retain(|_, until| now < *until);
        for lane in world.lanes.iter().filter(|l| !l.peer_drains && l.is_up()) {
            self.peer_drains.remove(&lane.remote.ip());
        }
        if let Some(until) = self.peer_drains.values().min() {
            plan.wake(*until);
        }
        let mut paths = world.paths.to_vec();
        for path in &mut paths {
            path.draining |= self.peer_drains.contains_key(&path.remote.ip());
        }
        paths
    }
}

/// An address on which the peer drained a lane is not dialled for so long after the lane has gone,
/// while there is another: then it may be asked again, and says so again.
const PEER_DRAINS_FOR: Duration = Duration::from_secs(60);

/// What a lane runs over. What is known of the peer's prefixes is that they fail like `pa` ones.
fn parts(paths: &[Path], lane: &LaneView) -> [(Part, Class); 2] {
    let class =
        paths.iter().find(|p| p.uplink == lane.uplink).map_or_else(Class::default, |p| p.class);
    [
        (Part::Uplink(lane.uplink.clone()), class),
        (Part::Prefix(Prefix::of(lane.remote)), Class::default()),
    ]
}

#[cfg(test)]
mod tests;
