//! Migrates lanes: the same connection, from another local address (RFC 9000 §9).
//!
//! A lane keeps its locator when it migrates, so it can go only to addresses that reach it. It goes
//! to another address of its own uplink if its own address was replaced (renumbering), else to the
//! best uplink without a lane, since two lanes over one uplink would fail together. It goes to a
//! metered uplink only where nothing else is up, and to a draining one only after
//! [`PREFERRED_HEAD_START`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::actions::PlanActions;
use super::dial::PREFERRED_HEAD_START;
use super::input::PlanInput;
use super::view::LaneView;
use crate::path::{Path, Prefix};
use crate::types::LaneId;

/// How long a lane must be suspect before it migrates, once the suspicion is confirmed.
///
/// Neither a short pause nor a full queue may move a lane.
pub(super) const MIGRATE_AFTER: Duration = Duration::from_millis(40);

/// How long a lane that migrated may take to answer before it migrates again.
pub(super) const MIGRATE_AGAIN_AFTER: Duration = Duration::from_millis(1000);

/// How often a lane migrates in a row without an answer; each migration doubles the time that it
/// gets. What answers nowhere is closed and dialed, and must not go from uplink to uplink for ever.
pub(super) const MAX_MIGRATIONS: u32 = 3;

/// How long a lane that migrated has its new address to itself before a dial races it.
///
/// A migration takes one round trip, a dial two. The new path may not pass packets as large as the
/// old one did, so a dial must follow. Whichever answers first stays; the other is closed.
pub(super) const RACE_DIAL_AFTER: Duration = Duration::from_millis(100);

/// Decides which lanes migrate; remembers how often each did in vain.
#[derive(Debug, Default)]
pub(super) struct Migrations {
    in_vain: BTreeMap<LaneId, u32>,
}

impl Migrations {
    /// Migrates what is due.
    ///
    /// Returns the local addresses reserved for lanes that migrate now, will soon, or just did.
    pub(super) fn migrate(
        &mut self,
        now: Instant,
        input: &PlanInput<'_>,
        actions: &mut PlanActions,
    ) -> Vec<IpAddr> {
        let unanswered = |id: &LaneId| input.lanes.iter().any(|l| l.id == *id && !l.validated);
        self.in_vain.retain(|id, _| unanswered(id));
        let reserved = migrate(now, input, &self.in_vain, actions);
        for (id, _) in &actions.migrate {
            *self.in_vain.entry(*id).or_default() += 1;
        }
        reserved
    }
}

fn migrate(
    now: Instant,
    input: &PlanInput<'_>,
    in_vain: &BTreeMap<LaneId, u32>,
    actions: &mut PlanActions,
) -> Vec<IpAddr> {
    let mut reserved = Vec::new();
    for lane in input.lanes.iter().filter(|l| !l.validated) {
        let until = lane.moved_at.map(|at| at + RACE_DIAL_AFTER).filter(|until| now < *until);
        if let Some(until) = until {
            reserved.push(lane.local);
            actions.wake(until);
        }
    }
    let mut taken: Vec<&Path> = Vec::new();
    for lane in input.lanes {
        let migrations = in_vain.get(&lane.id).copied().unwrap_or_default();
        let Some(due) = due(now, input, lane, migrations) else { continue };
        let Some(target) = target(input, lane, &taken) else { continue };
        // A drained uplink may be about to be cut, and the silence may last a moment only.
        let last_resort = target.draining && input.paths.iter().any(|p| !p.draining);
        let due = match lane.suspected_since {
            Some(since) if last_resort => due.max(since + PREFERRED_HEAD_START),
            _ => due,
        };
        if due > now {
            // A lane that moves later leaves the address to dials until then.
            if due <= now + MIGRATE_AFTER {
                reserved.push(target.local);
            }
            actions.wake(due);
            continue;
        }
        reserved.push(target.local);
        taken.push(target);
        actions.migrate.push((lane.id, target.clone()));
    }
    reserved
}

/// Returns when the lane is to migrate, if it is.
fn due(now: Instant, input: &PlanInput<'_>, lane: &LaneView, migrations: u32) -> Option<Instant> {
    let since = lane.suspected_since?;
    let (due, again_after) = match input.address_lost(lane) {
        // Nothing can arrive at an address that is not ours, so no confirmation is needed.
        true => (now, MIGRATE_AGAIN_AFTER),
        false if lane.confirmed && migrations < MAX_MIGRATIONS => {
            let doublings = migrations.saturating_sub(1);
            (since + MIGRATE_AFTER, MIGRATE_AGAIN_AFTER * 2u32.pow(doublings))
        }
        // A suspicion alone migrates nothing. The driver asks again when it is confirmed.
        false => return None,
    };
    Some(lane.moved_at.map_or(due, |moved| due.max(moved + again_after)))
}

/// Returns the best path for the lane to migrate to.
fn target<'a>(input: &PlanInput<'a>, lane: &LaneView, taken: &[&Path]) -> Option<&'a Path> {
    let nothing_up = !input.any_up();
    let others = || input.lanes.iter().filter(|l| l.id != lane.id);
    let address_lost = input.address_lost(lane);
    let fits = |p: &&Path| {
        let same_uplink = p.uplink == lane.uplink;
        let free = match same_uplink {
            // Its own uplink has another address: the old one was replaced.
            true => address_lost && !others().any(|l| l.uplink == p.uplink && reaches(l, p)),
            false => !others().any(|l| l.uplink == p.uplink),
        };
        p.remote == lane.remote
            && p.local != lane.local
            && free
            && (nothing_up || (!p.metered && !p.draining))
            && !taken.iter().any(|t| t.uplink == p.uplink)
    };
    let rank = |p: &&Path| (p.draining, p.metered, p.uplink != lane.uplink, p.order);
    input.paths.iter().filter(fits).min_by_key(rank)
}

/// Returns whether the lane leads to the same prefix of the peer as the path.
fn reaches(lane: &LaneView, path: &Path) -> bool {
    Prefix::of(lane.remote) == Prefix::of(path.remote)
}
