//! Runs the monitors of the lanes: shows them what is observed, and does what they want of the
//! session.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::Session;
use crate::lane::{Action, Condition, LaneAction, Observation, Report};
use crate::plan::LaneView;
use crate::types::{LaneId, Side};

/// Where a lane is at this end, as its planner knows it.
#[derive(Clone, Debug)]
pub struct LanePlace {
    /// The name of the uplink it runs over.
    pub uplink: String,
    /// Whether that uplink is metered.
    pub metered: bool,
    /// Our address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: SocketAddr,
}

impl Session {
    /// Shows a lane's monitor what is observed; returns what is to be done for the lane.
    pub fn observe_lane(
        &mut self,
        now: Instant,
        id: LaneId,
        seen: &Observation<'_>,
    ) -> Vec<LaneAction> {
        let resent = self.resent_elsewhere(id);
        let Some(lane) = self.lanes.get_mut(&id) else { return Vec::new() };
        lane.rtt = seen.sensor.srtt;
        let waits = lane.outbox.take_bulk_waited();
        lane.delivery.observe(now, &seen.sensor, waits);
        let actions = lane.monitor.evaluate(now, seen, resent);
        self.act(now, id, actions)
    }

    /// Returns when a lane is to be observed again, at the latest.
    pub fn lane_check(&self, id: LaneId) -> Option<Instant> {
        self.lanes.get(&id)?.monitor.next_check()
    }

    /// Returns when the first of the lanes is to be observed again, at the latest.
    pub fn next_lane_check(&self) -> Option<Instant> {
        self.lanes.values().filter_map(|lane| lane.monitor.next_check()).min()
    }

    /// Returns reports that are due of bytes that were sent again, each with the lane they went out on.
    pub fn report_hedged(&mut self, now: Instant) -> Vec<(LaneId, Report)> {
        let suspects = self.lanes.iter().filter(|(_, lane)| lane.is_suspect());
        let suspects: Vec<LaneId> = suspects.map(|(id, _)| *id).collect();
        let mut reports = Vec::new();
        for (id, lane) in &mut self.lanes {
            let report = lane.monitor.report_hedged(now, lane.resent, || suspects.clone());
            reports.extend(report.map(|report| (*id, report)));
        }
        reports
    }

    /// Returns what was not reported yet of a lane that ends.
    pub fn final_reports(&mut self, id: LaneId) -> Vec<Report> {
        self.lanes.get_mut(&id).map_or_else(Vec::new, |lane| lane.monitor.final_reports())
    }

    /// Handles that this end moved a lane to another local address (RFC 9000 §9).
    pub fn handle_local_migration(&mut self, now: Instant, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.monitor.handle_migration(now);
        }
    }

    /// Returns a lane as the planner sees it.
    pub fn lane_view(&self, id: LaneId, place: LanePlace) -> Option<LaneView> {
        let condition = self.lane_condition(id)?;
        Some(LaneView {
            id,
            uplink: place.uplink,
            metered: place.metered,
            local: place.local,
            remote: place.remote,
            suspected_since: condition.suspected_since,
            confirmed: condition.failed || condition.confirmed && self.nothing_answers(),
            conclusive: condition.ours || condition.narrow,
            narrow: condition.narrow,
            last_suspected: condition.recently_suspected,
            moved_at: condition.migrated_at,
            validated: condition.validated,
            // Only a lane that drains is closed for it, and to find out takes a look at every flow.
            idle: self.lane_is_draining(id) && self.lane_is_idle(id),
            peer_drains: self.peer_drains(id),
        })
    }

    /// Returns whether there are several lanes and all of them are silent. They do not pause all at once
    /// as a rule, and nothing else carries the flows: nobody waits then for a pause to end.
    fn nothing_answers(&self) -> bool {
        self.lanes.len() > 1 && self.lanes.values().all(|l| l.monitor.condition().confirmed)
    }

    /// Returns the condition of a lane.
    pub fn lane_condition(&self, id: LaneId) -> Option<Condition> {
        self.lanes.get(&id).map(|lane| lane.monitor.condition())
    }

    /// Returns how often a lane was suspected, however briefly.
    pub fn lane_suspicions(&self, id: LaneId) -> u64 {
        self.lanes.get(&id).map_or(0, |lane| lane.monitor.suspicions())
    }

    /// Does what a lane's monitor wants of the session; returns what is to be done for the lane.
    pub(super) fn act(
        &mut self,
        now: Instant,
        id: LaneId,
        actions: Vec<Action>,
    ) -> Vec<LaneAction> {
        let mut rest = Vec::new();
        for action in actions {
            match action {
                Action::CopyThin => self.copy_thin(now, id),
                Action::MarkAtRisk => self.mark_at_risk(now, id),
                Action::Trust { spurious } => self.trust_again(now, id, spurious),
                Action::Reselect => self.schedule_all(now),
                Action::Advertise => self.advertise_health(id),
                // Only the initiator can dial another lane.
                Action::Lane(LaneAction::Notice { .. }) if self.side() == Side::Initiator => {}
                Action::Lane(action) => rest.push(action),
            }
        }
        rest
    }

    /// Returns how many bytes were sent again on other lanes than this one.
    pub(super) fn resent_elsewhere(&self, id: LaneId) -> u64 {
        self.lanes.iter().filter(|(other, _)| **other != id).map(|(_, lane)| lane.resent).sum()
    }
}
