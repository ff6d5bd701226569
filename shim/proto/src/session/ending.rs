//! How flows and sessions end, and when a flow is forgotten.

use std::time::Instant;

use super::advertised::Advertised;
use super::datagram_flows::DatagramFlows;
use super::{FlowError, Session, SessionEvent, StreamOp, WorkClass};
use crate::flow::Urgency;
use crate::types::FlowId;
use crate::wire::control::Message;
use crate::wire::fact::ResetAt;

/// The code of a reset by an application that dropped a flow before its end.
pub const CANCELLED: u64 = 1;

impl Session {
    /// Resets the whole flow. What was written before is delivered first.
    pub fn reset(&mut self, now: Instant, id: FlowId, code: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.reset_out.is_some() {
            return;
        }
        flow.reset_out = Some(ResetAt { code, at: flow.tx.buffer.end() });
        flow.rx.discard = true;
        flow.rx.assembler.discard();
        self.clear_datagrams(id);
        self.events.push_back(SessionEvent::Broken(id));
        self.mark_dirty(now, id, Urgency::Now);
        self.maybe_forget(id);
    }

    /// Takes note that the application dropped its receiving half.
    pub fn drop_reader(&mut self, now: Instant, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.app.reader_gone = true;
        // The application has read everything, although it has not looked at the end itself.
        flow.rx.end_seen |= flow.rx.at_end();
        flow.rx.discard = true;
        flow.rx.assembler.discard();
        if flow.rx.open_window() {
            self.mark_dirty(now, id, Urgency::Soon);
        }
        self.after_drop(now, id);
    }

    /// Takes note that the application dropped its sending half.
    pub fn drop_writer(&mut self, now: Instant, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.app.writer_gone = true;
        // After a reset by the peer there is nothing to cut short, and the reader may still take
        // what precedes it.
        if flow.tx.fin.is_none() && flow.reset_in.is_none() {
            self.reset(now, id, CANCELLED);
        }
        self.after_drop(now, id);
    }

    /// Resets a flow that nobody holds and that has not ended in both directions: nobody is there to
    /// read what is still to come.
    fn after_drop(&mut self, now: Instant, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let gone = flow.is_abandoned();
        let seen = match flow.reset_in {
            // The bytes before a reset may take for ever to arrive.
            Some(_) => flow.received_all(),
            None => flow.rx.end_seen,
        };
        if gone && !seen {
            self.reset(now, id, CANCELLED);
        }
        self.maybe_forget(id);
    }

    /// Returns an error if the flow was reset or its session closed.
    pub fn check_broken(&self, id: FlowId) -> Result<(), FlowError> {
        if let Some(reason) = &self.closed {
            return Err(FlowError::Closed(reason.clone()));
        }
        match self.flows.get(&id) {
            Some(flow) if flow.reset_out.is_some() => Err(FlowError::ResetHere),
            Some(flow) => flow.reset_in.map_or(Ok(()), |r| Err(FlowError::ResetByPeer(r.code))),
            None => Ok(()),
        }
    }

    /// Returns whether both directions have ended in order.
    pub fn is_ended(&self, id: FlowId) -> bool {
        self.flows.get(&id).is_none_or(|f| f.tx.fin.is_some() && f.rx.at_end())
    }

    /// Forgets the flow if nothing is left to do for it.
    pub(super) fn maybe_forget(&mut self, id: FlowId) {
        let over = self.closed.is_some();
        if self.flows.get(&id).is_some_and(|f| f.is_finished() || (over && f.is_abandoned())) {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: FlowId) {
        let Some(flow) = self.flows.remove(&id) else { return };
        if let Some(at) = flow.timer {
            self.timers.remove(&(at, id));
        }
        let check_at = flow.datagrams.as_ref().and_then(|datagrams| datagrams.check_at);
        self.unwatch_datagram_flow(id, check_at);
        self.hedge_waiting.remove(&id);
        self.bulk.remove(&id);
        self.memory_waiting.remove(&id);
        self.peer_flows -= usize::from(!flow.local);
        self.buffered -= flow.tx.accounted_bytes;
        self.config.memory.count_buffered(flow.tx.accounted_bytes, 0);
        let promised = self.config.params.initial_window;
        self.config.memory.release(promised, flow.rx.window() - promised);
        for carrier in &flow.tx.lanes {
            if let Some(lane) = self.lanes.get_mut(&carrier.lane) {
                lane.outbox.forget_flow(|flow| self.flows.contains_key(&flow));
                for segment in &carrier.segments {
                    // Reset, not finish: unacknowledged bytes are of no use to anybody.
                    lane.outbox.stream_ops.push_back((segment.key, StreamOp::Reset));
                    lane.wake(WorkClass::Urgent, &mut self.events);
                }
            }
        }
        self.events.push_back(SessionEvent::Forgotten(id));
    }

    /// Closes the session: its flows end with an error, and the peer is told on every lane.
    pub fn close(&mut self, code: u64, detail: &str) {
        if self.closed.is_some() {
            return;
        }
        self.close_message = Some(Message::Close { code, detail: detail.to_owned() }.to_bytes());
        self.end(detail.to_owned());
        for lane in self.lanes.values_mut() {
            lane.outbox.close_message = true;
            lane.wake(WorkClass::Urgent, &mut self.events);
        }
    }

    /// Ends the session without telling the peer: the peer restarted, or no lane came back in time.
    pub fn handle_session_lost(&mut self, reason: &str) {
        self.end(reason.to_owned());
    }

    /// Returns whether the peer must be told that the session is over.
    pub fn has_close_message(&self) -> bool {
        self.close_message.is_some()
    }

    /// Ends the session and every flow. Nothing is sent any more, and a flow is forgotten as soon as
    /// nobody holds it.
    pub(super) fn end(&mut self, reason: String) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(reason);
        self.timers.clear();
        self.datagram_flows = DatagramFlows::default();
        self.fact_acks.clear();
        self.hedge_waiting.clear();
        self.fact_acks_at = None;
        self.open_segments.clear();
        self.sweep_at = None;
        self.review_at = None;
        self.bulk.clear();
        self.memory_waiting.clear();
        self.spread.clear();
        self.advertised = Advertised::default();
        self.lanes.values_mut().for_each(|lane| lane.outbox.clear());
        for id in self.flow_ids() {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.timer = None;
                flow.tx.buffer.clear();
                flow.tx.lanes.clear();
            }
            self.clear_datagrams(id);
            self.account_buffer(id);
            self.events.push_back(SessionEvent::Broken(id));
            self.maybe_forget(id);
        }
        self.events.push_back(SessionEvent::Closed);
    }
}
