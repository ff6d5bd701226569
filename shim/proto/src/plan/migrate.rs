//! Moving lanes: same connection, another local address (RFC 9000 §9).
//!
//! A lane keeps its locator when it moves, so it can go only where that is reached from. It goes to
//! another address of its own uplink if its own was replaced (renumbering), else to the best uplink
//! that has no lane: two lanes over one uplink would fail together. To a metered one only where
//! nothing else is up, and to one that drains only when that has lasted for a second.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::dial::FREE_FIRST;
use super::prefix::Prefix;
use super::view::{LaneView, Path, Plan, World};

/// A lane is moved when it was silent for this long, and nothing was acknowledged for a probe
/// timeout: so that neither a passing pause nor a full queue moves anything.
pub(super) const MOVE_AFTER: Duration = Duration::from_millis(40);

/// A lane that was moved gets this long to answer on its new path before it is moved again.
pub(super) const MOVE_AGAIN: Duration = Duration::from_millis(1000);

/// A lane that was moved has its new address for itself for so long: a move is through after one
/// round trip, a dial after two. Then a fresh dial races it (the new path may not pass packets as
/// large as the old one did); whichever answers first stays, and the other is closed.
pub(super) const RACE_AFTER: Duration = Duration::from_millis(100);

/// Moves what is to be moved; returns the addresses that lanes move to now, soon, or have just
/// moved to.
pub(super) fn migrate(now: Instant, world: &World<'_>, plan: &mut Plan) -> Vec<IpAddr> {
    let mut reserved = Vec::new();
    for lane in world.lanes.iter().filter(|l| !l.proven) {
        if let Some(until) = lane.moved_at.map(|at| at + RACE_AFTER).filter(|until| now < *until) {
            reserved.push(lane.local);
            plan.wake(until);
        }
    }
    let mut taken: Vec<&Path> = Vec::new();
    for lane in world.lanes {
        let Some(due) = due(now, world, lane) else { continue };
        let Some(target) = target(world, lane, &taken) else { continue };
        // Whoever drains an uplink may be about to cut it, and the silence may be a moment's.
        let last_resort = target.draining && world.paths.iter().any(|p| !p.draining);
        let due = match lane.suspect_since {
            Some(since) if last_resort => due.max(since + FREE_FIRST),
            _ => due,
        };
        reserved.push(target.local);
        if due > now {
            plan.wake(due);
            continue;
        }
        taken.push(target);
        plan.migrate.push((lane.id, target.clone()));
    }
    reserved
}

/// When the lane is to move, if it is.
fn due(now: Instant, world: &World<'_>, lane: &LaneView) -> Option<Instant> {
    let since = lane.suspect_since?;
    let due = match world.is_gone(lane) {
        // Nothing comes back to an address that is not ours: no guess.
        true => now,
        false if lane.confirmed => since + MOVE_AFTER,
        // A guess moves nothing. The driver asks again when it is confirmed.
        false => return None,
    };
    Some(lane.moved_at.map_or(due, |moved| due.max(moved + MOVE_AGAIN)))
}

fn target<'a>(world: &World<'a>, lane: &LaneView, taken: &[&Path]) -> Option<&'a Path> {
    let nothing_up = !world.lanes.iter().any(LaneView::is_up);
    let others = || world.lanes.iter().filter(|l| l.id != lane.id);
    let gone = world.is_gone(lane);
    let fits = |p: &&Path| {
        let same_uplink = p.uplink == lane.uplink;
        let free = match same_uplink {
            // Its own prefix has another address: the old one was replaced.
            true => gone && !others().any(|l| l.uplink == p.uplink && reaches(l, p)),
            false => !others().any(|l| l.uplink == p.uplink),
        };
        p.remote == lane.remote
            && p.local != lane.local
            && free
            && (nothing_up || (!p.metered && !p.draining))
            && !taken.iter().any(|t| t.uplink == p.uplink)
    };
    let rank = |p: &&Path| (p.draining, p.metered, p.uplink != lane.uplink, p.order);
    world.paths.iter().filter(fits).min_by_key(rank)
}

fn reaches(lane: &LaneView, path: &Path) -> bool {
    Prefix::of(lane.remote) == Prefix::of(path.remote)
}
