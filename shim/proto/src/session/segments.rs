//! The end of segments: idle, acknowledged, or superseded.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{Session, StreamOp, WorkClass};
use crate::types::{FlowId, LaneId};

/// The time after which a segment that is not written to is finished, so that its stream's credit
/// returns.
pub(super) const SEGMENT_IDLE: Duration = Duration::from_secs(5);

impl Session {
    /// Finishes segments that are not written to, and looks again later if there are more.
    pub(super) fn finish_idle_segments(&mut self, now: Instant) {
        let mut more = false;
        for carrier in self.flows.values_mut().flat_map(|flow| &mut flow.tx.lanes) {
            let Some(segment) = carrier.segments.last_mut().filter(|s| s.open) else { continue };
            if now.saturating_duration_since(segment.written_at) < SEGMENT_IDLE {
                more = true;
                continue;
            }
            segment.open = false;
            if let Some(lane) = self.lanes.get_mut(&carrier.lane) {
                lane.outbox.stream_ops.push_back((segment.key, StreamOp::Finish));
                lane.wake(WorkClass::Urgent, &mut self.events);
            }
        }
        self.sweep_at = more.then(|| now + SEGMENT_IDLE);
        // A segment that is finished and acknowledged needs no record.
        for id in self.flow_ids() {
            self.retire_segments(id);
        }
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
