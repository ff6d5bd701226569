//! Lanes that are dialed beside one that has failed, as the planner does.

use std::time::Duration;

use throughline_proto::lane::Condition;
use throughline_proto::types::LaneId;

use super::Field;

/// How long a lane must answer again until the one beside it is one too many, as the planner has it.
const STABLE_AFTER: Duration = Duration::from_millis(300);
/// How long a lane must be suspect until one beside it replaces it.
const REPLACE_AFTER: Duration = Duration::from_secs(1);

impl Field {
    /// Dials a lane's ISP anew where no lane is left that may answer, and keeps one of two lanes.
    pub(super) fn replace_failed(&mut self, id: LaneId) {
        let now = self.network.now();
        let Some(isp) = self.lanes.get(&id).map(|lane| lane.isp) else { return };
        let condition = |id: LaneId| self.sessions[0].lane_condition(id);
        let Some(Condition { suspected_since, recently_suspected, ours, narrow, .. }) =
            condition(id)
        else {
            return;
        };
        let newer = self.lanes.range(id..).skip(1).find(|(_, lane)| lane.isp == isp);
        let Some((&newer, _)) = newer else {
            let has_failed = |id: &LaneId| condition(*id).is_some_and(|c| c.failed);
            if let Some(since) = suspected_since
                && (ours || narrow || now >= since + REPLACE_AFTER)
                && self.dials[isp].is_none()
                && self.lanes.keys().all(has_failed)
                && self.redials[isp].take(now, since)
            {
                self.reports[isp].twins += 1;
                if self.trace {
                    println!("{:?} {id} is dialed a twin", self.network.elapsed());
                }
                self.dials[isp] = Some(now);
            }
            return;
        };
        if !self.sessions[0].lane_is_up(newer) {
            return;
        }
        match suspected_since {
            Some(since) if narrow || now >= since + REPLACE_AFTER => {
                self.close_lane(id);
            }
            None if recently_suspected.is_none_or(|at| now >= at + STABLE_AFTER) => {
                self.reports[isp].surplus += u32::from(self.close_lane(newer));
            }
            _ => {}
        }
    }

    /// Closes a lane; returns whether it was not closing before.
    fn close_lane(&mut self, id: LaneId) -> bool {
        let now = self.network.now();
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| !lane.ends[0].is_closed()) else {
            return false;
        };
        let host = lane.ends[0].host;
        lane.ends[0].close(now, self.network.host(host));
        self.network.transmit(host);
        true
    }
}
