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
        if open.target.takes_datagrams() && !self.datagram_flows.peer_takes {
            return Err(OpenError::NoDatagrams);
        }
        let ours = (self.flows.len() - self.peer_flows) as u64;
        if ours >= self.peer.max_flows {
            return Err(OpenError::TooMany(self.peer.max_flows));
        }
        let id = self.next_flow;
        self.next_flow = FlowId(id.0 + 2);
        self.create_flow(now, id, true, open);
        self.mark_dirty(now, id, Urgency::Now);
        self.notice_unserved_write();
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
            if let Some(datagrams) = &mut flow.datagrams {
                datagrams.rx.clear();
            }
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
        match self.flows.get(&id).map(|f| (&f.opening, f)) {
            Some((Opening::Opened, _)) => Some(Ok(())),
            Some((Opening::Failed(failure), _)) => Some(Err(FlowError::Failed(failure.clone()))),
            Some((Opening::Pending, flow)) => match (flow.reset_in, flow.reset_out) {
                (Some(reset), _) => Some(Err(FlowError::ResetByPeer(reset.code))),
                // By itself, where a datagram flow was idle: no answer is to be expected any more.
                (None, Some(_)) => Some(Err(FlowError::ResetHere)),
                (None, None) => None,
            },
            None => Some(Err(FlowError::Failed(OpenFailure::new(
                FailureCode::Other,
                "flow ended before it was opened",
            )))),
        }
    }

    /// Creates a flow and sets its first window aside: what was promised, and more while there is room,
    /// which goes to the peer with the flow's first facts.
    pub(super) fn create_flow(&mut self, now: Instant, id: FlowId, local: bool, open: Open) {
        let window = self.config.params.initial_window;
        self.config.memory.promise(window);
        let more = self.config.memory.grow_early(self.config.first_window.saturating_sub(window));
        let flow = Flow::new(id, local, open, self.peer.initial_window, window + more);
        self.flows.insert(id, Box::new(flow.with_datagrams(now)));
        self.peer_flows += usize::from(!local);
        self.watch_datagram_flow(id);
    }
}
