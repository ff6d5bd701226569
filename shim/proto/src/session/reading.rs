//! How applications read from flows.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{FlowError, Session};
use crate::flow::{Opening, Urgency};
use crate::types::FlowId;

/// The longest round trip that makes a window grow: a satellite's, with its queue. Beyond that a
/// path is broken rather than long.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(2);

/// What reading returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This many chunks were moved.
    Data(usize),
    /// There is nothing yet; [`SessionEvent::Readable`](super::SessionEvent::Readable) or
    /// [`SessionEvent::Broken`](super::SessionEvent::Broken) follows.
    Pending,
    /// The peer's direction has ended.
    End,
}

impl Session {
    /// Moves up to `out.len()` chunks to the application.
    pub fn read(&mut self, now: Instant, id: FlowId, out: &mut [Bytes]) -> Result<Read, FlowError> {
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(Read::End) };
        let count = flow.rx.assembler.pop(out);
        if count > 0 {
            self.after_read(now, id);
            return Ok(Read::Data(count));
        }
        self.nothing_to_read(id)
    }

    /// Moves at most `max` bytes to the application as one chunk: empty at the end, `None` while
    /// there is nothing.
    pub fn read_at_most(
        &mut self,
        now: Instant,
        id: FlowId,
        max: usize,
    ) -> Result<Option<Bytes>, FlowError> {
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(Some(Bytes::new())) };
        if let Some(chunk) = flow.rx.assembler.pop_at_most(max) {
            self.after_read(now, id);
            return Ok(Some(chunk));
        }
        match self.nothing_to_read(id)? {
            Read::End => Ok(Some(Bytes::new())),
            _ => Ok(None),
        }
    }

    /// Opens the window, and tells the peer where that matters.
    fn after_read(&mut self, now: Instant, id: FlowId) {
        let slowest = self.slowest_round_trip();
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let plenty = self.config.memory.is_plentiful();
        let growth = flow.rx.wanted_growth(now, slowest, plenty);
        if growth > 0 && self.config.memory.try_grow(growth) {
            flow.rx.grow(growth);
        }
        let moved = flow.rx.open_window();
        let dry = flow.rx.assembler.readable() == 0 && flow.rx.unreported > 0;
        if moved {
            self.mark_dirty(now, id, Urgency::Early);
        } else if dry {
            // At once for a message. A download runs dry with every packet, and a thousand reports a
            // second fill the way up of a line that has little.
            self.mark_dirty(now, id, Urgency::Soon);
        }
    }

    /// Returns the longest round trip of the lanes that may carry what a window holds.
    fn slowest_round_trip(&self) -> Duration {
        let up = self.lanes.values().filter(|lane| lane.is_up());
        up.map(|lane| lane.rtt).max().unwrap_or_default().min(MAX_ROUND_TRIP)
    }

    fn nothing_to_read(&mut self, id: FlowId) -> Result<Read, FlowError> {
        let closed = self.closed.clone();
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(Read::End) };
        if flow.reset_out.is_some() {
            return Err(FlowError::ResetHere);
        }
        if flow.rx.at_end() {
            flow.rx.end_seen = true;
            return Ok(Read::End);
        }
        if let Some(reset) = flow.reset_in
            && flow.rx.assembler.read_offset() >= reset.at
        {
            return Err(match &flow.opening {
                Opening::Failed(failure) => FlowError::Failed(failure.clone()),
                _ => FlowError::ResetByPeer(reset.code),
            });
        }
        if let Some(reason) = closed {
            return Err(FlowError::Closed(reason));
        }
        flow.app.read_waiting = true;
        Ok(Read::Pending)
    }
}
