//! Lanes on their way out: make before break.
//!
//! A lane *leaves* because its uplink is drained, its address is deprecated (gone from the paths,
//! and the lane still answers), the peer drains it, it is one too many, or it costs and a free one
//! is back. A leaving lane is said to be draining, so that flows of both ends move over to others;
//! it does not count as a lane where it is asked whether one is missing, so a replacement is
//! dialled. Only beside a lane that stays is it closed: when it is empty, or after a deadline.
//! Where none stays it remains in use, however long that is.
//!
//! What made it leave may pass: then it stays, and the word is taken back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::target;
use super::view::{LaneView, Path, Plan, World};
use super::{MAX_LANES, Planner};
use crate::holddown::Standing;
use crate::types::LaneId;

/// A lane drains for so long at least: the peer has to hear of it, and what it has sent has to
/// arrive. We know only that *our* side is empty. Three round trips of a slow path.
pub(super) const DRAIN_LEAST: Duration = Duration::from_secs(1);

/// ... and at most. What is still on it is sent again elsewhere, as if it had died.
pub(super) const DRAIN_MOST: Duration = Duration::from_secs(10);

/// How often it is looked whether a lane that drains is empty.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A lane that is one too many is drained after so long: a failure's last dials have ended, and
/// what came back first has shown that it stays.
pub(super) const SURPLUS_AFTER: Duration = Duration::from_secs(5);

/// A metered lane is kept this long after a free one is back and off its probation.
pub(super) const KEEP_METERED: Duration = Duration::from_secs(10);

/// A lane that leaves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leaving {
    /// Since when there is one that stays.
    beside_since: Option<Instant>,
}

impl Planner {
    pub(super) fn leave(&mut self, now: Instant, world: &World<'_>, plan: &mut Plan) {
        let lanes: Vec<&LaneView> =
            world.lanes.iter().filter(|l| !plan.close.contains(&l.id)).collect();
        let (mut leaving, mut staying): (Vec<&LaneView>, Vec<&LaneView>) =
            lanes.iter().partition(|l| must_leave(world, l));
        let cold = self.cold(now, world, &staying, plan);
        staying.retain(|l| !cold.contains(&l.id));
        let surplus = self.surplus(now, world, &staying, plan);
        staying.retain(|l| !surplus.contains(&l.id));
        let spare = |l: &&&LaneView| cold.contains(&l.id) || surplus.contains(&l.id);
        leaving.extend(lanes.iter().filter(spare).copied());
        leaving.sort_unstable_by_key(|l| l.id);
        let stays = staying.iter().any(|l| l.is_up());
        self.see_off(now, &leaving, stays, plan);
    }

    /// Drains what leaves, and closes it when it may: beside a lane that `stays`, or beside as many
    /// newer ones as are ever wanted, though they leave as well (an uplink whose address is
    /// replaced again and again must not heap up lanes).
    fn see_off(&mut self, now: Instant, leaving: &[&LaneView], stays: bool, plan: &mut Plan) {
        let mut known: BTreeMap<LaneId, Leaving> = std::mem::take(&mut self.leaving);
        for (index, lane) in leaving.iter().enumerate() {
            let newer = leaving[index + 1..].iter().filter(|l| l.is_up()).count();
            let beside = stays || newer >= MAX_LANES;
            let mut state = known.remove(&lane.id).unwrap_or_default();
            state.beside_since = beside.then(|| state.beside_since.unwrap_or(now));
            self.leaving.insert(lane.id, state);
            plan.drain.push(lane.id);
            let Some(since) = state.beside_since else {
                plan.last.push(lane.id);
                continue;
            };
            let (least, most) = (since + DRAIN_LEAST, since + DRAIN_MOST);
            if lane.is_silent() || (lane.idle && now >= least) || now >= most {
                plan.close.push(lane.id);
            } else if now < least {
                plan.wake(least);
            } else {
                plan.wake(most.min(now + LOOK_EVERY));
            }
        }
        plan.drain.retain(|id| !plan.close.contains(id));
    }

    /// Metered lanes that are to go back to being cold.
    fn cold(
        &mut self,
        now: Instant,
        world: &World<'_>,
        staying: &[&LaneView],
        plan: &mut Plan,
    ) -> Vec<LaneId> {
        let trusted =
            |l: &&&LaneView| !l.metered && l.is_up() && self.standing(now, l) < Standing::Held;
        let free = staying.iter().any(|l| trusted(&l));
        self.free_since = free.then(|| self.free_since.unwrap_or(now));
        let metered: Vec<LaneId> = staying.iter().filter(|l| l.metered).map(|l| l.id).collect();
        let has_free_path = world.paths.iter().any(|p| !p.metered && !p.draining);
        match self.free_since {
            Some(since) if has_free_path && !metered.is_empty() => {
                if now >= since + KEEP_METERED {
                    return metered;
                }
                plan.wake(since + KEEP_METERED);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Lanes beyond what is wanted, of which none is needed for the lanes to be disjoint.
    fn surplus(
        &mut self,
        now: Instant,
        world: &World<'_>,
        staying: &[&LaneView],
        plan: &mut Plan,
    ) -> Vec<LaneId> {
        let plain: Vec<&Path> = target::plain(world.paths);
        let counts = |l: &&&LaneView| {
            l.proven && !l.is_silent() && plain.iter().any(|p| p.uplink == l.uplink)
        };
        let there: Vec<&LaneView> = staying.iter().filter(counts).copied().collect();
        let wanted = target::wanted(world.paths);
        let mut spare: Vec<LaneId> = Vec::new();
        if there.len() > wanted {
            let mut edges = target::edges(&plain, &there);
            edges.retain(|e| e.lane.is_some());
            let kept = target::choose(&edges, wanted);
            let is_kept = |l: &&&LaneView| kept.iter().any(|e| e.lane == Some(l.id));
            spare.extend(there.iter().filter(|l| !is_kept(l)).map(|l| l.id));
            // Where the choice is short of lanes (they share uplink and prefix) the oldest stay.
            spare.drain(..wanted.saturating_sub(kept.len()).min(spare.len()));
        }
        self.surplus.retain(|id, _| spare.contains(id));
        let mut due = Vec::new();
        for id in spare {
            let since = *self.surplus.entry(id).or_insert(now);
            if now >= since + SURPLUS_AFTER {
                due.push(id);
            } else {
                plan.wake(since + SURPLUS_AFTER);
            }
        }
        due
    }
}

/// Somebody wants the lane gone, or its address is on its way out.
fn must_leave(world: &World<'_>, lane: &LaneView) -> bool {
    world.is_drained(lane) || lane.peer_drains || (world.is_gone(lane) && lane.is_up())
}
