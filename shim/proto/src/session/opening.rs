//! How flows are opened, accepted and refused.

use std::time::Instant;

use bytes::BytesMut;

use super::{CANCELLED, FlowError, OpenError, Session};
use crate::flow::{Flow, Opening, Urgency};
use crate::types::{FailureCode, FlowId, OpenFailure};
use crate::wire::codec::{get_target, put_target};
use crate::wire::fact::Open;

impl Session {
    /// Opens a flow. [`SessionEvent::Answered`](super::SessionEvent::Answered) follows; bytes may be
    /// written at once.
    pub fn open(&mut self, now: Instant, open: Open) -> Result<FlowId, OpenError> {
        if let Some(reason) = &self.closed {
            return Err(OpenError::Closed(reason.clone()));
        }
        let mut target = BytesMut::new();
        put_target(&mut target, &open.target);
        get_target(&mut target).map_err(OpenError::Target)?;
        let ours = self.flows.values().filter(|f| f.local).count() as u64;
        if ours >= self.peer.max_flows {
            return Err(OpenError::TooMany(self.peer.max_flows));
        }
        let id = self.next_flow;
        self.next_flow = FlowId(id.0 + 2);
        self.create_flow(id, true, open);
        self.mark_dirty(now, id, Urgency::Now);
        Ok(id)
    }

    /// Accepts a flow that the peer opened.
    pub fn accept(&mut self, now: Instant, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(&id)
            && flow.opening == Opening::Pending
        {
            flow.opening = Opening::Opened;
            self.mark_dirty(now, id, Urgency::Now);
        }
    }

    /// Refuses a flow that the peer opened.
    pub fn refuse(&mut self, now: Instant, id: FlowId, failure: OpenFailure) {
        if let Some(flow) = self.flows.get_mut(&id)
            && flow.opening == Opening::Pending
        {
            flow.opening = Opening::Failed(failure);
            flow.app.reader_gone = true;
            flow.app.writer_gone = true;
            self.reset(now, id, CANCELLED);
            // The outcome is new even where the flow was reset before.
            self.mark_dirty(now, id, Urgency::Now);
            self.maybe_forget(id);
        }
    }

    /// Returns the answer to the open, once it is known.
    pub fn outcome(&self, id: FlowId) -> Option<Result<(), FlowError>> {
        if let Some(reason) = &self.closed {
            return Some(Err(FlowError::Closed(reason.clone())));
        }
        match self.flows.get(&id).map(|f| (&f.opening, f.reset_in)) {
            Some((Opening::Opened, _)) => Some(Ok(())),
            Some((Opening::Failed(failure), _)) => Some(Err(FlowError::Failed(failure.clone()))),
            Some((Opening::Pending, Some(reset))) => Some(Err(FlowError::ResetByPeer(reset.code))),
            Some((Opening::Pending, None)) => None,
            None => Some(Err(FlowError::Failed(OpenFailure::new(
                FailureCode::Other,
                "flow ended before it was opened",
            )))),
        }
    }

    /// Creates a flow and sets its first window aside.
    pub(super) fn create_flow(&mut self, id: FlowId, local: bool, open: Open) {
        let window = self.config.params.initial_window;
        self.config.memory.take(window);
        let flow = Flow::new(id, local, open, self.peer.initial_window, window);
        self.flows.insert(id, flow);
    }
}
