//! How far the failure domains of lanes are trusted, judged by what became of the lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::actions::PlanActions;
use super::input::PlanInput;
use super::view::LaneView;
use crate::hold_down::{FailureDomain, HoldDown, HoldState, LaneObservation};
use crate::path::{Path, Prefix};
use crate::types::{AddressClass, LaneId};

/// Feeds hold-down with what the planner sees of lanes.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// The lanes of the last call.
    previous: BTreeMap<LaneId, LaneObservation>,
    /// The lanes that the planner closes and that may still be there.
    closed: BTreeSet<LaneId>,
    hold_down: HoldDown,
}

impl Trust {
    /// Notes that the planner closes these lanes: that they vanish is no failure.
    pub(super) fn will_close(&mut self, lanes: &[LaneId]) {
        self.closed.extend(lanes);
    }

    /// Returns how far the lane's uplink and the prefix it leads to are trusted: the worse of both.
    pub(super) fn hold_state(&self, now: Instant, lane: &LaneView) -> HoldState {
        let state = |(domain, _): &(FailureDomain, AddressClass)| self.hold_down.state(now, domain);
        failure_domains(&[], lane).iter().map(state).max().unwrap_or_default()
    }

    /// Returns what is held down, and how long each is held after it answers again.
    pub(super) fn held_down(&self, now: Instant) -> Vec<(FailureDomain, Duration)> {
        self.hold_down.held_down(now)
    }

    /// Observes which lanes answer, and which went down or vanished.
    pub(super) fn update_hold_down(
        &mut self,
        now: Instant,
        input: &PlanInput<'_>,
        actions: &mut PlanActions,
    ) {
        let observe = |l: &LaneView| LaneObservation {
            domains: failure_domains(input.paths, l),
            is_up: l.is_up(),
            has_failed: l.is_down(),
        };
        let mut lanes: BTreeMap<LaneId, LaneObservation> =
            input.lanes.iter().map(|l| (l.id, observe(l))).collect();
        let previous = std::mem::replace(&mut self.previous, lanes.clone());
        // A lane that vanished without having been closed here has failed.
        for (id, lane) in previous {
            if !lanes.contains_key(&id) && !self.closed.remove(&id) {
                lanes.insert(id, LaneObservation { is_up: false, has_failed: true, ..lane });
            }
        }
        self.closed.retain(|id| input.lanes.iter().any(|l| l.id == *id));
        let lanes: Vec<LaneObservation> = lanes.into_values().collect();
        self.hold_down.observe(now, &lanes);
        self.hold_down.forget_absent(now, |domain| {
            let has = |uplink: &str, remote| match domain {
                FailureDomain::Uplink(name) => name == uplink,
                FailureDomain::Prefix(prefix) => *prefix == Prefix::of(remote),
            };
            input.paths.iter().any(|p| has(&p.uplink, p.remote))
                || input.lanes.iter().any(|l| has(&l.uplink, l.remote))
        });
        if let Some(at) = self.hold_down.next_change(now) {
            actions.wake(at);
        }
    }
}

/// Returns the failure domains that the lane depends on.
///
/// Nothing is known of the peer's addresses, so its prefixes are taken to fail as provider-assigned
/// ones do.
fn failure_domains(paths: &[Path], lane: &LaneView) -> [(FailureDomain, AddressClass); 2] {
    let path = paths.iter().find(|p| p.uplink == lane.uplink);
    let class = path.map_or_else(AddressClass::default, |p| p.class);
    [
        (FailureDomain::Uplink(lane.uplink.clone()), class),
        (FailureDomain::Prefix(Prefix::of(lane.remote)), AddressClass::default()),
    ]
}
