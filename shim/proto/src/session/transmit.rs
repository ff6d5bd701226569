//! What a lane writes next.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::datagrams::NextDatagram;
use super::{Session, StreamOp, Transmit, WorkClass};
use crate::types::LaneId;
use crate::wire::control::{MAX_FACT_ACKS, Message};
use crate::wire::fact::LaneHealth;

/// The size up to which control messages are packed together.
const CONTROL_CHUNK: usize = 16 * 1024;

impl Session {
    /// Returns the next work for a lane. A lane asks for [`WorkClass::Urgent`] until there is none,
    /// and then, if it has room, for [`WorkClass::Bulk`].
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        id: LaneId,
        class: WorkClass,
    ) -> Option<Transmit> {
        if self.muted {
            return None;
        }
        let work = match class {
            WorkClass::Urgent => self.urgent(now, id),
            WorkClass::Datagrams => match self.next_datagram(now, id, usize::MAX) {
                NextDatagram::Transmit(transmit) => Some(transmit),
                NextDatagram::NoRoom | NextDatagram::Nothing => None,
            },
            WorkClass::Bulk => self.next_write(now, id, class).map(Transmit::Segment),
        };
        if work.is_none()
            && let Some(lane) = self.lanes.get_mut(&id)
        {
            lane.outbox.rest(class);
        }
        work
    }

    fn urgent(&mut self, now: Instant, id: LaneId) -> Option<Transmit> {
        if std::mem::take(&mut self.lanes.get_mut(&id)?.outbox.close_message) {
            return self.close_message.clone().map(Transmit::Close);
        }
        if let Some(bytes) = self.control(id) {
            return Some(Transmit::Control(bytes));
        }
        let lane = self.lanes.get_mut(&id)?;
        if let Some((key, op)) = lane.outbox.stream_ops.pop_front() {
            if matches!(op, StreamOp::Release | StreamOp::Reset) {
                lane.open_streams = lane.open_streams.saturating_sub(1);
            }
            return Some(Transmit::Stream { key, op });
        }
        self.next_write(now, id, WorkClass::Urgent).map(Transmit::Segment)
    }

    /// Encodes control messages that wait for a lane.
    fn control(&mut self, id: LaneId) -> Option<Bytes> {
        let mut out = BytesMut::new();
        self.encode_advertisements(id, &mut out);
        let outbox = &mut self.lanes.get_mut(&id)?.outbox;
        while out.len() < CONTROL_CHUNK && !outbox.fact_acks.is_empty() {
            let batch = outbox.fact_acks.len().min(MAX_FACT_ACKS);
            let acks = std::iter::from_fn(|| outbox.fact_acks.pop_first()).take(batch).collect();
            Message::FactAck(acks).encode(&mut out);
        }
        while out.len() < CONTROL_CHUNK
            && let Some(flow) = outbox.facts.pop_front()
        {
            if let Some(flow) = self.flows.get_mut(&flow) {
                flow.tx.lane(id).fact_queued = false;
                Message::FlowState(flow.state()).encode(&mut out);
            }
        }
        if outbox.end_of_sync && outbox.facts.is_empty() {
            outbox.end_of_sync = false;
            Message::EndOfSync.encode(&mut out);
        }
        (!out.is_empty()).then(|| out.freeze())
    }

    /// Encodes the advertisements that wait for a lane, as they are now.
    fn encode_advertisements(&mut self, id: LaneId, out: &mut BytesMut) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let uses = std::mem::take(&mut lane.outbox.lane_use);
        let healths = std::mem::take(&mut lane.outbox.lane_health);
        if std::mem::take(&mut lane.outbox.locators) {
            Message::Locators(self.locators.clone()).encode(out);
        }
        for lane_use in uses.iter().filter_map(|l| self.lanes.get(l)?.usage.advertised()) {
            Message::LaneUse(lane_use).encode(out);
        }
        for (lane, known) in healths.iter().filter_map(|l| Some((*l, self.lanes.get(l)?))) {
            let (version, suspicion) = (known.health_version, known.monitor.advertisement());
            Message::LaneHealth(LaneHealth { lane, version, suspicion }).encode(out);
        }
    }
}
