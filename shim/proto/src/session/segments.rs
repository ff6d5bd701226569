//! The end of segments: idle, acknowledged, or superseded.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{Session, StreamOp, WorkClass};
use crate::types::{FlowId, LaneId};

/// The time after which a segment that is not written to is finished, so that its stream's credit
/// returns.
pub(super) const SEGMENT_IDLE: Duration = Duration::from_secs(5);

/// The least time between two looks for idle segments: many are finished together.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Session {
    /// Finishes segments that are not written to, and looks again later if there are more.
    pub(super) fn finish_idle_segments(&mut self, now: Instant) {
        while let Some(&(at, id, lane_id)) = self.open_segments.front()
            && at <= now
        {
            self.open_segments.pop_front();
            let Self { flows, lanes, events, .. } = self;
            let carriers = flows.get_mut(&id).map(|flow| &mut flow.tx.lanes);
            let carrier = carriers.and_then(|all| all.iter_mut().find(|c| c.lane == lane_id));
            let Some(carrier) = carrier else { continue };
            let open = carrier.segments.last_mut().filter(|s| s.open);
            if let Some(segment) = open {
                if now.saturating_duration_since(segment.written_at) < SEGMENT_IDLE {
                    self.open_segments.push_back((now + SEGMENT_IDLE, id, lane_id));
                    continue;
                }
                segment.open = false;
                if let Some(lane) = lanes.get_mut(&lane_id) {
                    lane.outbox.stream_ops.push_back((segment.key, StreamOp::Finish));
                    lane.wake(WorkClass::Urgent, events);
                }
            }
            carrier.swept = false;
            // A segment that is finished and acknowledged needs no record.
            self.retire_segments(id);
        }
        let next = self.open_segments.front().map(|(at, ..)| *at);
        self.sweep_at = next.map(|at| at.max(now + SWEEP_INTERVAL));
    }

    /// Drops the records of segments that are complete, and of superseded ones.
    pub(super) fn retire_segments(&mut self, id: FlowId) {
        let Self { flows, lanes, events, .. } = self;
        let Some(flow) = flows.get_mut(&id) else { return };
        let mut gone: SmallVec<[(LaneId, u64, bool); 4]> = SmallVec::new();
        flow.tx.retire(
            |lane| lanes.get(&lane).is_some_and(|l| l.is_suspect()),
            |lane, key, finished| gone.push((lane, key, finished)),
        );
        for (lane_id, key, finished) in gone {
            let Some(lane) = lanes.get_mut(&lane_id) else { continue };
            if finished {
                lane.outbox.stream_ops.push_back((key, StreamOp::Release));
            } else {
                lane.outbox.stream_ops.push_back((key, StreamOp::Reset));
                lane.wake(WorkClass::Urgent, events);
            }
        }
    }
}
