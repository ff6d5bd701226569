//! The end of segments: idle, acknowledged, or superseded.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{Session, StreamOp, WorkClass};
use crate::types::{FlowId, LaneId};

/// The time after which a segment that is not written to is finished, so that its stream's credit
/// returns.
const SEGMENT_IDLE: Duration = Duration::from_secs(5);

/// The same where more than [`MANY_OPEN`] are open: each holds 2 kB at either end, a quarter of what an
/// idle flow has, and memory that ten thousand of them took at once does not go back to the system.
const SEGMENT_IDLE_OF_MANY: Duration = Duration::from_millis(500);

/// The lanes of flows with an open segment that a session keeps open for long.
pub(super) const MANY_OPEN: usize = 1024;

/// How many more streams than flows a lane may have while segments end so soon. The next byte of each flow takes
/// another stream, and the peer allows two for each flow and 64: where all flows write each second and a round trip
/// takes as long, none would be left, and everything on the lane would wait.
const MAX_FINISHING: usize = 48;

/// The least time between two looks for idle segments: many are finished together. Where many are open it is
/// [`SEGMENT_IDLE_OF_MANY`].
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Session {
    /// Takes note that a flow begins a segment on a lane.
    pub(super) fn note_open_segment(&mut self, now: Instant, id: FlowId, lane: LaneId) {
        self.open_segments.push_back((now, id, lane));
        let idle_at = now + self.segment_idle();
        self.sweep_at = Some(self.sweep_at.map_or(idle_at, |at| at.min(idle_at)));
    }

    /// Returns how long a segment may be idle.
    fn segment_idle(&self) -> Duration {
        match self.open_segments.len() > MANY_OPEN {
            true => SEGMENT_IDLE_OF_MANY,
            false => SEGMENT_IDLE,
        }
    }

    /// Finishes segments that are not written to, and looks again later if there are more.
    pub(super) fn finish_idle_segments(&mut self, now: Instant) {
        while let Some(&(since, id, lane_id)) = self.open_segments.front()
            && since + self.segment_idle() <= now
        {
            let idle = self.segment_idle();
            self.open_segments.pop_front();
            let Self { flows, lanes, events, .. } = self;
            let most = flows.len() + MAX_FINISHING;
            let spares = lanes.get(&lane_id).is_some_and(|lane| lane.open_streams <= most);
            let idle = if spares { idle } else { SEGMENT_IDLE };
            let carriers = flows.get_mut(&id).map(|flow| &mut flow.tx.lanes);
            let carrier = carriers.and_then(|all| all.iter_mut().find(|c| c.lane == lane_id));
            let Some(carrier) = carrier else { continue };
            let open = carrier.segments.last_mut().filter(|s| s.open);
            if let Some(segment) = open {
                if now.saturating_duration_since(segment.written_at) < idle {
                    self.open_segments.push_back((now, id, lane_id));
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
        let idle = self.segment_idle();
        let next = self.open_segments.front().map(|(since, ..)| *since + idle);
        self.sweep_at = next.map(|at| at.max(now + SWEEP_INTERVAL.min(idle)));
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
