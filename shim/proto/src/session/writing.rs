//! How applications write to flows: within the peer's window and our memory, and not far ahead of the lanes.

use std::time::Instant;

use bytes::Bytes;

use super::{FlowError, Session, SessionEvent};
use crate::flow::Urgency;
use crate::types::FlowId;

/// The bytes that every flow may keep however little memory is left.
const ALWAYS_BUFFERED: u64 = 64 * 1024;

impl Session {
    /// Returns how many bytes [`write`](Self::write) takes now. At 0, [`SessionEvent::Writable`]
    /// follows, once it takes enough to be worth it.
    pub fn capacity(&mut self, id: FlowId) -> Result<u64, FlowError> {
        self.check_broken(id)?;
        let scarce = self.is_memory_scarce();
        let Some(flow) = self.flows.get_mut(&id) else { return Err(FlowError::Finished) };
        if flow.tx.fin.is_some() {
            return Err(FlowError::Finished);
        }
        let room = flow.tx.room();
        let capacity = match scarce {
            true => room.min(ALWAYS_BUFFERED.saturating_sub(flow.tx.buffer.retained())),
            false => room,
        };
        flow.app.write_waiting = capacity == 0;
        if capacity == 0 && scarce && flow.tx.granted() > 0 {
            self.memory_waiting.insert(id);
        }
        Ok(capacity)
    }

    /// Wakes an application that waits until less of what it wrote waits to be sent.
    pub(super) fn wake_writer(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if !flow.app.write_waiting || !flow.tx.has_much_room() {
            return;
        }
        // Where memory is scarce there is none for it: the peer's next fact wakes it, or the end of that.
        if !self.config.memory.is_scarce() {
            flow.app.write_waiting = false;
            self.events.push_back(SessionEvent::Writable(id));
        }
    }

    /// Takes as much of the front of `bytes` as the flow has room for; returns how much.
    pub fn write(
        &mut self,
        now: Instant,
        id: FlowId,
        bytes: &mut Bytes,
    ) -> Result<usize, FlowError> {
        let room = usize::try_from(self.capacity(id)?).unwrap_or(usize::MAX);
        let chunk = bytes.split_to(bytes.len().min(room));
        let len = chunk.len();
        if len > 0
            && let Some(flow) = self.flows.get_mut(&id)
        {
            flow.tx.buffer.push(chunk);
            flow.tx.meter(now, len as u64);
            self.account_buffer(id);
            self.schedule(now, id);
            self.notice_unserved_write();
        }
        Ok(len)
    }

    /// Returns whether an application wrote while no lane was up, since the last call.
    pub fn take_unserved_write(&mut self) -> bool {
        std::mem::take(&mut self.unserved_write)
    }

    pub(super) fn notice_unserved_write(&mut self) {
        if !self.unserved_write && !self.lanes.values().any(|lane| lane.is_up()) {
            self.unserved_write = true;
            self.events.push_back(SessionEvent::UnservedWrite);
        }
    }

    /// Returns how many bytes were written to the flow.
    pub fn written(&self, id: FlowId) -> u64 {
        self.flows.get(&id).map_or(0, |flow| flow.tx.buffer.end())
    }

    /// Returns whether the peer has every byte below `offset`. If not,
    /// [`SessionEvent::Acknowledged`] follows when it has more.
    pub fn is_acknowledged(&mut self, id: FlowId, offset: u64) -> Result<bool, FlowError> {
        self.check_broken(id)?;
        // A flow is forgotten only when the peer has all of it.
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(true) };
        let acknowledged = flow.tx.buffer.base() >= offset;
        flow.app.ack_waiting = !acknowledged;
        Ok(acknowledged)
    }

    /// Ends our direction.
    pub fn finish(&mut self, now: Instant, id: FlowId) -> Result<(), FlowError> {
        self.check_broken(id)?;
        let Some(flow) = self.flows.get_mut(&id) else { return Err(FlowError::Finished) };
        if flow.tx.fin.is_none() {
            flow.tx.fin = Some(flow.tx.buffer.end());
            self.mark_dirty(now, id, Urgency::Now);
        }
        Ok(())
    }

    /// Corrects the count of buffered bytes after the size of a flow's buffer changed.
    pub(super) fn account_buffer(&mut self, id: FlowId) {
        let was_scarce = self.is_memory_scarce();
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let datagrams = flow.datagrams.as_ref().map_or(0, |datagrams| datagrams.tx.bytes() as u64);
        let retained = flow.tx.buffer.retained() + datagrams;
        let accounted = std::mem::replace(&mut flow.tx.accounted_bytes, retained);
        self.buffered = self.buffered + retained - accounted;
        self.config.memory.count_buffered(accounted, retained);
        if was_scarce && !self.is_memory_scarce() {
            // There is room for everybody again: all who wait for it look.
            let waiting = std::mem::take(&mut self.memory_waiting);
            self.events.extend(waiting.into_iter().map(SessionEvent::Writable));
        }
    }

    /// Returns whether the send buffers, of all sessions, fill half of the memory.
    pub(super) fn is_memory_scarce(&self) -> bool {
        self.config.memory.is_scarce()
    }
}
