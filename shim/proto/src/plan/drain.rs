//! Drains lanes, make before break.
//!
//! A lane drains because its uplink is drained, its address was deprecated (it is gone from the
//! paths, though the lane still answers), the peer drains it, there are more lanes than wanted, or
//! it is metered and an unmetered one is back. The peer is told that the lane drains, so that the
//! flows of both ends move to other lanes. A draining lane does not count when lanes are candidates,
//! so its replacement is dialed. It is closed only beside a lane that stays: when it is empty, or
//! after [`MAX_DRAIN`]. Where no lane stays it remains in use, however long that is.
//!
//! If the reason for the drain passes, the lane stays, and the peer is told so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::actions::PlanActions;
use super::input::PlanInput;
use super::pairing::{self, MAX_LANES};
use super::view::LaneView;
use crate::hold_down::HoldState;
use crate::path::Path;
use crate::types::LaneId;

/// The shortest drain.
///
/// The planner knows only that *our* side is empty: the peer must hear of the drain, and what it
/// has sent must arrive. One second is three round trips of a slow path.
pub(super) const MIN_DRAIN: Duration = Duration::from_secs(1);

/// The longest drain. What is still on the lane then is sent again elsewhere, as if it had died.
pub(super) const MAX_DRAIN: Duration = Duration::from_secs(10);

/// Poll interval for whether a draining lane is empty, which has no wake-up.
const DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How long there must be more lanes than wanted before one drains.
///
/// By then a failure's last dials have ended, and what came back first has shown that it stays.
pub(super) const SURPLUS_AFTER: Duration = Duration::from_secs(5);

/// How long a metered lane is kept after an unmetered one is back and no longer held down.
pub(super) const STANDBY_AFTER: Duration = Duration::from_secs(10);

/// Decides which lanes drain, and when each is closed.
#[derive(Debug, Default)]
pub(super) struct Drains {
    draining: BTreeMap<LaneId, DrainProgress>,
    /// Since when each of these lanes is beyond those wanted.
    surplus_since: BTreeMap<LaneId, Instant>,
    /// Since when an unmetered lane is up and not held down.
    unmetered_since: Option<Instant>,
}

/// The progress of a lane's drain.
#[derive(Clone, Copy, Debug, Default)]
struct DrainProgress {
    /// Since when there is a lane that stays.
    replaced_since: Option<Instant>,
}

impl Drains {
    /// Drains the lanes that have to go.
    pub(super) fn drain(
        &mut self,
        now: Instant,
        input: &PlanInput<'_>,
        hold_state: impl Fn(&LaneView) -> HoldState,
        actions: &mut PlanActions,
    ) {
        let lanes: Vec<&LaneView> =
            input.lanes.iter().filter(|l| !actions.close.contains(&l.id)).collect();
        let (mut draining, mut staying): (Vec<&LaneView>, Vec<&LaneView>) =
            lanes.iter().partition(|l| must_drain(input, l));
        let trusted =
            |l: &&LaneView| !l.metered && l.is_up() && hold_state(l) < HoldState::HeldDown;
        let unmetered_up = staying.iter().any(trusted);
        let standby = self.standby(now, input, &staying, unmetered_up, actions);
        staying.retain(|l| !standby.contains(&l.id));
        let surplus = self.surplus(now, input, &staying, actions);
        staying.retain(|l| !surplus.contains(&l.id));
        let spare = |l: &&&LaneView| standby.contains(&l.id) || surplus.contains(&l.id);
        draining.extend(lanes.iter().filter(spare).copied());
        draining.sort_unstable_by_key(|l| l.id);
        let any_stays = staying.iter().any(|l| l.is_up());
        self.drain_then_close(now, &draining, any_stays, actions);
    }

    /// Drains these lanes, and closes each when it may be closed.
    ///
    /// A lane may be closed beside one that stays, or beside [`MAX_LANES`] newer ones that drain as
    /// well: an uplink that is renumbered again and again must not accumulate lanes.
    fn drain_then_close(
        &mut self,
        now: Instant,
        draining: &[&LaneView],
        any_stays: bool,
        actions: &mut PlanActions,
    ) {
        let mut known: BTreeMap<LaneId, DrainProgress> = std::mem::take(&mut self.draining);
        for (index, lane) in draining.iter().enumerate() {
            let newer = draining[index + 1..].iter().filter(|l| l.is_up()).count();
            let replaced = any_stays || newer >= MAX_LANES;
            let mut progress = known.remove(&lane.id).unwrap_or_default();
            progress.replaced_since = replaced.then(|| progress.replaced_since.unwrap_or(now));
            self.draining.insert(lane.id, progress);
            actions.drain.push(lane.id);
            let Some(since) = progress.replaced_since else {
                actions.last_resort.push(lane.id);
                continue;
            };
            let (earliest, latest) = (since + MIN_DRAIN, since + MAX_DRAIN);
            if lane.is_down() || (lane.idle && now >= earliest) || now >= latest {
                actions.close.push(lane.id);
            } else if now < earliest {
                actions.wake(earliest);
            } else {
                actions.wake(latest.min(now + DRAIN_POLL_INTERVAL));
            }
        }
    }

    /// Returns the metered lanes that are no longer needed: their uplinks become a standby again.
    fn standby(
        &mut self,
        now: Instant,
        input: &PlanInput<'_>,
        staying: &[&LaneView],
        unmetered_up: bool,
        actions: &mut PlanActions,
    ) -> Vec<LaneId> {
        self.unmetered_since = unmetered_up.then(|| self.unmetered_since.unwrap_or(now));
        let metered: Vec<LaneId> = staying.iter().filter(|l| l.metered).map(|l| l.id).collect();
        let has_unmetered_path = input.paths.iter().any(|p| !p.metered && !p.draining);
        match self.unmetered_since {
            Some(since) if has_unmetered_path && !metered.is_empty() => {
                if now >= since + STANDBY_AFTER {
                    return metered;
                }
                actions.wake(since + STANDBY_AFTER);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the lanes beyond those wanted, none of which is needed for disjointness.
    fn surplus(
        &mut self,
        now: Instant,
        input: &PlanInput<'_>,
        staying: &[&LaneView],
        actions: &mut PlanActions,
    ) -> Vec<LaneId> {
        let eligible: Vec<&Path> = pairing::eligible(input.paths);
        let is_candidate = |l: &&&LaneView| {
            l.validated && !l.is_down() && eligible.iter().any(|p| p.uplink == l.uplink)
        };
        let candidates: Vec<&LaneView> = staying.iter().filter(is_candidate).copied().collect();
        let wanted = pairing::wanted_lanes(input.paths);
        let mut spare: Vec<LaneId> = Vec::new();
        if candidates.len() > wanted {
            let mut pairings = pairing::pairings(&eligible, &candidates);
            pairings.retain(|p| p.lane.is_some());
            let kept = pairing::choose(&pairings, wanted);
            let is_kept = |l: &&&LaneView| kept.iter().any(|p| p.lane == Some(l.id));
            spare.extend(candidates.iter().filter(|l| !is_kept(l)).map(|l| l.id));
            // Lanes that share uplink and prefix are one pairing. If too few pairings were chosen,
            // the oldest of the other lanes stay.
            spare.drain(..wanted.saturating_sub(kept.len()).min(spare.len()));
        }
        self.surplus_since.retain(|id, _| spare.contains(id));
        let mut due = Vec::new();
        for id in spare {
            let since = *self.surplus_since.entry(id).or_insert(now);
            if now >= since + SURPLUS_AFTER {
                due.push(id);
            } else {
                actions.wake(since + SURPLUS_AFTER);
            }
        }
        due
    }
}

/// Returns whether either end drains the lane, or its address is deprecated.
fn must_drain(input: &PlanInput<'_>, lane: &LaneView) -> bool {
    input.is_drained(lane) || lane.peer_drains || (input.address_lost(lane) && lane.is_up())
}
